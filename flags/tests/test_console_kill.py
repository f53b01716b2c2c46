"""The kill switch in the console: what its page says, and that it does just that."""

import pytest
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from audit.models import Entry
from flags import services
from flags.models import Flag, FlagConfig
from flags.services.drafts import BOOLEAN_VARIANTS
from tenancy.admin.testing import signed_in
from tenancy.roles import Role
from tenancy.testing import ALICE


@pytest.fixture
def config(acme):
    payload = {"key": "new-checkout", "enabled": True, "rollout": [{"variant": "treatment", "percent": 25}]}
    return services.create_flag(actor=ALICE, environment=acme.staging, payload=payload)[0]


def url(config, act):
    return reverse(f"admin:flags_flagconfig_{act}", args=[config.pk])


def kill_many(client, configs, reason, act="kill"):
    sent = {"flags": ",".join(str(config.pk) for config in configs), "reason": reason}
    return client.post(reverse(f"admin:flags_flagconfig_{act}_many"), sent, follow=True)


def test_kill_page__says_variant_environment_and_share(console_editor, config):
    page = console_editor.get(url(config, "kill"))

    assert "Web · Staging" in page.text
    assert "25.00 % of users" in page.text
    assert "75.00 % of users" in page.text


def test_kill__with_reason__works(console_editor, config):
    answer = console_editor.post(url(config, "kill"), {"variant": "control", "reason": "Errors since noon"})

    assert answer.status_code == 302
    config.refresh_from_db()
    assert (config.kill_switch_variant, config.kill_reason) == ("control", "Errors since noon")
    entry = Entry.objects.get(action="flag.killed")
    assert (entry.actor_label, entry.reason) == ("eddie", "Errors since noon")
    assert "Errors since noon" in console_editor.get(url(config, "change")).text


def test_kill__without_reason__asks_for_one(console_editor, config):
    answer = console_editor.post(url(config, "kill"), {"variant": "control", "reason": " "})

    assert answer.status_code == 422
    assert "Say why" in answer.text
    config.refresh_from_db()
    assert not config.is_killed


def test_kill__unknown_variant__is_refused(console_editor, config):
    answer = console_editor.post(url(config, "kill"), {"variant": "nope", "reason": "x"})

    assert answer.status_code == 422
    assert "has no variant" in answer.text


def test_release__works(console_editor, config):
    services.kill_flag(actor=ALICE, environment=config.environment, key="new-checkout", reason="x")

    page = console_editor.get(url(config, "release"))
    answer = console_editor.post(url(config, "release"), {"reason": "Fixed"})

    assert "25.00 %" in page.text
    assert answer.status_code == 302
    config.refresh_from_db()
    assert not config.is_killed
    assert Entry.objects.get(action="flag.released").reason == "Fixed"


def test_kill_selected__asks_then_kills_each_to_its_off_variant(console_editor, acme, config):
    other = services.create_flag(actor=ALICE, environment=acme.staging, payload={"key": "other", "enabled": True})[0]
    listed = f"{reverse('admin:flags_flagconfig_changelist')}?environment={acme.staging.pk}"
    sent = {"action": "kill_selected", ACTION_CHECKBOX_NAME: [config.pk, other.pk]}

    asked = console_editor.post(listed, sent)
    assert "Kill 2 flags?" in asked.text
    assert not FlagConfig.objects.exclude(kill_switch_variant="").exists()
    assert kill_many(console_editor, [config, other], " ").status_code == 422
    assert not FlagConfig.objects.exclude(kill_switch_variant="").exists()
    kill_many(console_editor, [config, other], "Incident 7")

    killed = FlagConfig.objects.exclude(kill_switch_variant="")
    assert {row.flag.key: row.kill_switch_variant for row in killed} == {"new-checkout": "control", "other": "control"}
    assert Entry.objects.filter(action="flag.killed", reason="Incident 7").count() == 2


def test_kill_selected__archived_or_gone_meanwhile__kills_the_others_and_says_so(console_editor, acme, config):
    services.create_flag(actor=ALICE, environment=acme.staging, payload={"key": "old"})
    old = services.archive_flag(actor=ALICE, environment=acme.staging, key="old")

    gone = kill_many(console_editor, [FlagConfig(pk=0)], "Incident 8")
    assert "None of these flags is here any more." in gone.text
    some = kill_many(console_editor, [old, config], "Incident 8")
    assert "Archived, so nobody is served them: old." in some.text
    assert "1 flag killed." in some.text
    assert list(FlagConfig.objects.exclude(kill_switch_variant="")) == [config]


