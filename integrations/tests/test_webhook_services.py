"""The services of webhooks: what they refuse, what they write, and what stands in the audit log."""

import pytest

from audit.models import Entry
from integrations import services
from integrations.event_types import event_types
from integrations.models import WebhookDelivery, WebhookEndpoint
from tenancy.errors import Conflict, Invalid
from tenancy.testing import ALICE

GOOD = {"name": "CI", "url": "https://93.184.216.34/hook/T0/s3cr3t", "events": ["flag.*"]}


def _create(organization, **fields):
    return services.create_webhook(actor=ALICE, organization=organization, payload={**GOOD, **fields})


def test_create_webhook__works(environment, organization):
    issued = _create(organization, projects=["web"], environments=["production"], tags=["pay", "pay"])

    endpoint = WebhookEndpoint.objects.get()
    assert (endpoint.events, endpoint.tags, endpoint.enabled) == (["flag.*"], ["pay"], True)
    assert issued.secret.startswith("whsec_")
    row = Entry.objects.order_by("-id")[0]
    assert (row.action, row.entity_type, row.entity_key) == ("webhook.created", "webhook", str(endpoint.pk))
    assert endpoint.cursor.position == row.position
    assert "s3cr3t" not in str(row.after)
    assert issued.secret not in str(row.after)


@pytest.mark.parametrize(
    ("fields", "attr", "code"),
    [
        ({"name": ""}, "name", "required"),
        ({"name": "x" * 201}, "name", "max_length"),
        ({"events": []}, "events", "required"),
        ({"events": "flag.*"}, "events", "invalid_type"),
        ({"events": ["flag.*", "flag.eaten"]}, "events[1]", "unknown_event"),
        ({"projects": ["nowhere"]}, "projects[0]", "unknown_project"),
        ({"environments": ["moon"]}, "environments[0]", "unknown_environment"),
        ({"tags": [""]}, "tags[0]", "max_length"),
        ({"url": "ftp://example.com"}, "url", "invalid"),
        ({"url": "http://127.1/"}, "url", "forbidden_address"),
        ({"url": "http://169.254.169.254/latest/meta-data"}, "url", "forbidden_address"),
        ({"secret": "mine"}, "secret", "unknown_field"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_create_webhook__what_is_wrong__is_refused_by_field(environment, organization, fields, attr, code):
    with pytest.raises(Invalid) as refused:
        _create(organization, **fields)

    assert (attr, code) in [(problem.attr, problem.code) for problem in refused.value.problems]
    assert not WebhookEndpoint.objects.exists()


def test_update_webhook__works_and_a_stale_version_is_refused(organization):
    endpoint = _create(organization).endpoint

    changed = services.update_webhook(
        actor=ALICE, endpoint=endpoint, payload={"name": "CD", "enabled": False}, version=1
    )

    assert (changed.name, changed.version, changed.disabled_reason) == ("CD", 2, "by_person")
    row = Entry.objects.order_by("-id")[0]
    assert {change["path"] for change in row.changes} >= {"name", "enabled"}
    with pytest.raises(Conflict) as refused:
        services.update_webhook(actor=ALICE, endpoint=endpoint, payload={"name": "CE"}, version=1)
    assert refused.value.problems[0].code == "version_conflict"
    with pytest.raises(Invalid) as read_only:
        services.update_webhook(actor=ALICE, endpoint=endpoint, payload={"createdBy": "eve"}, version=2)
    assert read_only.value.problems[0].code == "read_only"


def test_update_webhook__only_the_secret_part_of_the_address__shows_in_the_log_as_a_change(organization):
    endpoint = _create(organization).endpoint

    services.update_webhook(actor=ALICE, endpoint=endpoint, payload={"url": f"{GOOD['url']}x"}, version=1)

    change = Entry.objects.order_by("-id")[0].changes
    assert [one["path"] for one in change] == ["url", "version"]
    assert "s3cr3t" not in str(change)


def test_delete_webhook__works(organization, webhook):
    services.request_test(endpoint=webhook)

    services.delete_webhook(actor=ALICE, endpoint=webhook, reason="unused")

    assert not WebhookEndpoint.objects.exists()
    assert not WebhookDelivery.objects.exists()
    row = Entry.objects.order_by("-id")[0]
    assert (row.action, row.reason) == ("webhook.deleted", "unused")


def test_rotate__leaves_no_secret_in_the_log(organization):
    issued = _create(organization)

    rotated = services.rotate_webhook_secret(actor=ALICE, endpoint=issued.endpoint)

    row = Entry.objects.order_by("-id")[0]
    assert (row.action, row.after["generation"]) == ("webhook.secret_rotated", 2)
    assert rotated.secret not in str([row.before, row.after])


def test_event_types__are_the_audit_actions_with_the_shape_of_their_states():
    found = {one.name: one for one in event_types()}

    assert {
        "flag.updated", "flag.killed", "segment.updated", "experiment.started", "experiment.alarmed", "metric.created",
        "member.added", "credential.revoked", "environment.created", "job.failed", "webhook.disabled",
    } <= found.keys()  # fmt: skip
    assert "sample ratio mismatch or a harmful guardrail" in found["experiment.alarmed"].documentation
    assert found["flag.updated"].states == {"$ref": "#/components/schemas/Flag"}
    killed = found["flag.killed"].states
    assert set(killed["properties"]) == {"killSwitchVariant", "killedAt", "killReason"}
    assert "$ref" not in str([one.states for one in found.values() if "components" not in str(one.states)])
    assert all(one.label and one.documentation for one in found.values())
