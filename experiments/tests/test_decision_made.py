"""A decision over HTTP: what it changes for whom, and what it takes to ship against the results (found C6)."""

from datetime import timedelta

import pytest
from django.utils import timezone
from openflagship.engine import Context

from audit.models import Entry
from experiments import services
from experiments.models import Experiment
from experiments.selectors import get_experiment
from flags.models import FlagConfig
from flags.propagation.runtime import load_environment
from tenancy.testing import ALICE

PRO = {"all": [{"attribute": "plan", "operator": "equals", "value": "pro"}]}
SHIP = {"decision": "ship", "variant": "treatment"}


def _reasons(environment, users=range(2_000)):  # 400 of them take part: a share of 0.5 is within 0.15 at six sigma
    compiled = load_environment(environment.pk)
    return [
        compiled.evaluate("new-checkout", Context(f"u-{user}", {"plan": ("pro", "free")[user % 2]})) for user in users
    ]


@pytest.fixture
def decided(environment, make_metric, make_experiment, start, expose):
    """An experiment of two weeks: 10 % against 20 % buy. `broken` loses arms' users and adds errors."""

    def _decided(*, broken=False, **payload):
        make_metric("errors", goal="decrease", eventName="error")
        guardrails = [{"metric": "errors", "marginPercent": 5}]
        began = timezone.now() - timedelta(days=14)
        experiment = start(make_experiment(guardrails=guardrails, **payload), at=began)
        counts = {"control": 2000, "treatment": 1200 if broken else 2000}
        at = began + timedelta(days=1)
        expose(experiment, counts, converted={"control": 200, "treatment": 400}, at=at)
        harmed = {"control": 100, "treatment": 600 if broken else 80}
        expose(experiment, counts, converted=harmed, at=at, event_name="error")
        return get_experiment(environment, experiment.pk)

    return _decided


def test_complete__results_recommend_it__needs_no_reason(editor, decided):
    experiment = decided()
    asked = editor.post(f"experiments/{experiment.slug}/impact", {"act": "complete", **SHIP}).json()
    assert asked["objections"] == []
    answer = editor.post(f"experiments/{experiment.slug}/complete", SHIP)
    assert (answer.status_code, answer.json()["status"]) == (200, "completed")
    evidence = Entry.objects.get(action="experiment.completed").after["evidence"]
    assert (evidence["recommendation"]["action"], evidence["objections"]) == ("ship", [])


def test_complete__failed_ratio_and_violated_guardrail__needs_a_reason_and_keeps_it(editor, decided):
    experiment = decided(broken=True)
    refused = editor.post(f"experiments/{experiment.slug}/complete", {**SHIP, "reason": "  "})
    (error,) = refused.json()["errors"]
    assert (refused.status_code, error["attr"], error["code"]) == (400, "reason", "reason_required")
    assert "sample ratio failed" in error["detail"]
    assert "errors is violated" in error["detail"]
    assert editor.post(f"experiments/{experiment.slug}/complete", {**SHIP, "reason": "The contract ends."}).json()
    entry = Entry.objects.get(action="experiment.completed")
    assert (entry.reason, entry.after["decision"]["variant"]) == ("The contract ends.", "treatment")
    evidence = entry.after["evidence"]
    assert evidence["recommendation"]["action"] == "do_not_trust"
    assert evidence["guardrailsViolated"] == [{"metric": "errors", "variant": "treatment"}]
    assert len(evidence["objections"]) >= 3


@pytest.mark.parametrize(
    ("decision", "changed"),
    [
        ({"decision": "stop"}, {"participants": 0.5, "others": 0}),
        (SHIP, {"participants": 0.5, "others": 1}),
        ({**SHIP, "to": "audience"}, {"participants": 0.5, "audience": 1, "others": 0}),
    ],
)
def test_impact__of_a_decision__is_what_it_then_does(environment, editor, make_experiment, start, decision, changed):  # noqa: PLR0917 - fixtures and parameters
    FlagConfig.objects.update(allocation=[])
    experiment = start(make_experiment(audience=PRO, trafficPercent=40))
    found = editor.post(f"experiments/{experiment.key}/impact", {"act": "complete", **decision}).json()
    assert {group["group"]: group["changed"] for group in found["groups"]} == changed
    before = _reasons(environment)
    editor.post(f"experiments/{experiment.key}/complete", {**decision, "reason": "Enough."})
    after = _reasons(environment)
    moved = {"participants": [], "audience": [], "others": []}
    for user, (old, new) in enumerate(zip(before, after, strict=True)):
        group = (
            "participants"
            if old.reason == "EXPERIMENT"
            else "others"
            if user % 2 or "audience" not in changed
            else "audience"
        )
        moved[group].append(old.variant != new.variant)
    assert {name: pytest.approx(sum(found) / len(found), abs=0.15) for name, found in moved.items() if found} == changed


