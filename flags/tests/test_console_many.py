"""Acts on flags chosen in the list, and copies to another environment: shown with their reach, then done."""

import re

import pytest
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.urls import reverse

from audit.models import Entry
from flags import services
from flags.admin.list import bulk
from flags.models import Flag, FlagConfig
from tenancy.roles import Role
from tenancy.testing import ALICE

HALF = [{"variant": "control", "percent": 50}, {"variant": "treatment", "percent": 50}]


@pytest.fixture
def configs(acme, monkeypatch):
    # On a busy machine too all of it is one slice.
    monkeypatch.setattr(bulk, "SLICE_SECONDS", 600)
    payloads = [
        {"key": "one", "rollout": HALF, "tags": ["pay"]},
        {"key": "two", "rollout": HALF},
        {"key": "later", "prerequisites": [{"flagKey": "one", "variants": ["treatment"]}]},
    ]
    made = [services.create_flag(actor=ALICE, environment=acme.staging, payload=each)[0] for each in payloads]
    return made[:2]


def listed(place):
    return f"{reverse('admin:flags_flagconfig_changelist')}?environment={place.pk}"


def ask(client, place, action, configs):
    return client.post(listed(place), {"action": action, ACTION_CHECKBOX_NAME: [config.pk for config in configs]})


def send(client, act, configs, **fields):
    sent = {"flags": ",".join(str(config.pk) for config in configs), "reason": "tried", **fields}
    return client.post(reverse(f"admin:flags_flagconfig_{act}"), sent)


def page(config, name, **query):
    return reverse(f"admin:flags_flagconfig_{name}", args=[config.pk], query=query)


def there(config, place):
    return FlagConfig.objects.get(flag=config.flag_id, environment=place)


def test_switch__several__says_whom_it_moves_then_does_it(console_editor, acme, configs):
    asked = ask(console_editor, acme.staging, "switch_on_selected", configs)

    assert "Switch on 2 flags?" in asked.text
    moved = [effect.moved for row in asked.context["rows"] for effect in row["effects"]]
    assert moved == [pytest.approx(0.5), pytest.approx(0.5)]
    assert "Flags that need what changes may answer differently too: later." in asked.text
    assert not FlagConfig.objects.filter(is_enabled=True).exists()
    assert send(console_editor, "switch_on_many", configs).status_code == 302
    on = FlagConfig.objects.filter(is_enabled=True, environment=acme.staging)
    assert {config.flag.key for config in on} == {"one", "two"}
    assert Entry.objects.filter(action="flag.updated", reason="tried").count() == 2
    assert send(console_editor, "switch_off_many", configs[:1]).status_code == 302
    assert there(configs[0], acme.staging).is_enabled is False


def test_switch__in_a_row_of_the_list__leads_to_the_question(console_editor, console_viewer, acme, configs):
    address = page(configs[0], "switch")

    assert address in console_editor.get(listed(acme.staging)).text
    assert "Switch on 1 flag?" in console_editor.get(address).text
    assert address not in console_viewer.get(listed(acme.staging)).text
    assert console_viewer.get(address).status_code == 403
    assert send(console_viewer, "switch_on_many", configs).status_code == 403


def test_tags__of_several__are_added_and_taken_away(console_editor, acme, configs):
    assert "Name a tag to add" in send(console_editor, "tag_many", configs, add=" , ").text

    assert send(console_editor, "tag_many", configs, add="till, checkout", remove="pay").status_code == 302

    assert [flag.tags for flag in Flag.objects.order_by("key") if flag.key != "later"] == [["till", "checkout"]] * 2


def test_tags__changed_by_somebody_meanwhile__are_not_lost(console_editor, acme, configs, monkeypatch):
    update = services.update_flag

    def as_second(**change):
        theirs = {"payload": {"tags": ["theirs"]}, "version": None, "reason": ""}
        update(actor=ALICE, environment=acme.staging, key="one", **theirs)
        return update(**change)

    monkeypatch.setattr(services, "update_flag", as_second)

    answer = send(console_editor, "tag_many", configs[:1], add="till")

    assert Flag.objects.get(key="one").tags == ["theirs"]
    assert "version" in str(next(iter(answer.wsgi_request._messages)))


