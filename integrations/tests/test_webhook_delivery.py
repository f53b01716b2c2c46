"""One delivery: what is sent and to whom, how it is signed, what is tried again, and when it ends."""

import json
import subprocess
from datetime import timedelta
from email.utils import format_datetime

import orjson
import pytest
from django.conf import settings as project_settings
from django.db import transaction
from django.utils import timezone

import audit.services
from audit.models import Entry
from integrations import services
from integrations.models import WebhookDelivery, WebhookEndpoint
from integrations.subjects import register_tags
from integrations.webhooks.delivery import Outcome, deliver_next, pause_seconds
from tenancy.testing import ALICE


@pytest.fixture
def happen(environment):
    """Write a row to the audit log, as a service would."""

    def write(key, action="flag.updated", at=environment, **states):
        with transaction.atomic():
            return audit.services.record(actor=ALICE, action=action, at=at, key=key, **states)

    return write


@pytest.fixture
def world(environment, staging, make_webhook):
    return environment, staging, make_webhook


def _deliver_all(endpoint):
    while deliver_next(endpoint.pk) is Outcome.DELIVERED:
        pass


def _at_once(endpoint, **state):
    """As if the pause were over."""
    endpoint.cursor.refresh_from_db()
    for name, value in {"due_at": None, **state}.items():
        setattr(endpoint.cursor, name, value)
    endpoint.cursor.save()


def test_deliver_next__events__arrive_in_order_signed_and_whole(environment, make_webhook, receiver, happen):
    issued = make_webhook("/a")
    rows = [happen(f"flag-{number}", after={"key": f"flag-{number}"}) for number in range(3)]

    _deliver_all(issued.endpoint)

    sent = receiver.received
    assert [one.event["data"]["key"] for one in sent] == ["flag-0", "flag-1", "flag-2"]
    assert [one.id for one in sent] == [f"evt_{row.hash[:32]}" for row in rows]
    event = sent[0].verify(issued.secret)
    assert (event["type"], event["data"]["organization"]) == ("flag.updated", "acme")
    assert event["data"]["after"] == {"key": "flag-0"}
    assert event["data"]["position"] == rows[0].position
    assert sent[0].headers["content-type"] == "application/json"
    issued.endpoint.cursor.refresh_from_db()
    assert issued.endpoint.cursor.position == rows[-1].position
    kept = WebhookDelivery.objects.order_by("id")
    assert [(row.state, row.response_status, row.response_body) for row in kept] == [("delivered", 200, "thanks")] * 3
    assert kept[0].request_headers["webhook-id"] == sent[0].id
    assert deliver_next(issued.endpoint.pk) is Outcome.IDLE


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"events": ["flag.killed"]}, ["killed"]),
        ({"events": ["segment.*", "flag.killed"]}, ["killed", "segment"]),
        ({"environments": ["staging"]}, ["elsewhere"]),
        ({"projects": ["web"], "events": ["flag.*"]}, ["tagged", "killed", "elsewhere"]),
        ({"tags": ["pay"], "events": ["flag.*"]}, ["tagged", "killed"]),
    ],
    ids=["event", "kind", "environment", "project", "tag"],
)
def test_deliver_next__filters__pass_what_was_asked_for(world, receiver, happen, fields, told):
    environment, staging, make_webhook = world
    register_tags("flag", lambda entry: {"pay"} if entry.entity_key == "killed" else set())
    endpoint = make_webhook(**fields).endpoint
    happen("tagged", before={"tags": ["pay"]}, after={"tags": []})
    happen("killed", "flag.killed")
    happen("segment", "segment.updated", after={"key": "segment"})
    happen("elsewhere", at=staging)
    happen("org", "organization.updated", at=environment.project.organization)

    _deliver_all(endpoint)

    assert [one.event["data"]["key"] for one in receiver.received] == told
    endpoint.cursor.refresh_from_db()
    assert endpoint.cursor.position == Entry.objects.filter(organization_id=endpoint.organization_id).count()


