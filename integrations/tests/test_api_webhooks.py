"""Webhooks over HTTP: made, changed, rotated, tested, their deliveries read and sent again."""

import json

import pytest

from audit.models import Entry
from integrations.models import WebhookDelivery, WebhookEndpoint
from integrations.webhooks.delivery import Outcome, deliver_next

BODY = {"name": "CI", "events": ["organization.*"]}


@pytest.fixture
def hook(admin, receiver):
    answer = admin.post("webhooks", {**BODY, "url": f"{receiver.url}/ci"})
    assert answer.status_code == 201, answer.content
    return answer.json()


def _work(hook):
    while deliver_next(hook["id"]) is Outcome.DELIVERED:
        pass


def test_webhooks__are_made_listed_changed_and_deleted(admin, hook):
    assert hook["secret"].startswith("whsec_")
    listed = admin.get("webhooks").json()
    assert (listed["count"], listed["results"][0]["id"]) == (1, hook["id"])
    assert "secret" not in listed["results"][0]
    path = f"webhooks/{hook['id']}"

    read = admin.get(path).json()
    assert admin.put(path, read).json()["version"] == 1
    changed = admin.patch(path, {"enabled": False, "version": 1}).json()
    assert (changed["version"], changed["disabledReason"]) == (2, "switched off by a person")
    replaced = admin.put(path, {**BODY, "url": hook["url"], "version": 2}).json()
    assert (replaced["enabled"], replaced["disabledReason"]) == (True, None)
    assert admin.patch(path, {"name": "x", "version": 2}).status_code == 409
    assert admin.delete(path).status_code == 204
    assert admin.get(path).status_code == 404


def test_webhooks__the_same_idempotency_key__makes_one_and_shows_its_secret_once(admin, receiver):
    body = {**BODY, "url": receiver.url}
    first, again = (admin.post("webhooks", body, headers={"Idempotency-Key": "k1"}).json() for _ in range(2))

    assert (first["id"], again["secret"]) == (again["id"], None)
    assert WebhookEndpoint.objects.count() == 1


def test_webhooks__what_is_wrong__is_named(admin):
    answer = admin.post("webhooks", {"name": "x", "url": "http://[::1]/", "events": ["flag.eaten"], "colour": "red"})
    assert answer.json()["errors"][0]["attr"] == "colour"
    answer = admin.post("webhooks", {"name": "x", "url": "http://[::1]/", "events": ["flag.eaten"]})
    assert {(error["attr"], error["code"]) for error in answer.json()["errors"]} == {
        ("events[0]", "unknown_event"),
        ("url", "forbidden_address"),
    }
    assert admin.get("webhooks", color="red").status_code == 400


def test_webhooks__of_another_tenant_or_below_admin__are_not_there(hook, outsider, editor):
    for method, path in (("get", ""), ("get", "/deliveries"), ("post", "/test"), ("post", "/rotate-secret")):
        assert getattr(outsider, method)(f"webhooks/{hook['id']}{path}").status_code == 404
        assert getattr(editor, method)(f"webhooks/{hook['id']}{path}").status_code == 403


def test_deliveries__are_listed_shown_whole_and_sent_again(admin, organization, hook, receiver):
    tested = admin.post(f"webhooks/{hook['id']}/test")
    assert (tested.status_code, tested.json()["state"]) == (202, "waiting")
    admin.patch("organizations/acme", {"name": "Acme Inc.", "version": 1})
    receiver.behave = lambda number, _path: "500" if number == 1 else "ok"
    _work(hook)

    path = f"webhooks/{hook['id']}/deliveries"
    rows = admin.get(path).json()["results"]
    assert [(row["kind"], row["state"], row["eventType"]) for row in rows] == [
        ("event", "failed", "organization.updated"),
        ("test", "delivered", "webhook.test"),
    ]
    assert admin.get(path, state="failed").json()["count"] == 1
    assert admin.get(path, kind="test", eventType="webhook.test").json()["count"] == 1
    whole = admin.get(f"{path}/{rows[0]['id']}").json()
    assert (whole["responseStatus"], whole["responseBody"]) == (500, "thanks")
    assert json.loads(whole["requestBody"]) == receiver.received[1].event
    assert whole["requestHeaders"]["webhook-id"] == receiver.received[1].id == rows[0]["eventId"]
    assert admin.get(f"webhooks/{hook['id']}").json()["failedAttempts"] == 1
    assert admin.post(f"{path}/{rows[1]['id']}/redeliver").json()["errors"][0]["code"] == "not_redeliverable"

    assert admin.post(f"{path}/{rows[0]['id']}/redeliver").status_code == 202
    _work(hook)
    assert receiver.received[2].id == receiver.received[1].id
    assert receiver.received[2].verify(hook["secret"])["data"]["after"]["name"] == "Acme Inc."


def test_redeliver_since__and_rotate_secret__work(admin, hook, receiver):
    first = Entry.objects.order_by("id")[0].occurred_at.isoformat()
    assert admin.post(f"webhooks/{hook['id']}/redeliver", {"since": first}).status_code == 202
    rotated = admin.post(f"webhooks/{hook['id']}/rotate-secret").json()
    _work(hook)

    assert receiver.received[0].event["type"] == "organization.created"
    assert receiver.received[0].verify(hook["secret"]) == receiver.received[0].verify(rotated["secret"])
    assert rotated["previousSecretUntil"]
    assert admin.post(f"webhooks/{hook['id']}/redeliver", {"since": "2100-01-01T00:00:00Z"}).status_code == 400


def test_event_types__are_there_for_every_member(viewer):
    found = {row["name"]: row for row in viewer.get("event-types", pageSize="200").json()["results"]}

    assert found["flag.killed"]["states"]["properties"]["killReason"] == {"type": "string"}
    assert found["flag.updated"]["entity"] == "flag"


def test_document__webhooks__has_every_event_with_its_shape(client, db):
    document = json.loads(client.get("/api/schema/", headers={"Accept": "application/json"}).content)

    assert {"flag.killed", "webhook.disabled", "experiment.alarmed"} <= document["webhooks"].keys()
    post = document["webhooks"]["flag.updated"]["post"]
    schema = post["requestBody"]["content"]["application/json"]["schema"]
    assert schema["properties"]["type"] == {"const": "flag.updated"}
    assert {"$ref": "#/components/schemas/Flag"} in schema["properties"]["data"]["allOf"][1]["properties"]["after"][
        "anyOf"
    ]
    assert {"webhook-id", "webhook-signature"} <= {one["name"] for one in post["parameters"]}


def test_deliveries__query_count__does_not_grow(admin, hook, django_assert_max_num_queries):
    for position in range(30):
        WebhookDelivery.objects.create(endpoint_id=hook["id"], event_type="flag.updated", position=position)
    with django_assert_max_num_queries(12):
        assert admin.get(f"webhooks/{hook['id']}/deliveries").json()["count"] == 30
