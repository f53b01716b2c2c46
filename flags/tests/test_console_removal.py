"""Deleting segments and layers from the console: by editors, while nothing needs them."""

import pytest
from django.urls import reverse

from audit.models import Entry
from flags import services
from flags.models import Layer, Segment
from tenancy.testing import ALICE


@pytest.fixture
def things(acme):
    return {
        "segment": services.create_segment(actor=ALICE, environment=acme.staging, payload={"key": "beta"})[0],
        "layer": services.create_layer(actor=ALICE, environment=acme.staging, payload={"key": "checkout"})[0],
    }


def address(thing, act):
    return reverse(f"admin:flags_{thing._meta.model_name}_{act}", args=[thing.pk])


@pytest.mark.parametrize("noun", ["segment", "layer"])
def test_removal__nothing_needs_it__is_gone_with_its_reason(console_editor, things, noun):
    thing = things[noun]
    assert address(thing, "delete") in console_editor.get(address(thing, "change")).text
    assert "cannot be brought back" in console_editor.get(address(thing, "delete")).text

    assert console_editor.post(address(thing, "delete"), {"reason": "Unused"}).status_code == 302

    assert not type(thing).objects.exists()
    assert Entry.objects.get(action=f"{noun}.deleted").reason == "Unused"


def test_removal__segment_in_a_rule__is_refused_and_says_where(console_editor, acme, things):
    condition = {"operator": "in_segment", "value": ["beta"]}
    rule = {"priority": 10, "variant": "treatment", "conditions": [condition]}
    services.create_flag(actor=ALICE, environment=acme.staging, payload={"key": "new-checkout", "rules": [rule]})

    answer = console_editor.post(address(things["segment"], "delete"))

    assert answer.status_code == 409
    assert "new-checkout" in answer.text
    assert "cannot go yet" in answer.text
    assert Segment.objects.exists()


@pytest.mark.parametrize("noun", ["segment", "layer"])
def test_removal__viewer_or_outsider__may_not(console_viewer, console_outsider, things, noun):
    thing = things[noun]

    assert address(thing, "delete") not in console_viewer.get(address(thing, "change")).text
    assert console_viewer.post(address(thing, "delete")).status_code == 403
    assert console_outsider.post(address(thing, "delete")).status_code == 404
    assert Segment.objects.exists()
    assert Layer.objects.exists()