def test_copy__of_one__says_whom_it_reaches_there_then_does_it(console_editor, acme, configs):
    services.update_flag(actor=ALICE, environment=acme.staging, key="one", payload={"enabled": True}, version=1)
    choices = console_editor.get(page(configs[0], "copy"))
    assert f"?to={acme.production.key}" in choices.text
    assert page(configs[0], "copy") in console_editor.get(page(configs[0], "compare")).text

    asked = console_editor.get(page(configs[0], "copy", to=acme.production.key))
    assert "This changes Production, which is production." in asked.text
    seen = asked.context["form"].initial
    sent = {**seen, "environment": acme.staging.pk, "reason": "tried"}
    payload = {"description": "Theirs"}
    services.update_flag(
        actor=ALICE, environment=acme.production, key="one", payload=payload, version=seen["to_version"]
    )

    refused = console_editor.post(page(configs[0], "copy"), sent)
    assert refused.status_code == 409
    assert "was changed since this page was opened" in refused.text
    again = dict(re.findall(r'name="(from_version|to_version)" value="(\d+)"', refused.text))
    answer = console_editor.post(page(configs[0], "copy"), {**sent, **again})

    assert answer.status_code == 302
    production = there(configs[0], acme.production)
    assert (production.is_enabled, production.allocation) == (True, there(configs[0], acme.staging).allocation)
    assert Entry.objects.get(action="flag.copied").reason == "tried"


def test_copy__of_several__asks_where_then_shows_it_then_does_it_in_slices(console_editor, acme, configs, monkeypatch):
    monkeypatch.setattr(bulk, "SLICE_SECONDS", 0)
    services.update_flag(actor=ALICE, environment=acme.staging, key="one", payload={"enabled": True}, version=1)
    assert "Show what it does" in ask(console_editor, acme.staging, "copy_selected", configs).text
    shown = send(console_editor, "copy_many", configs, to=acme.production.key, look="")
    assert "Copy 2" in shown.text
    assert not there(configs[0], acme.production).is_enabled

    seen = re.search(r'name="seen" value="([\d,]+)"', shown.text)[1]
    first = send(console_editor, "copy_many", configs, to=acme.production.key, seen=seen)
    assert first.status_code == 302
    # As often as it is loaded, it shows what is done, and does nothing.
    for trigger in ("load, submit", "submit"):
        page_of_it = console_editor.get(first.url)
        assert f'hx-trigger="{trigger}"' in page_of_it.text
        assert f'name="to" value="{acme.production.key}"' in page_of_it.text
        assert "1 of 2 flags: 1 copied" in page_of_it.text
    assert Entry.objects.filter(action="flag.copied").count() == 1
    payload = {"description": "Theirs"}
    services.update_flag(actor=ALICE, environment=acme.production, key="two", payload=payload, version=None)
    hidden = dict(re.findall(r'name="(flags|seen|done|failed|failures|run|to)" value="([^"]*)"', page_of_it.text))
    address = reverse("admin:flags_flagconfig_copy_many")
    refused = console_editor.post(address, {**hidden, "failures": "[]", "reason": ""}, headers={"HX-Request": "true"})
    assert "Finished: 1 copied, 1 left as they are." in refused.text
    assert "was changed since this page was opened" in refused.text
    assert "Finished: 1 copied" in console_editor.get(first.url).text
    # What was sent before a part was done, by a page that was loaded meanwhile, repeats nothing.
    again = send(console_editor, "copy_many", configs[1:], to=acme.production.key, look="")
    seen = re.search(r'name="seen" value="([\d,]+)"', again.text)[1]
    sent = {**hidden, "seen": seen, "failures": "[]", "reason": ""}
    assert "Finished: 1 copied, 1 left" in console_editor.post(address, sent, headers={"HX-Request": "true"}).text
    assert Entry.objects.filter(action="flag.copied").count() == 1
    other = console_editor.get(first.url.replace("copy-many", "archive-many"), follow=True)
    assert "What was shown here is over." in other.text
    send(console_editor, "copy_many", configs[1:], to=acme.production.key, seen=seen)

    assert there(configs[0], acme.production).is_enabled
    assert there(configs[1], acme.production).allocation == there(configs[1], acme.staging).allocation
    assert send(console_editor, "copy_many", configs, to="").status_code == 422


def test_copy__to_where_the_role_does_not_reach__is_not_offered(client, acme, configs, person):
    editor = person(Role.EDITOR, acme.organization, "enzo", project=acme.project, environment=acme.staging)
    editor.is_staff = True
    editor.save()
    client.force_login(editor)

    assert "copy_selected" not in client.get(listed(acme.staging)).text
    assert "You may edit no other environment" in client.get(page(configs[0], "copy", to=acme.production.key)).text
    assert send(client, "copy_many", configs, to=acme.production.key).status_code == 403
    assert there(configs[0], acme.production).allocation != there(configs[0], acme.staging).allocation


def test_list__stale_flag__is_marked(console_viewer, acme, configs, settings):
    settings.STALE_FLAG_DAYS = 0

    assert "stale" in console_viewer.get(listed(acme.staging)).text
