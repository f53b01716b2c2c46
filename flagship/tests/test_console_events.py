"""Events in the console: how an environment keeps them, and those that could not be stored."""

import pytest
from django.urls import reverse

from analytics.models import DeadLetter, EventPolicy
from analytics.pipeline import dead_letters
from analytics.pipeline.brokers.base import BrokerFullError
from audit.models import Entry


@pytest.fixture
def letters(acme, globex):
    for place in (acme.production, acme.staging, globex):
        DeadLetter.objects.create(environment_id=place.pk, kind="exposure", reason=f"too old for {place}", payload=b"x")


def url(place, name="console_events"):
    return f"{reverse(name)}?environment={place.pk}"


def test_policy__is_shown_to_members_and_set_by_admins(console_viewer, console_owner, acme):
    sent = {"environment": acme.production.pk, "retention_days": "30", "attributes": "plan, shop", "pseudonyms": "on"}
    assert console_owner.post(url(acme.production), sent).context["form"].errors.keys() == {"confirm"}
    assert not EventPolicy.objects.filter(pseudonym_key__isnull=False).exists()
    sent["confirm"] = acme.production.key
    assert "Admins of the environment change this." in console_viewer.get(url(acme.production)).text
    assert console_viewer.post(url(acme.production), sent).status_code == 403

    assert console_owner.post(url(acme.production), sent).status_code == 302

    policy = EventPolicy.objects.get(environment=acme.production)
    assert (policy.retention_days, policy.exposure_attributes) == (30, ["plan", "shop"])
    assert Entry.objects.get(action="events.policy_changed").environment == acme.production.key
    again = {**sent, "attributes": "none", "pseudonyms": "", "confirm": ""}
    assert console_owner.post(url(acme.production), again).status_code == 302
    policy.refresh_from_db()
    assert (policy.pseudonym_key is not None, policy.exposure_attributes) == (True, [])


@pytest.mark.parametrize(
    ("field", "value"),
    [("retention_days", "7"), ("retention_days", "x"), ("attributes", "userId"), ("attributes", "a" * 101)],
)
def test_policy__wrong_input__is_said_beside_the_field(console_owner, acme, field, value):
    answer = console_owner.post(url(acme.production), {"environment": acme.production.pk, field: value})

    assert answer.status_code == 422
    assert answer.context["form"].errors[field]
    assert not EventPolicy.objects.filter(retention_days__isnull=False).exists()


def test_dead_letters__of_the_environment_alone__are_sent_again_or_thrown_away(
    console_owner, console_viewer, acme, letters, monkeypatch
):
    shown = console_viewer.get(url(acme.production)).text
    assert f"too old for {acme.production}" in shown
    assert f"too old for {acme.staging}" not in shown
    sent = []
    monkeypatch.setattr(dead_letters, "retry", lambda ids: sent.append(len(ids)) or len(ids))

    console_owner.post(url(acme.production), {"environment": acme.production.pk, "retry": "1"})
    assert sent == [1]
    assert Entry.objects.get(action="events.dead_letters_retried").after == {"count": 1}
    throw = url(acme.staging, "console_events_discard")
    assert console_viewer.get(throw).status_code == 403
    assert "Throw away 1 event?" in console_owner.get(throw).text
    assert console_owner.post(throw, {"environment": acme.staging.pk, "reason": ""}).status_code == 422
    newest = console_owner.get(throw).context["form"].initial["newest"]
    DeadLetter.objects.create(environment_id=acme.staging.pk, kind="exposure", reason="later", payload=b"x")
    old = {"environment": acme.staging.pk, "reason": "old", "newest": newest}
    assert console_owner.post(throw, old).status_code == 302
    assert DeadLetter.objects.get(environment_id=acme.staging.pk).reason == "later"
    assert DeadLetter.objects.count() == 3
    assert Entry.objects.get(action="events.dead_letters_discarded").reason == "old"


def test_dead_letters__stream_full_halfway__what_was_sent_is_audited(console_owner, acme, letters, monkeypatch):
    def retry(ids):
        DeadLetter.objects.filter(pk=ids[0]).delete()
        raise BrokerFullError("The event stream is full.")

    DeadLetter.objects.create(environment_id=acme.production.pk, kind="exposure", reason="two", payload=b"x")
    monkeypatch.setattr(dead_letters, "retry", retry)

    answer = console_owner.post(url(acme.production), {"environment": acme.production.pk, "retry": "1"}, follow=True)

    assert "Not all were sent, and the others stay" in answer.text
    assert Entry.objects.get(action="events.dead_letters_retried").after == {"count": 1}
