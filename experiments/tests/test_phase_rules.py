"""What begins a phase: one pure function, and what the impact of a change says of it beforehand."""

import pytest
from django.db import OperationalError, connection

from experiments.models import Phase
from experiments.services.phases import begins_phase

PRO = [{"attribute": "plan", "operator": "equals", "value": "pro"}]
RULE = {"id": "r1", "priority": 10, "name": "Pro", "conditions": PRO, "variant": "treatment"}
SPLIT = [[0, 5_000, "treatment"]]
SECTION = {"id": "e1", "status": "running", "audience": None, "ranges": [[0, 10_000]], "controlVariant": "control"}
DOCUMENT = {
    "key": "checkout",
    "enabled": True,
    "killSwitchVariant": None,
    "bucketBy": "userId",
    "salt": "checkout",
    "prerequisites": [],
    "targets": [],
    "rules": [RULE],
    "allocation": SPLIT,
    "experiment": SECTION,
}
OWN = {**SECTION, "allocation": SPLIT, "priority": 20}


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"rules": []}, "rules"),
        ({"rules": [{**RULE, "conditions": []}]}, "rules"),
        ({"prerequisites": [{"flagKey": "payments", "variants": ["on"]}]}, "prerequisites"),
        ({"allocation": [[0, 6_000, "treatment"]]}, "split"),
        ({"salt": "anew"}, "salt"),
        ({"bucketBy": "deviceId"}, "bucketBy"),
        ({"experiment": {**SECTION, "audience": {"all": PRO}}}, "audience"),
        ({"experiment": {**SECTION, "allocation": [[0, 6_000, "treatment"]]}}, "split"),
        ({"salt": "anew", "rules": []}, "rules and salt"),
        ({"rules": [{**RULE, "id": "r2", "name": "Friends", "priority": 7}]}, None),
        ({"targets": [{"variant": "treatment", "userIds": ["alice"]}]}, None),
        ({"enabled": False, "killSwitchVariant": "control"}, None),
        ({"experiment": {**SECTION, "ranges": [[0, 9_000]], "status": "paused"}}, None),
        ({"experiment": None}, None),
        ({"experiment": {**SECTION, "id": "e2"}, "rules": []}, None),
    ],
)
def test_begins_phase__a_change_of_the_document__says_what_changed(change, word):
    assert begins_phase(DOCUMENT, {**DOCUMENT, **change}) == (word and f"The flag's {word} changed.")


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"allocation": [[0, 1, "treatment"]]}, None),
        ({"rules": [RULE, {**RULE, "id": "r2", "priority": 30}]}, None),
        ({"rules": [{**RULE, "priority": 20}]}, "rules"),
        ({"experiment": {**OWN, "priority": 5}}, "rules"),
        ({"experiment": {**OWN, "allocation": [[0, 6_000, "treatment"]]}}, "split"),
    ],
)
def test_begins_phase__own_split_and_place_among_the_rules__what_comes_after_it_is_nothing(change, word):
    before = {**DOCUMENT, "experiment": OWN}
    assert begins_phase(before, {**before, **change}) == (word and f"The flag's {word} changed.")


def test_impact__change_that_begins_a_phase__says_what_it_costs(viewer, running, expose):
    expose(running, {"control": 3, "treatment": 2})
    sent = {"priority": 1, "conditions": PRO, "variant": "treatment"}
    (found,) = viewer.post("flags/new-checkout/impact", {"config": {"rules": [sent]}}).json()["beginsPhase"]

    assert (found["experiment"], found["name"], found["usersSoFar"], found["days"] > 1) == (
        running.key,
        "Checkout",
        5,
        True,
    )
    assert found["reason"] == "The flag's rules changed."
    assert Phase.objects.count() == 1


def _away(_):
    raise OperationalError("ClickHouse: connection refused")


def _slow(_):
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_sleep(2)")


@pytest.mark.parametrize("count", [_away, _slow])
def test_impact__users_cannot_be_counted__still_says_that_a_phase_begins(viewer, running, monkeypatch, count):
    monkeypatch.setattr("experiments.services.phases.exposure_summary", count)
    monkeypatch.setattr("experiments.services.phases._COUNT_SECONDS", 0.05)
    sent = {"priority": 1, "conditions": PRO, "variant": "treatment"}
    answer = viewer.post("flags/new-checkout/impact", {"config": {"rules": [sent]}})
    assert answer.status_code == 200
    (found,) = answer.json()["beginsPhase"]
    assert (found["experiment"], found["usersSoFar"]) == (running.key, None)
    assert Phase.objects.count() == 1, "the transaction goes on"


def test_impact__single_target__begins_none(viewer, running):
    config = {"targets": [{"variant": "treatment", "userIds": ["alice"]}]}
    assert viewer.post("flags/new-checkout/impact", {"config": config}).json()["beginsPhase"] == []
