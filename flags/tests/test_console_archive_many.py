"""Archiving several flags from the list, and very many of them with progress."""

import html
import re
from datetime import timedelta

import pytest
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.urls import reverse
from django.utils import timezone

from analytics.usage import folding
from analytics.usage.batches import SDK, Counted, Source, UsageBatch
from audit.models import Entry
from flags import services
from flags.admin.list import bulk
from flags.models import Flag
from tenancy.roles import Role
from tenancy.testing import ALICE


@pytest.fixture
def configs(acme, monkeypatch):
    # On a busy machine too all of it is one slice.
    monkeypatch.setattr(bulk, "SLICE_SECONDS", 600)
    return [
        services.create_flag(actor=ALICE, environment=acme.production, payload={"key": key, "enabled": True})[0]
        for key in ("one", "two")
    ]


def listed(acme):
    return f"{reverse('admin:flags_flagconfig_changelist')}?environment={acme.production.pk}"


def ask(client, acme, configs, **more):
    return client.post(
        listed(acme), {"action": "archive_selected", ACTION_CHECKBOX_NAME: [config.pk for config in configs], **more}
    )


def archive(client, configs, reason="Clean-up", *, follow=False, **fields):
    sent = {"flags": ",".join(str(config.pk) for config in configs), "reason": reason, **fields}
    return client.post(reverse("admin:flags_flagconfig_archive_many"), sent, follow=follow)


def test_archive_selected__says_where_each_is_served_then_archives(console_editor, acme, configs):
    asked = ask(console_editor, acme, configs)
    assert "Archive 2 flags?" in asked.text
    assert "Production" in asked.text
    assert not Flag.objects.filter(is_archived=True).exists()

    assert f'name="flags" value="{configs[0].pk},{configs[1].pk}"' in asked.text

    archive(console_editor, configs)

    assert Flag.objects.filter(is_archived=True).count() == 2
    assert Entry.objects.filter(action="flag.archived", reason="Clean-up").count() == 2


def test_archive_selected__evaluated_ones__are_named_and_asked_about_a_second_time(console_editor, acme, configs):
    source = Source(acme.staging.pk, SDK, "till", "python/0.1.0")
    now = timezone.now()
    folding.fold(UsageBatch("one", now, {Counted(source, key, "control", "DEFAULT"): 1 for key in ("one", "two")}))
    asked = ask(console_editor, acme, configs)
    assert "2 of them are evaluated" in html.unescape(re.sub(r"<[^>]+>", "", asked.text))
    assert "Type <code>2 flags</code> to confirm" in asked.text

    for wrong in ("", "one", "1 flag"):
        refused = archive(console_editor, configs, confirm=wrong)
        assert refused.status_code == 422
        assert "Still evaluated: one, two. Type 2 flags" in refused.text
    assert not Flag.objects.filter(is_archived=True).exists()

    assert archive(console_editor, configs, confirm="2 flags").status_code == 302
    assert Flag.objects.filter(is_archived=True).count() == 2


def test_archive_selected__one_evaluated__is_typed_and_long_ago_does_not_count(console_editor, acme, configs):
    source = Source(acme.production.pk, SDK, "till", "python/0.1.0")
    for key, days in (("one", 0), ("two", 8)):
        at = timezone.now() - timedelta(days=days)
        folding.fold(UsageBatch(key, at, {Counted(source, key, "control", "DEFAULT"): 1}))

    assert archive(console_editor, configs, confirm="2 flags").status_code == 422
    assert archive(console_editor, configs, confirm="one").status_code == 302
    assert Flag.objects.filter(is_archived=True).count() == 2


def test_archive_selected__without_a_reason__asks_again(console_editor, acme, configs):
    answer = archive(console_editor, configs, reason=" ")

    assert answer.status_code == 422
    assert not Flag.objects.filter(is_archived=True).exists()