@pytest.mark.parametrize("behaviour", ["500", "redirect", "garbage", "close"])
def test_deliver_next__a_failure__is_tried_again_under_the_same_id(webhook, receiver, happen, behaviour):
    receiver.behave = lambda number, _path: behaviour if number == 0 else "ok"
    happen("one")
    happen("two")

    assert deliver_next(webhook.pk) is Outcome.FAILED
    assert deliver_next(webhook.pk) is Outcome.IDLE
    webhook.cursor.refresh_from_db()
    assert webhook.cursor.due_at > timezone.now()
    _at_once(webhook)
    _deliver_all(webhook)

    first, again, second = receiver.received
    assert (first.id, first.body) == (again.id, again.body)
    assert second.event["data"]["key"] == "two"
    attempts = WebhookDelivery.objects.order_by("id").values_list("attempt", "state")
    assert list(attempts) == [(1, "failed"), (2, "delivered"), (1, "delivered")]
    assert WebhookDelivery.objects.order_by("id")[0].error
    webhook.cursor.refresh_from_db()
    assert (webhook.cursor.attempts, webhook.cursor.failing_since) == (0, None)


@pytest.mark.parametrize(
    ("asked", "least", "most"),
    [("120", 115, 125), ("999999", 3590, 3610), ("soon", 0, 6), ("in the past", 0, 6), ("a date", 50, 65)],
)
def test_deliver_next__a_receiver_that_says_when_to_come_again__is_left_alone_until_then(  # noqa: PLR0917 - fixtures
    webhook, receiver, happen, asked, least, most
):
    now = timezone.now()
    dates = {"in the past": now - timedelta(hours=1), "a date": now + timedelta(seconds=60)}
    text = format_datetime(dates[asked], usegmt=True) if asked in dates else asked
    receiver.behave = lambda _number, _path: f"retry {text}"
    happen("one")

    assert deliver_next(webhook.pk) is Outcome.FAILED
    webhook.cursor.refresh_from_db()
    assert least <= (webhook.cursor.due_at - now).total_seconds() <= most


def test_pauses__grow_to_an_hour_and_are_spread():
    first, later, late = pause_seconds(1), pause_seconds(5), pause_seconds(60)

    assert 2.5 <= first <= 5
    assert 40 <= later <= 80
    assert 1800 <= late <= 3600
    assert len({pause_seconds(9) for _ in range(8)}) > 1


@pytest.mark.parametrize(
    ("behaviour", "hours", "reason"), [("500", 24, "failed"), ("410", 0, "gone")], ids=["a day of failures", "gone"]
)
def test_deliver_next__what_fails_for_good__is_disabled(webhook, receiver, happen, behaviour, hours, reason):  # noqa: PLR0917 - fixtures
    receiver.behave = lambda _number, _path: behaviour
    happen("one")
    _at_once(webhook, failing_since=timezone.now() - timedelta(hours=hours))

    assert deliver_next(webhook.pk) is Outcome.FAILED

    webhook.refresh_from_db()
    assert (webhook.enabled, webhook.disabled_reason) == (False, reason)
    row = Entry.objects.order_by("-id")[0]
    assert (row.action, row.entity_key, row.actor_kind) == ("webhook.disabled", str(webhook.pk), "system")
    assert row.after["name"] == webhook.name
    assert deliver_next(webhook.pk) is Outcome.IDLE
    # Switched on again, it goes on with the event at which it stopped.
    receiver.behave = lambda _number, _path: "ok"
    services.update_webhook(actor=ALICE, endpoint=webhook, payload={"enabled": True}, version=webhook.version)
    _deliver_all(webhook)
    assert receiver.taken()[0].event["data"]["key"] == "one"
    assert WebhookEndpoint.objects.get().disabled_reason == ""


def test_deliver_next__while_a_secret_rotates__both_secrets_verify(make_webhook, receiver, happen):
    issued = make_webhook()
    rotated = services.rotate_webhook_secret(actor=ALICE, endpoint=issued.endpoint)
    happen("one")
    _deliver_all(issued.endpoint)

    sent = receiver.received[-1]
    assert issued.secret != rotated.secret
    assert sent.verify(issued.secret) == sent.verify(rotated.secret)
    WebhookEndpoint.objects.update(previous_secret_until=timezone.now() - timedelta(seconds=1))
    happen("two")
    _deliver_all(issued.endpoint)
    assert len(receiver.received[-1].headers["webhook-signature"].split(" ")) == 1
    assert receiver.received[-1].verify(rotated.secret)


# What it is handed is verified as a receiver does it; what differs by one byte is refused.
_IN_NODE = """
import { Webhook } from "standardwebhooks";
const { secret, headers, body } = JSON.parse(process.argv[1]);
const event = new Webhook(secret).verify(body, headers);
let refused = false;
try { new Webhook(secret).verify(body + " ", headers); } catch { refused = true; }
console.log(JSON.stringify({ type: event.type, refused }));
"""


