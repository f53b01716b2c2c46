"""Each door of the console that changes what is served: it says what is asked, and asks for it instead of failing."""

import json

import pytest
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.core.files.uploadedfile import SimpleUploadedFile
from django.urls import reverse

from approvals.models import ChangeRequest
from approvals.services import create_freeze, set_policy
from experiments import services as experiments
from flags import services as flags
from flags.admin.list import bulk
from flags.models import FlagConfig
from flags.tests.console_documents import change_url, fields, sent_by, shares
from flags.versions.loading import load_document
from tenancy.console_kit.pages import object_url
from tenancy.testing import ALICE

pytestmark = pytest.mark.django_db

ASKED = "Staging asks for 1 approval by admins before a change is served."
PROPOSE = {"propose": "1"}


@pytest.fixture(autouse=True)
def _one_slice(monkeypatch):
    """On a busy machine too."""
    monkeypatch.setattr(bulk, "SLICE_SECONDS", 600)


@pytest.fixture
def staging(acme):
    return acme.staging


@pytest.fixture
def configs(staging):
    made = [{"key": key, "rollout": shares(treatment=25)} for key in ("one", "two")]
    return [flags.create_flag(actor=ALICE, environment=staging, payload=each)[0] for each in made]


def guard(place):
    set_policy(actor=ALICE, environment=place, payload={"requiredApprovals": 1}, version=1)
    place.refresh_from_db()
    return place


@pytest.fixture
def guarded(staging, configs):
    return guard(staging)


def served(place):
    document = load_document(place.pk)
    return {key: {**flag, "version": 0} for key, flag in document["flags"].items()}


def page(config, name, **query):
    return reverse(f"admin:flags_flagconfig_{name}", args=[config.pk], query=query)


def test_flag__policy_asks__says_so_and_asks_for_approval_instead_of_saving(console_editor, guarded, configs):
    before = served(guarded)
    shown = console_editor.get(change_url(configs[0]))
    assert ASKED in shown.text
    assert ">Ask for approval</button>" in shown.text
    sent = fields(console_editor, configs[0], reason="Half of them", enabled=True)

    answer = console_editor.post(change_url(configs[0]), {**sent, **PROPOSE})

    request = ChangeRequest.objects.get()
    assert answer.url == object_url(request)
    assert (request.title, request.environment, request.author_label) == ("Half of them", guarded, "eddie")
    assert request.changes[0]["patch"] == {"enabled": True}
    assert served(guarded) == before
    # Whoever saves all the same is refused, in sight, and may ask.
    refused = console_editor.post(change_url(configs[0]), sent)
    assert refused.status_code == 409
    assert "staging asks for 1 approval" in refused.text
    assert ">Ask for approval</button>" in refused.text


def test_flag__nothing_is_asked_any_more__is_not_published_by_asking(console_editor, staging, configs):
    answer = console_editor.post(
        change_url(configs[0]), {**fields(console_editor, configs[0], enabled=True), **PROPOSE}
    )

    assert answer.status_code == 409
    assert "Nothing asks for an approval of this any more" in answer.text
    configs[0].refresh_from_db()
    assert not configs[0].is_enabled


def test_flag__name_alone__is_saved_since_it_is_served_to_nobody(console_owner, guarded, configs):
    sent = fields(console_owner, configs[0], name="Renamed")

    assert console_owner.post(change_url(configs[0]), {**sent, **PROPOSE}).status_code == 302

    configs[0].flag.refresh_from_db()
    assert configs[0].flag.name == "Renamed"
    assert not ChangeRequest.objects.exists()


def send_many(client, act, configs, **sent):
    data = {"flags": ",".join(str(config.pk) for config in configs), "reason": "", **sent}
    return client.post(reverse(f"admin:flags_flagconfig_{act}"), data)


