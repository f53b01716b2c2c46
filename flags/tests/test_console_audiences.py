"""Segments and layers in the console."""

import json

import pytest
from django.urls import reverse

from flags import services
from flags.models import Layer, Segment
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
    sent = {"key": "beta", "name": "Beta testers", "included": "alice\nbob\n", "conditions": json.dumps(TREE)}

    answer = console_editor.post(add_url("segment", acme), sent)

    assert answer.status_code == 302
    made = Segment.objects.get()
    assert (made.included, made.conditions, made.environment) == (["alice", "bob"], TREE, acme.staging)
    page = console_editor.get(reverse("admin:flags_segment_changelist"), {"environment": acme.staging.pk})
    assert "Beta testers" in page.text


@pytest.mark.parametrize("tree", ["{", '{"all": [{"attribute": "plan", "operator": "resembles", "value": "pro"}]}'])
def test_segment__conditions_nobody_can_read__says_so_beside_them(console_editor, acme, tree):
    answer = console_editor.post(add_url("segment", acme), {"key": "beta", "conditions": tree})

    assert answer.status_code == 422
    assert answer.context["form"].errors["conditions"]
    assert not Segment.objects.exists()


def test_segment__changed_meanwhile__is_not_overwritten(console_editor, acme, segment):
    services.update_segment(
        actor=ALICE, environment=acme.staging, key="beta", payload={"included": ["carol"]}, version=segment.version
    )

    answer = console_editor.post(change_url(segment), {"name": "Mine", "version": segment.version})

    assert answer.status_code == 422
    segment.refresh_from_db()
    assert (segment.name, segment.included) == ("Beta testers", ["carol"])


def test_segment__saved__works(console_editor, segment):
    sent = {"name": "Beta", "included": "", "excluded": "mallory", "conditions": "", "version": segment.version}

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