@pytest.mark.node
def test_deliver_next__a_delivery__verifies_with_the_library_in_javascript(make_webhook, receiver, happen):
    issued = make_webhook()
    services.rotate_webhook_secret(actor=ALICE, endpoint=issued.endpoint)
    happen("one", after={"name": "Größe ✓"})
    _deliver_all(issued.endpoint)
    subprocess.run(
        ["make", "node_modules/.installed"], cwd=project_settings.BASE_DIR, check=True, capture_output=True, timeout=600
    )

    for sent in receiver.received:
        given = json.dumps({"secret": issued.secret, "headers": sent.headers, "body": sent.body.decode()})
        done = subprocess.run(
            ["node", "--input-type=module", "--eval", _IN_NODE, given], cwd=project_settings.BASE_DIR, check=False,
            capture_output=True, text=True, timeout=120,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout) == {"type": sent.event["type"], "refused": True}


def test_deliver_next__after_the_secret_key_changed__receivers_still_verify(make_webhook, receiver, happen, settings):
    issued = make_webhook()
    settings.SECRET_KEY_FALLBACKS, settings.SECRET_KEY = [settings.SECRET_KEY], "another key of this installation" * 2
    happen("one")

    _deliver_all(issued.endpoint)

    assert receiver.received[0].verify(issued.secret)


def test_redeliver__one_event__is_sent_again_ahead_of_what_waits(webhook, receiver, happen):
    happen("one")
    _deliver_all(webhook)
    receiver.behave = lambda number, _path: "500" if number == 1 else "ok"
    happen("two")
    assert deliver_next(webhook.pk) is Outcome.FAILED

    made = services.redeliver(delivery=WebhookDelivery.objects.order_by("id")[0])
    assert services.redeliver(delivery=WebhookDelivery.objects.order_by("id")[0]) == made
    _deliver_all(webhook)

    keys = [one.event["data"]["key"] for one in receiver.received]
    # Once it is taken, the receiver is known to be back, so what had failed follows at once.
    assert keys == ["one", "two", "one", "two"]
    assert receiver.received[0].id == receiver.received[2].id
    made.refresh_from_db()
    assert (made.kind, made.state) == ("redelivery", "delivered")


def test_redeliver_since__every_event__is_sent_again_in_order(webhook, receiver, happen):
    happen("before")
    rows = [happen(f"flag-{number}") for number in range(3)]
    _deliver_all(webhook)
    first = [one.id for one in receiver.received]

    services.redeliver_since(actor=ALICE, endpoint=webhook, since=rows[0].occurred_at, reason="lost")
    _deliver_all(webhook)

    assert [one.id for one in receiver.received[4:7]] == first[1:]
    assert receiver.received[7].event["type"] == "webhook.replayed"
    assert Entry.objects.order_by("-id")[0].reason == "lost"


def test_request_test__is_delivered_as_every_event_is_even_while_disabled(make_webhook, receiver):
    issued = make_webhook(enabled=False)
    delivery = services.request_test(endpoint=issued.endpoint)
    assert delivery.state == "waiting"

    _deliver_all(issued.endpoint)

    assert receiver.received[0].verify(issued.secret)["type"] == "webhook.test"
    delivery.refresh_from_db()
    assert (delivery.state, delivery.response_status) == ("delivered", 200)


def test_deliver_next__an_answer_that_postgresql_cannot_store__is_stored_all_the_same(webhook, receiver, happen):
    receiver.behave = lambda _number, _path: "large"
    happen("one")

    _deliver_all(webhook)

    kept = WebhookDelivery.objects.get()
    assert len(kept.response_body) == 64 * 1024
    assert "\x00" not in kept.response_body


def test_deliver_next__an_address_that_became_forbidden__is_not_called(webhook, receiver, happen, settings):
    settings.WEBHOOK_ALLOWED_NETWORKS = []
    happen("one")

    assert deliver_next(webhook.pk) is Outcome.FAILED

    assert receiver.received == []
    assert "no public address" in WebhookDelivery.objects.get().error


def test_event__numbers_larger_than_64_bits__are_sent_as_they_are(webhook, receiver, happen):
    happen("one", after={"number": 2**70})

    _deliver_all(webhook)

    assert b"1180591620717411303424" in receiver.received[0].body
    with pytest.raises(orjson.JSONEncodeError):
        orjson.dumps(2**70)
