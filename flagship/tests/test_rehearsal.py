"""Experiments with a known truth, through the real services: each must get the recommendation it deserves."""

from dataclasses import replace

import pytest
from django.core.management import CommandError, call_command

from analytics.models import Exposure
from audit.actors import system
from audit.models import Entry
from experiments.models import Experiment
from experiments.signals import experiment_alarmed, experiment_changed
from flagship.demo.rehearsal import SCENARIOS, rehearse
from flagship.management.commands import rehearse_experiments
from tenancy.models import Organization

LIFT, SPLIT, HARM, NULL = SCENARIOS


@pytest.fixture
def heard():
    found = []

    def on_alarm(*, kind, action, **_):
        found.append(f"{kind} alarm: {action}")

    def on_change(*, change, actor, **_):
        if actor.kind == "system" and change == "paused":
            found.append("paused by the system")

    experiment_alarmed.connect(on_alarm)
    experiment_changed.connect(on_change)
    yield found
    experiment_alarmed.disconnect(on_alarm)
    experiment_changed.disconnect(on_change)


def _rehearse(scenario, environment):
    return rehearse(scenario, actor=system("rehearsal"), environment=environment)


def test_lift_of_four_points__is_to_be_shipped(environment, heard):
    outcome = _rehearse(LIFT, environment)
    (comparison,) = outcome.results["comparisons"]

    assert outcome.is_right, outcome.recommendation
    assert outcome.recommendation["text"] == "Ship treatment: it is better than control."
    assert comparison["sequentialCi"][0] < 0.04 < comparison["sequentialCi"][1]
    assert comparison["sequentialCi"][0] > 0
    assert (outcome.cycles, heard) == (("no new alarm", "no new alarm"), [])


def test_lost_users__forbid_any_verdict_above_lift_and_harm(environment, heard):
    outcome = _rehearse(SPLIT, environment)

    assert outcome.is_right, outcome.recommendation
    assert outcome.recommendation["text"].startswith("Do not trust")
    assert (outcome.results["srm"]["warning"], outcome.results["srm"]["alarm"]) == (True, True)
    assert outcome.results["comparisons"][0]["significant"] is True
    assert outcome.results["guardrails"][0]["status"] == "violated"
    assert "srm alarm: warn" in heard


def test_harmful_guardrail__is_paused_by_the_system_in_the_next_cycle(environment, heard):
    outcome = _rehearse(HARM, environment)

    assert outcome.is_right, outcome.recommendation
    assert "rehearsal-errors is worse for treatment" in outcome.recommendation["reasons"][0]
    assert (outcome.cycles, outcome.alarms) == (("no new alarm", "1 new alarms"), ("guardrail: pause",))
    assert heard == ["paused by the system", "guardrail alarm: pause"]
    paused = Entry.objects.get(action="experiment.paused")
    assert (paused.actor_kind, "rehearsal-errors" in paused.reason) == ("system", True)


def test_no_difference__has_no_winner(environment, heard):
    outcome = _rehearse(NULL, environment)
    (comparison,) = outcome.results["comparisons"]

    assert outcome.is_right, outcome.recommendation
    assert (comparison["significant"], outcome.recommendation["variant"]) == (False, None)
    assert outcome.recommendation["text"].startswith("Inconclusive: the experiment has reached its planned size")
    assert heard == []


def test_command__says_what_each_was_told_and_leaves_nothing_behind(db, monkeypatch, capsys):
    monkeypatch.setattr(rehearse_experiments, "SCENARIOS", (HARM,))
    call_command("rehearse_experiments")
    said = capsys.readouterr().out

    assert "watched    no new alarm, then 1 new alarms; paused" in said
    assert "told       stop: Stop: a guardrail shows harm in treatment. Serve control.\n  right" in said
    assert not Organization.objects.exists()
    assert not Exposure.objects.exists()


def test_command__verdict_that_is_not_deserved__fails(environment, monkeypatch, capsys):
    monkeypatch.setattr(rehearse_experiments, "SCENARIOS", (replace(NULL, expected_action="ship"),))
    path = f"{environment.project.organization.slug}/{environment.project.key}/{environment.key}"
    with pytest.raises(CommandError, match="Not what it deserves: rehearsal-null"):
        call_command("rehearse_experiments", "--keep", path)

    assert Experiment.objects.get().config.flag.key == "rehearsal-null"
    with pytest.raises(CommandError, match="complete it first"):
        call_command("rehearse_experiments", "--keep", path)
    with pytest.raises(CommandError, match="There is no environment"):
        call_command("rehearse_experiments", "--keep", "nowhere")