def test_kill_selected__more_than_a_form_has_fields__kills_them_all(console_editor, acme, config):
    flags = Flag.objects.bulk_create(
        Flag(project=acme.project, key=f"many-{number}", name="Many", variants=BOOLEAN_VARIANTS)
        for number in range(1200)
    )
    made = FlagConfig.objects.bulk_create(
        FlagConfig(
            flag=flag,
            environment=acme.staging,
            default_variant="control",
            off_variant="control",
            salt=flag.key,
            version=1,
        )
        for flag in flags
    )
    listed = f"{reverse('admin:flags_flagconfig_changelist')}?environment={acme.staging.pk}"
    sent = {"action": "kill_selected", "select_across": "1", ACTION_CHECKBOX_NAME: [config.pk]}

    with CaptureQueriesContext(connection) as queries:
        asked = console_editor.post(listed, sent)
    assert "Kill 1,201 flags?" in asked.text
    assert "And 1,101 more." in asked.text
    assert len(queries) < 40
    done = kill_many(console_editor, [config, *made], "Incident 9")

    assert "1,201 flags killed." in done.text
    assert FlagConfig.objects.filter(environment=acme.staging, kill_switch_variant="control").count() == 1201


def test_release_selected__asks_then_releases_what_is_killed(console_editor, acme, config):
    other = services.create_flag(actor=ALICE, environment=acme.staging, payload={"key": "other", "enabled": True})[0]
    services.kill_flag(actor=ALICE, environment=acme.staging, key="new-checkout", reason="x")
    listed = f"{reverse('admin:flags_flagconfig_changelist')}?environment={acme.staging.pk}"
    sent = {"action": "release_selected", ACTION_CHECKBOX_NAME: [config.pk, other.pk]}

    asked = console_editor.post(listed, sent)
    assert f'name="flags" value="{config.pk}"' in asked.text
    done = kill_many(console_editor, [config], "", act="release")

    assert "1 flag released." in done.text
    config.refresh_from_db()
    assert not config.is_killed


def test_kill_selected__viewer__is_not_offered_it(console_viewer, acme, config):
    listed = f"{reverse('admin:flags_flagconfig_changelist')}?environment={acme.staging.pk}"

    assert kill_many(console_viewer, [config], "x").status_code == 403
    assert "kill_selected" not in console_viewer.get(listed).text
    config.refresh_from_db()
    assert not config.is_killed


def test_archive_and_restore__work(console_editor, config):
    assert console_editor.get(url(config, "archive")).status_code == 200
    console_editor.post(url(config, "archive"), {"reason": "Done"})
    config.flag.refresh_from_db()
    assert config.flag.is_archived

    console_editor.post(url(config, "restore"))
    config.flag.refresh_from_db()
    assert not config.flag.is_archived


def test_kill_all__key_typed__kills_then_releases_every_flag(person, acme, config):
    client = signed_in(person(Role.OWNER, acme.organization, "olga"))
    services.create_flag(actor=ALICE, environment=acme.staging, payload={"key": "other"})
    services.create_flag(actor=ALICE, environment=acme.production, payload={"key": "elsewhere"})
    page = f"{reverse('admin:flags_flagconfig_kill_all')}?environment={acme.staging.pk}"

    asked = client.get(page).text
    unconfirmed = client.post(page, {"kill": "", "reason": "Outage", "confirm": "production"})
    unexplained = client.post(page, {"kill": "", "reason": "", "confirm": "staging"})

    assert "Kill all 3" in asked
    assert (unconfirmed.status_code, unexplained.status_code) == (422, 422)
    assert not FlagConfig.objects.exclude(kill_switch_variant="").exists()
    client.post(page, {"kill": "", "reason": "Outage", "confirm": "staging"})
    killed = FlagConfig.objects.exclude(kill_switch_variant="")
    assert set(killed.values_list("flag__key", "environment__key")) == {
        (key, "staging") for key in ("new-checkout", "other", "elsewhere")
    }
    client.post(page, {"release": "", "confirm": "staging"})
    assert not killed.all().exists()


def test_kill_all__editor__may_not(console_editor, acme, config):
    page = f"{reverse('admin:flags_flagconfig_kill_all')}?environment={acme.staging.pk}"

    assert console_editor.post(page, {"kill": "", "reason": "x", "confirm": "staging"}).status_code == 403
    listed = f"{reverse('admin:flags_flagconfig_changelist')}?environment={acme.staging.pk}"
    assert "Kill every flag" not in console_editor.get(listed).text


def test_archived_flag__is_deleted_for_good_by_admins_alone(console_editor, console_owner, config):
    services.archive_flag(actor=ALICE, environment=config.environment, key=config.flag.key)

    assert "Delete for good" not in console_editor.get(url(config, "change")).text
    assert console_editor.post(url(config, "purge"), {"confirm": config.flag.key, "reason": "x"}).status_code == 403
    assert "Delete for good" in console_owner.get(url(config, "change")).text
    assert console_owner.post(url(config, "purge"), {"confirm": "other", "reason": "x"}).status_code == 422
    assert console_owner.post(url(config, "purge"), {"confirm": config.flag.key, "reason": "x"}).status_code == 302
    assert not Flag.objects.exists()