@pytest.mark.parametrize(
    ("act", "sent"),
    [("switch_on_many", {}), ("tag_many", {"add": "pay"}), ("archive_many", {"reason": "Done"})],
)
def test_several__policy_asks__are_asked_for_in_one_request(console_owner, guarded, configs, act, sent):
    before = served(guarded)
    refused = send_many(console_owner, act, configs, **sent)
    assert refused.status_code == 409
    assert ">Ask for approval</button>" in refused.text

    asked = send_many(console_owner, act, configs, **sent, **PROPOSE)

    request = ChangeRequest.objects.get()
    assert asked.url == object_url(request)
    assert [change["resource"]["key"] for change in request.changes] == ["one", "two"]
    assert {change["action"] for change in request.changes} == {"archive" if act == "archive_many" else "update"}
    assert served(guarded) == before


def test_copies__to_where_a_policy_asks__are_asked_for_there(console_owner, acme, guarded, configs):
    live = [FlagConfig.objects.get(flag=config.flag_id, environment=acme.production) for config in configs]
    flags.update_flag(
        actor=ALICE, environment=acme.production, key="one", payload={"rollout": shares(treatment=90)}, version=None
    )
    asked = console_owner.get(page(live[0], "copy", to="staging"))
    assert ASKED in asked.text

    seen = asked.context["form"].initial
    for_one = console_owner.post(
        page(live[0], "copy", to="staging"), {**seen, "to": "staging", "reason": "", **PROPOSE}
    )

    assert for_one.url == object_url(ChangeRequest.objects.get(environment=guarded))
    seen = send_many(console_owner, "copy_many", live, to="staging", look="").context["form"].initial["seen"]
    many = send_many(console_owner, "copy_many", live, to="staging", seen=seen, **PROPOSE)
    assert ChangeRequest.objects.filter(environment=guarded).count() == 2, many.text


def test_import__policy_asks__is_shown_again_and_asked_for(console_owner, guarded, configs):
    address = f"{reverse('admin:flags_flagconfig_import')}?environment={guarded.pk}"
    exported = f"{reverse('admin:flags_flagconfig_export')}?environment={guarded.pk}"
    document = json.loads(console_owner.get(exported).content)
    document["flags"][0]["enabled"] = True
    file = SimpleUploadedFile("flags.json", json.dumps(document).encode())
    shown = console_owner.post(address, {"environment": guarded.pk, "format": "flagship", "file": file}).context
    sent = {"environment": guarded.pk, "format": "flagship", "kept": shown["kept"], "version": shown["version"]}

    refused = console_owner.post(address, sent)

    assert refused.status_code == 409
    assert refused.context["report"].updated
    assert ">Ask for approval</button>" in refused.text
    asked = console_owner.post(address, {**sent, **PROPOSE})
    request = ChangeRequest.objects.get()
    assert asked.url == object_url(request)
    assert request.changes[0]["action"] == "import"


def test_release__policy_asks__is_asked_for_and_never_kills(console_owner, guarded, configs):
    flags.kill_flag(actor=ALICE, environment=guarded, key="one")
    address = f"{reverse('admin:flags_flagconfig_kill_all')}?environment={guarded.pk}"
    sent = {"environment": guarded.pk, "confirm": "staging", "reason": "Mended", "release": ""}

    refused = console_owner.post(address, sent)

    assert refused.status_code == 409
    assert '<input type="hidden" name="release" value="1">' in refused.text
    asked = console_owner.post(address, {**sent, "release": "1", **PROPOSE})
    request = ChangeRequest.objects.get()
    assert asked.url == object_url(request)
    assert request.changes[0]["action"] == "release"
    assert FlagConfig.objects.filter(environment=guarded).exclude(kill_switch_variant="").count() == 1


