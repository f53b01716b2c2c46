"""Archiving several flags from the list."""

import pytest
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.urls import reverse

from audit.models import Entry
from flags import services
from flags.models import Flag
from tenancy.models import Role
from tenancy.testing import ALICE


@pytest.fixture
def configs(acme):
    return [
        services.create_flag(actor=ALICE, environment=acme.production, payload={"key": key, "enabled": True})[0]
        for key in ("one", "two")
    ]


def listed(acme):
    return f"{reverse('admin:flags_flagconfig_changelist')}?environment={acme.production.pk}"


def sent(configs, **more):
    return {"action": "archive_selected", ACTION_CHECKBOX_NAME: [config.pk for config in configs], **more}


def test_archive_selected__says_where_each_is_served_then_archives(console_editor, acme, configs):
    asked = console_editor.post(listed(acme), sent(configs))
    assert "Archive 2 flags?" in asked.text
    assert "Production" in asked.text
    assert not Flag.objects.filter(is_archived=True).exists()

    console_editor.post(listed(acme), sent(configs, confirm="1", reason="Clean-up"))

    assert Flag.objects.filter(is_archived=True).count() == 2
    assert Entry.objects.filter(action="flag.archived", reason="Clean-up").count() == 2


def test_archive_selected__without_a_reason__asks_again(console_editor, acme, configs):
    answer = console_editor.post(listed(acme), sent(configs, confirm="1"))

    assert answer.status_code == 422
    assert not Flag.objects.filter(is_archived=True).exists()


def test_archive_selected__one_is_needed__is_left_and_named(console_editor, acme, configs):
    payload = {"key": "three", "prerequisites": [{"flagKey": "one", "variants": ["treatment"]}]}
    services.create_flag(actor=ALICE, environment=acme.production, payload=payload)

    page = console_editor.post(listed(acme), sent(configs, confirm="1", reason="Clean-up"), follow=True)

    assert set(Flag.objects.filter(is_archived=True).values_list("key", flat=True)) == {"two"}
    assert "three (production, prerequisite)" in page.text


def test_archive_selected__viewer_and_editor_of_one_environment__may_not(console_viewer, client, acme, configs, person):
    editor = person(Role.EDITOR, acme.organization, "enzo", project=acme.project, environment=acme.production)
    editor.is_staff = True
    editor.save()
    client.force_login(editor)

    for visitor in (console_viewer, client):
        visitor.post(listed(acme), sent(configs, confirm="1", reason="x"))
        assert "archive_selected" not in visitor.get(listed(acme)).text
    assert not Flag.objects.filter(is_archived=True).exists()
