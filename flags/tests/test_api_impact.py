"""What a change would do before it is made, over HTTP: shares, last week's users, experiments."""

import pytest
from django.utils import timezone
from openflagship.ids import uuid7

from analytics.event_records import Batch, ExposureEvent
from analytics.services import store_events
from flags import services
from flags.evaluation import impact
from flags.models import FlagConfig
from tenancy.testing import ALICE

RULE = {
    "priority": 1,
    "variant": "treatment",
    "conditions": [{"attribute": "plan", "operator": "equals", "value": "pro"}],
}
IN_BETA = {"operator": "in_segment", "value": ["beta"]}
SPLIT = [{"variant": "control", "percent": 75}, {"variant": "treatment", "percent": 25}]
SECTION = {
    "id": "exp-1",
    "status": "running",
    "controlVariant": "control",
    "layer": {"key": None, "salt": "exp-1"},
    "ranges": [[0, 10_000]],
}


def _problem(response):
    (problem,) = response.json()["errors"]
    return response.status_code, problem["attr"], problem["code"]


def _saw(environment, key, units, variant):
    _store_exposures(environment, key, [(unit, variant, None) for unit in units])


def test_impact__larger_rollout__is_exact_and_counts_last_weeks_users(viewer, environment, make_flag):
    make_flag("a", rollout=SPLIT)
    _saw(environment, "a", [f"u{number}" for number in range(400)], "control")
    wanted = [{"variant": "control", "percent": 50}, {"variant": "treatment", "percent": 50}]
    body = viewer.post("flags/a/impact", {"config": {"rollout": wanted}}).json()

    assert (body["basis"], body["changed"]) == ("everyone", 0.25)
    assert body["moves"] == [{"from": "control", "to": "treatment", "share": 0.25}]
    recent = body["recentlyExposed"]
    assert (recent["examined"], recent["undetermined"]) == (400, 0)
    assert 60 < recent["changed"] < 140
    assert recent["moves"] == [{"from": "control", "to": "treatment", "users": recent["changed"]}]
    assert FlagConfig.objects.get(environment=environment).version == 1


def _store_exposures(environment, key, seen):
    """Through the store, as the ingest does: (unit, variant, attributes as JSON text)."""
    now_ms = int(timezone.now().timestamp() * 1000)
    store_events(
        Batch([
            ExposureEvent(
                evaluation_id=uuid7(now_ms + number),
                environment_id=environment.pk,
                flag_key=key,
                unit_id=unit,
                variant=variant,
                reason="RULE",
                rule_id=None,
                experiment=None,
                config_version=1,
                occurred_ms=now_ms + number,
                received_ms=now_ms + number,
                source="api",
                attributes=attributes,
            )
            for number, (unit, variant, attributes) in enumerate(seen)
        ])
    )  # fmt: skip


def test_impact__attributes_were_kept__counts_exactly(viewer, environment, make_flag):
    make_flag("a", rules=[{**RULE, "conditions": [*RULE["conditions"], IN_BETA]}])
    services.create_segment(
        actor=ALICE,
        environment=environment,
        payload={"key": "beta", "conditions": {"attribute": "country", "operator": "equals", "value": "DE"}},
    )
    _store_exposures(
        environment,
        "a",
        [
            ("moved-since", "control", '{"plan": "free", "country": "DE"}'),
            # What it carried last counts, and what it carried explains more than what it saw.
            ("moved-since", "control", '{"plan": "pro", "country": "DE"}'),
            ("free", "control", '{"plan": "free", "country": "DE"}'),
            ("abroad", "control", '{"plan": "pro", "country": "FR"}'),
            ("half-known", "treatment", '{"plan": "pro"}'),
            ("unknown", "control", None),
        ],
    )
    recent = viewer.post("flags/a/impact", {"config": {"defaultVariant": "treatment"}}).json()["recentlyExposed"]

    assert (recent["users"], recent["examined"], recent["known"]) == (5, 5, 3)
    assert (recent["changed"], recent["undetermined"]) == (3, 1)
    assert recent["moves"] == [{"from": "control", "to": "treatment", "users": 3}]


def test_impact__user_saw_two_variants__is_one_user(viewer, environment, make_flag):
    make_flag("a", rollout=SPLIT)
    _store_exposures(environment, "a", [("u", "control", None), ("u", "treatment", None)])
    recent = viewer.post("flags/a/impact", {"config": {"enabled": False}}).json()["recentlyExposed"]

    assert (recent["users"], recent["examined"], recent["caveat"]) == (1, 1, None)


def test_impact__more_users_than_are_examined__says_so(viewer, environment, make_flag, monkeypatch):
    make_flag("a", rollout=SPLIT)
    monkeypatch.setattr(impact, "MOST_USERS_EXAMINED", 2)
    _store_exposures(environment, "a", [(f"u{number}", "control", None) for number in range(3)])
    recent = viewer.post("flags/a/impact", {"config": {"enabled": False}}).json()["recentlyExposed"]

    assert (recent["users"], recent["examined"]) == (3, 2)
    assert recent["caveat"] == "Only the latest 2 of these users were examined."


def test_impact__attributes_decide__leaves_users_undetermined(viewer, environment, make_flag):
    make_flag("a", rules=[RULE])
    _saw(environment, "a", ["pro-user"], "treatment")
    _saw(environment, "a", ["other"], "control")
    recent = viewer.post("flags/a/impact", {"config": {"defaultVariant": "treatment"}}).json()["recentlyExposed"]

    assert (recent["examined"], recent["changed"], recent["undetermined"]) == (2, 1, 1)


def test_impact__experiments_touched__are_named(viewer, environment, make_flag):
    make_flag("a", rollout=SPLIT)
    make_flag("b", prerequisites=[{"flagKey": "a", "variants": ["treatment"]}], rollout=SPLIT)
    services.set_experiment(actor=ALICE, environment=environment, key="b", section=SECTION)
    body = viewer.post("flags/a/impact", {"config": {"enabled": False}}).json()

    assert body["experiments"] == [{"id": "exp-1", "flagKey": "b", "relation": "has it as a prerequisite"}]


@pytest.mark.parametrize(
    ("body", "attr", "code"),
    [
        ({}, "config", "required"),
        ({"config": {"defaultVariant": "x"}}, "defaultVariant", "unknown_variant"),
    ],
)
def test_impact__bad_input__is_400(viewer, make_flag, body, attr, code):
    make_flag("a")

    assert _problem(viewer.post("flags/a/impact", body)) == (400, attr, code)


def test_impact__archived__is_409(editor, make_flag):
    make_flag("a")
    editor.delete("flags/a")

    assert _problem(editor.post("flags/a/impact", {"config": {}})) == (409, None, "flag_archived")