def test_archive_selected__one_is_needed__is_left_and_named(console_editor, acme, configs):
    payload = {"key": "three", "prerequisites": [{"flagKey": "one", "variants": ["treatment"]}]}
    services.create_flag(actor=ALICE, environment=acme.production, payload=payload)

    page = archive(console_editor, configs, follow=True)

    assert set(Flag.objects.filter(is_archived=True).values_list("key", flat=True)) == {"two"}
    assert "three (production, prerequisite)" in page.text


def test_archive_selected__viewer_and_editor_of_one_environment__may_not(console_viewer, client, acme, configs, person):
    editor = person(Role.EDITOR, acme.organization, "enzo", project=acme.project, environment=acme.production)
    editor.is_staff = True
    editor.save()
    client.force_login(editor)

    for visitor in (console_viewer, client):
        assert archive(visitor, configs).status_code == 403
        assert "archive_selected" not in visitor.get(listed(acme)).text
    assert not Flag.objects.filter(is_archived=True).exists()


def test_archive_selected__another_tenants__are_not_found(console_editor, globex_flag):
    archive(console_editor, [globex_flag])

    assert not Flag.objects.filter(is_archived=True).exists()


def test_archive_selected__across_pages__carries_all_of_them_in_one_field(console_editor, acme, configs, monkeypatch):
    monkeypatch.setattr(bulk, "MOST_SHOWN", 1)

    asked = ask(console_editor, acme, configs[:1], select_across="1")

    assert "And 1 more." in asked.text
    assert f'name="flags" value="{configs[0].pk},{configs[1].pk}"' in asked.text


def test_archive_selected__too_many_for_one_request__goes_on_page_by_page(console_editor, acme, configs, monkeypatch):
    monkeypatch.setattr(bulk, "SLICE_SECONDS", 0)
    payload = {"key": "three", "prerequisites": [{"flagKey": "one", "variants": ["treatment"]}]}
    configs.append(services.create_flag(actor=ALICE, environment=acme.production, payload=payload)[0])

    page = console_editor.get(archive(console_editor, configs).url)
    seen = [(bar(page)["aria-valuenow"], bar(page)["aria-valuemax"])]
    while 'name="flags"' in page.text:
        carried = r'<input type="hidden" name="(flags|done|failed|failures|run|reason)" value="([^"]*)"'
        fields = dict(re.findall(carried, page.text))
        sent = {name: html.unescape(value) for name, value in fields.items()} | {"list": "//evil.example/?"}
        page = console_editor.post(reverse("admin:flags_flagconfig_archive_many"), sent, headers={"HX-Request": "true"})
        seen.append((bar(page)["aria-valuenow"], bar(page)["aria-valuemax"]))

    assert seen == [("1", "3"), ("2", "3"), ("3", "3")]
    assert "Finished: 2 archived, 1 left as they are." in page.text
    assert "evil" not in page.text
    assert "three (production, prerequisite)" in page.text
    assert set(Flag.objects.filter(is_archived=True).values_list("key", flat=True)) == {"two", "three"}
    assert Entry.objects.filter(action="flag.archived", reason="Clean-up").count() == 2


@pytest.mark.parametrize(
    "wrong",
    [
        {"flags": "1,x"},
        {"done": "-1"},
        {"failed": "many"},
        {"failures": "[[1]]"},
        {"failures": "{"},
        {"failures": "9" * 5_000},
        {"failures": "[" * 5_000 + "]" * 5_000},
    ],
    ids=["flags", "done", "failed", "failures", "no JSON", "a huge number", "deep JSON"],
)
def test_archive_selected__carried_fields_that_cannot_be_read__archive_nothing(console_editor, configs, wrong):
    page = archive(console_editor, configs, **wrong)

    assert page.status_code == 422
    assert 'class="fs-error"' in page.text
    assert not Flag.objects.filter(is_archived=True).exists()


def bar(page):
    return dict(re.findall(r'(aria-value\w+)="(\d+)"', page.text))


@pytest.fixture
def globex_flag(globex):
    return services.create_flag(actor=ALICE, environment=globex, payload={"key": "one"})[0]