def test_impact__of_a_start__says_what_switching_on_changes(editor, environment, make_experiment):
    FlagConfig.objects.update(is_enabled=False)
    experiment = make_experiment(audience=PRO)
    found = editor.post(f"experiments/{experiment.key}/impact", {"act": "start", "enableFlag": True}).json()
    assert {group["group"]: group["changed"] for group in found["groups"]} == {"participants": 0.5, "others": 0.5}
    preflight = editor.get(f"experiments/{experiment.key}/preflight").json()
    assert (preflight["mayStart"], preflight["enabling"]["changed"]) == (False, 0.5)
    started = editor.post(f"experiments/{experiment.key}/start", {"enableFlag": True})
    assert (started.status_code, started.json()["status"]) == (200, "running")


def test_ship__to_the_audience__is_a_rule_in_the_experiments_place(environment, make_experiment, start):
    experiment = start(make_experiment(audience=PRO, priority=7))
    services.complete_experiment(
        actor=ALICE, environment=environment, pk=experiment.pk, reason="x", to="audience", **SHIP
    )
    (rule,) = FlagConfig.objects.get().rules.all()
    assert (rule.priority, rule.conditions, rule.variant) == (7, PRO["all"], "treatment")


def test_ship__to_the_audience_of_an_experiment_from_before__leaves_the_others_the_default(
    editor, environment, make_experiment, start
):
    """Its split is the flag's rollout, which would otherwise deal to those outside the audience."""
    experiment = make_experiment(audience=PRO, trafficPercent=40)
    Experiment.objects.update(allocation=None)
    start(experiment)
    decision = {**SHIP, "to": "audience"}
    found = editor.post(f"experiments/{experiment.key}/impact", {"act": "complete", **decision}).json()
    assert {group["group"]: group["changed"] for group in found["groups"]}["others"] == 0
    outside = _reasons(environment)[1::2]
    editor.post(f"experiments/{experiment.key}/complete", {**decision, "reason": "Enough."})
    after = _reasons(environment)
    assert {answer.variant for answer in outside} == {answer.variant for answer in after[1::2]} == {"control"}
    assert {answer.variant for answer in after[::2]} == {"treatment"}


def test_from_rule__audience_place_and_shares__are_the_rules(editor, flag, make_metric):
    make_metric()
    rules = [
        {"priority": 10, "name": "Staff", "conditions": [], "variant": "treatment"},
        {"priority": 20, "name": "Pro", "conditions": PRO["all"], "rollout": [{"variant": "treatment", "percent": 25}]},
        {"priority": 21, "name": "Rest", "conditions": PRO["all"], "variant": "control"},
    ]
    version = editor.get("flags/new-checkout").json()["version"]
    stored = editor.patch("flags/new-checkout", {"rules": rules, "version": version}).json()["rules"]
    body = {"name": "On Pro", "flagKey": "new-checkout", "primaryMetric": "purchase-rate"}
    made = editor.post("experiments", {**body, "fromRule": stored[1]["id"]}).json()
    assert (made["audience"], made["priority"], made["key"]) == (PRO, 15, "on-pro")
    assert made["allocation"] == [{"variant": "control", "percent": 75}, {"variant": "treatment", "percent": 25}]
    own = [{"variant": "treatment", "percent": 40}]
    again = editor.post(
        "experiments", {**body, "fromRule": stored[0]["id"], "allocation": own, "priority": None}
    ).json()
    assert (again["audience"], again["priority"], again["allocation"][1]["percent"]) == (None, None, 40)
    for rule, code in ((stored[2]["id"], "no_room"), (made["id"], "unknown_rule")):
        error = editor.post("experiments", {**body, "fromRule": rule}).json()["errors"][0]
        assert (error["attr"], error["code"]) == ("fromRule", code)
    assert editor.get("experiments/on-pro").json() == made
    assert editor.get("flags/new-checkout").json()["version"] == version + 1