def test_pages__of_each_act_that_serves__say_what_is_asked(console_owner, staging, configs):
    where = {"actor": ALICE, "environment": staging}
    layer, _ = flags.create_layer(**where, payload={"key": "till"})
    experiments.create_metric(**where, payload={"key": "m", "type": "binary", "eventName": "m"})
    design = {"key": "e", "name": "e", "flagKey": "one", "primaryMetric": "m"}
    draft = experiments.create_experiment(**where, payload=design)
    guarded = guard(staging)
    listed = f"{reverse('admin:flags_flagconfig_changelist')}?environment={guarded.pk}"
    asked = console_owner.post(
        listed, {"action": "switch_on_selected", ACTION_CHECKBOX_NAME: [config.pk for config in configs]}
    )
    pages = {
        "list": asked.text,
        "switch": console_owner.get(page(configs[0], "switch")).text,
        "archive": console_owner.get(page(configs[0], "archive")).text,
        "layer": console_owner.get(object_url(layer, "edit")).text,
        "start": console_owner.get(object_url(draft, "start")).text,
        "environment": console_owner.get(object_url(guarded)).text,
        "new segment": console_owner.get(f"{reverse('admin:flags_segment_add')}?environment={guarded.pk}").text,
    }

    assert [name for name, text in pages.items() if ASKED not in text or ">Ask for approval</button>" not in text] == []
    # A kill asks nobody.
    assert "Ask for approval" not in console_owner.get(page(configs[0], "kill")).text


def test_freeze__alone__is_said_and_a_change_may_be_proposed_meanwhile(console_editor, staging, configs):
    create_freeze(actor=ALICE, place=staging, payload={"name": "Holidays", "reason": "Nobody is here"})
    shown = console_editor.get(change_url(configs[0]))
    assert "Holidays holds: Nobody is here; nothing is published." in shown.text
    sent = fields(console_editor, configs[0], enabled=True)

    refused = console_editor.post(change_url(configs[0]), sent)

    assert refused.status_code == 409
    assert "Holidays holds in staging: Nobody is here" in refused.text
    assert ">Ask for approval</button>" in refused.text
    assert console_editor.post(change_url(configs[0]), {**sent, **PROPOSE}).status_code == 302
    assert ChangeRequest.objects.get().asks == []


def test_request__edited_in_the_flags_own_form__changes_the_request_alone(console_editor, guarded, configs):
    sent = fields(console_editor, configs[0], enabled=True)
    console_editor.post(change_url(configs[0]), {**sent, **PROPOSE})
    request, before = ChangeRequest.objects.get(), served(guarded)
    address = f"{change_url(configs[0])}?change_request={request.pk}"
    shown = console_editor.get(address)
    assert shown.context["form"]["enabled"] is True
    assert ">Change the request</button>" in shown.text
    assert "Ask for approval" not in shown.text
    edit = shown.context["edit"]

    answer = console_editor.post(address, sent_by(edit, {**edit.document, "rollout": shares(treatment=50)}))

    assert answer.url == object_url(request)
    changed = ChangeRequest.objects.get()
    assert changed.changes[0]["patch"] == {"enabled": True, "rollout": shares(treatment=50)}
    assert changed.content != request.content
    assert served(guarded) == before
    assert console_editor.get(f"{change_url(configs[0])}?change_request=nonsense").status_code == 404


def test_preview__of_an_edit__says_what_it_leaves_of_a_request(console_editor, guarded, configs):
    sent = fields(console_editor, configs[0], enabled=True, rollout=shares(treatment=50))
    console_editor.post(change_url(configs[0]), {**sent, **PROPOSE})
    beside = console_editor.get(change_url(configs[0])).text
    assert "Waiting for approval" in beside
    assert "Default rollout: 50 % treatment, was 25 % treatment." in beside

    edit = fields(console_editor, configs[0], enabled=True, rollout=shares(treatment=30))
    left = " ".join(console_editor.post(page(configs[0], "preview"), edit).text.split())

    assert "What it leaves of what waits for approval" in left
    assert "Default rollout: 50 % treatment, was 30 % treatment." in left
    assert "Both change: Rollout." in left
    assert "Switched on." not in left
