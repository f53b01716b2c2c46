"""Segments and layers in the console."""

import json
from datetime import timedelta

import pytest
from django.urls import reverse
from django.utils import timezone
from openflagship.ids import uuid7

from analytics.event_records import Batch, ExposureEvent
from analytics.services import store_events
from flags import services
from flags.models import Layer, Segment
from flags.tests.console_documents import sent_by
from tenancy.testing import ALICE

TREE = {"all": [{"attribute": "plan", "operator": "in", "value": ["pro"]}]}


@pytest.fixture
def segment(acme):
    content = {"key": "beta", "name": "Beta testers", "included": ["alice"], "conditions": TREE}
    return services.create_segment(actor=ALICE, environment=acme.staging, payload=content)[0]


def add_url(model, acme):
    return f"{reverse(f'admin:flags_{model}_add')}?environment={acme.staging.pk}"


def change_url(row):
    return reverse(f"admin:flags_{row._meta.model_name}_change", args=[row.pk])


def test_segment__created_and_listed__works(console_editor, acme):
    document = {"key": "beta", "name": "Beta testers", "included": ["alice", "bob"], "conditions": TREE}

    answer = console_editor.post(add_url("segment", acme), {"document": json.dumps(document)})

    assert answer.status_code == 302
    made = Segment.objects.get()
    assert (made.included, made.conditions, made.environment) == (["alice", "bob"], TREE, acme.staging)
    page = console_editor.get(reverse("admin:flags_segment_changelist"), {"environment": acme.staging.pk})
    assert "Beta testers" in page.text


@pytest.mark.parametrize("tree", ["{", {"all": [{"attribute": "plan", "operator": "resembles", "value": "pro"}]}])
def test_segment__conditions_nobody_can_read__says_so_beside_them(console_editor, acme, tree):
    document = {"key": "beta", "name": "Beta", "conditions": tree}
    answer = console_editor.post(add_url("segment", acme), {"document": json.dumps(document)})

    assert answer.status_code == 422
    assert all(problem.attr.startswith("conditions") for problem in answer.context["edit"].problems)
    assert not Segment.objects.exists()


def test_segment__changed_meanwhile__is_not_overwritten(console_editor, acme, segment):
    services.update_segment(
        actor=ALICE, environment=acme.staging, key="beta", payload={"included": ["carol"]}, version=segment.version
    )

    base = {"name": "Beta testers", "included": ["alice"], "excluded": [], "conditions": TREE}
    answer = console_editor.post(
        change_url(segment),
        {"document": json.dumps({**base, "name": "Mine"}), "version": segment.version, "base": json.dumps(base)},
    )

    assert answer.status_code == 409
    segment.refresh_from_db()
    assert (segment.name, segment.included) == ("Beta testers", ["carol"])
    merged = answer.context["edit"]
    assert merged.conflict["who"] == "alice"
    assert [change["path"].partition("[")[0] for change in merged.conflict["changes"]] == ["included"]
    assert (merged.document["name"], merged.document["included"]) == ("Mine", ["carol"])

    assert console_editor.post(change_url(segment), sent_by(merged, merged.document)).status_code == 302
    segment.refresh_from_db()
    assert (segment.name, segment.included) == ("Mine", ["carol"])


def test_segment__saved__works(console_editor, segment):
    document = {"name": "Beta", "included": [], "excluded": ["mallory"], "conditions": None}
    sent = sent_by(console_editor.get(change_url(segment)).context["edit"], document)

    assert console_editor.post(change_url(segment), sent).status_code == 302
    segment.refresh_from_db()
    assert (segment.name, segment.included, segment.excluded, segment.conditions) == ("Beta", [], ["mallory"], None)


def test_layer__created_and_shown__works(console_editor, acme):
    console_editor.post(add_url("layer", acme), {"key": "checkout", "name": "Checkout"})
    layer = Layer.objects.get()

    page = console_editor.get(change_url(layer))

    assert "100.00 %" in page.text
    assert "free" in page.text


def test_viewer__sees_and_may_not_change(console_viewer, acme, segment):
    assert "alice" in console_viewer.get(change_url(segment)).text
    assert console_viewer.post(change_url(segment), {"name": "x", "version": segment.version}).status_code == 403
    for model in ("segment", "layer"):
        assert console_viewer.post(add_url(model, acme), {"key": "x"}).status_code == 403


def test_outsider__finds_nothing(console_outsider, segment):
    assert console_outsider.get(change_url(segment)).status_code == 404
    assert console_outsider.post(change_url(segment)).status_code == 404


def preview(client, acme, **document):
    url = f"{reverse('admin:flags_segment_preview')}?environment={acme.staging.pk}"
    return client.post(url, {"key": "beta", "document": json.dumps(document)})


def saw(environment, unit, **attributes):
    at = round((timezone.now() - timedelta(minutes=5)).timestamp() * 1000)
    exposure = ExposureEvent(
        uuid7(at), environment.pk, "new-checkout", unit, "control", "DEFAULT", None, None, 1, at, at, "api", None,
        json.dumps(attributes),
    )  # fmt: skip
    store_events(Batch(exposures=[exposure]))


def test_segment_preview__nested_groups__are_said_and_people_counted(console_viewer, acme, segment):
    for unit, plan in (("alice", "free"), ("bob", "pro"), ("carol", "team")):
        saw(acme.staging, unit, plan=plan, age=20)
    saw(acme.production, "elsewhere", plan="team")
    tree = {
        "any": [
            {"attribute": "plan", "operator": "equals", "value": "team"},
            {"not": {"all": [{"attribute": "age", "operator": "less_than", "value": 30}]}},
        ]
    }

    answer = preview(console_viewer, acme, included=["alice"], conditions=tree)

    assert answer.context["sentence"] == "plan is team or not (age is less than 30)"
    found = answer.context["found"]
    assert (found.units, found.before, found.after, found.joined, found.left) == (3, 2, 2, 1, 1)
    assert "1 come in, 1 leave" in answer.text


@pytest.mark.parametrize("conditions", ["{", {"all": [{"attribute": "age", "operator": "resembles", "value": 1}]}])
def test_segment_preview__what_cannot_be_read__says_so(console_viewer, acme, conditions):
    answer = preview(console_viewer, acme, conditions=conditions)

    assert answer.status_code == 200
    assert answer.context["problems"]


def test_segment__used__says_by_whom(console_viewer, acme, segment):
    rule = {
        "priority": 10,
        "variant": "treatment",
        "conditions": [{"operator": "in_segment", "value": ["beta"]}],
    }
    services.create_flag(actor=ALICE, environment=acme.staging, payload={"key": "new-checkout", "rules": [rule]})

    page = console_viewer.get(change_url(segment))

    assert page.context["users"] == ["flag new-checkout, rule 10"]
    assert "Save" not in page.text.partition('id="segment-form"')[2]
