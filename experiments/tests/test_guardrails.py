"""Guardrails: to pass is to be shown safe, to be violated is to be shown harmful, and anything between is undecided."""

from datetime import timedelta

import numpy as np
import pytest

from analytics.event_records import Batch
from analytics.services import store_events
from experiments.analysis import results_for
from experiments.statistics.guardrails import noninferiority_contrast
from experiments.statistics.means import mean_estimate
from experiments.statistics.summaries import Moments
from experiments.tests.conftest import START, conversion, exposure

LATER = START + timedelta(days=8)


@pytest.fixture
def guarded(make_metric, make_experiment, start):
    def _guarded(margin=10, **metric):
        make_metric("watched", **{"eventName": "error", "goal": "decrease", **metric})
        guardrail = {"metric": "watched", "marginPercent": margin}
        return start(make_experiment(guardrails=[guardrail]), at=START)

    return _guarded


def _judged(experiment):
    found = results_for(experiment, now=LATER)
    (judgement,) = found["guardrails"]
    return judgement, found


@pytest.mark.parametrize(
    ("converted", "status"),
    [
        ({"control": 1500, "treatment": 1500}, "pass"),
        ({"control": 1500, "treatment": 1600}, "undecided"),
        ({"control": 1500, "treatment": 1900}, "violated"),
    ],
)
def test_guardrail__more_errors__is_judged_by_the_margin(guarded, expose, converted, status):
    experiment = guarded()
    expose(experiment, {"control": 5000, "treatment": 5000}, converted=converted, event_name="error")
    judgement, _ = _judged(experiment)

    assert judgement["status"] == status


@pytest.mark.parametrize("goal", ["increase", "decrease"])
def test_guardrail__figures__are_the_statistics(guarded, expose, goal):
    experiment = guarded(goal=goal)
    expose(
        experiment, {"control": 800, "treatment": 800}, converted={"control": 400, "treatment": 410}, event_name="error"
    )
    judgement, _ = _judged(experiment)
    arms = Moments.from_sums(800, 400, 400), Moments.from_sums(800, 410, 410)
    expected = noninferiority_contrast(*map(mean_estimate, arms), 0.1, higher_is_better=goal == "increase")

    assert judgement["pValue"] == pytest.approx(expected.p_value)
    assert judgement["bound"] == pytest.approx(expected.bound)
    assert (judgement["relativeLift"], judgement["passed"]) == (pytest.approx(expected.diff), expected.passed)


def test_guardrail__five_buyers_against_one__is_no_harm_yet(guarded, expose):
    """Found P0-2: a flag was killed at 200 users. Public report: kortix-ai/suna PR#3403."""
    experiment = guarded(goal="increase")
    expose(experiment, {"control": 100, "treatment": 100}, converted={"control": 5, "treatment": 1}, event_name="error")
    judgement, found = _judged(experiment)

    assert (judgement["violated"], judgement["status"]) == (False, "undecided")
    assert "Guardrail watched, treatment: harm is judged from 25 conversions an arm on." in found["caveats"]


def test_guardrail__harm_of_users_whose_window_is_open__is_no_harm_yet(guarded, expose):
    """Public report growthbook#68: users whose conversion window is open decided."""
    experiment = guarded(windowHours=24 * 10)
    expose(
        experiment,
        {"control": 5000, "treatment": 5000},
        converted={"control": 500, "treatment": 1500},
        event_name="error",
    )
    judgement, found = _judged(experiment)

    assert judgement["violated"] is False
    assert "Guardrail watched, treatment: no user's conversion window is complete yet." in found["caveats"]


def test_guardrail__slower_p90__is_violated(guarded):
    experiment = guarded(type="quantile", quantile=0.9, eventName="load")
    dice = np.random.default_rng(1)
    exposures, loads = [], []
    for variant, scale in (("control", 100), ("treatment", 200)):
        for number in range(400):
            unit = f"{variant}-{number}"
            exposures.append(exposure(experiment, unit, variant, START + timedelta(hours=1)))
            at = START + timedelta(hours=2)
            loads.append(conversion(experiment, unit, at, event_name="load", value=float(dice.exponential(scale))))
    store_events(Batch(exposures, loads))
    judgement, found = _judged(experiment)

    assert (judgement["status"], judgement["treatment"] > judgement["control"]) == ("violated", True)
    assert found["recommendation"]["action"] == "stop"


def test_guardrail__no_data__is_undecided_with_the_reason(guarded, expose):
    experiment = guarded()
    expose(experiment, {"control": 10, "treatment": 10})
    judgement, found = _judged(experiment)

    assert (judgement["status"], judgement["passed"], judgement["pValue"]) == ("undecided", None, None)
    assert any(caveat.startswith("Guardrail watched, treatment") for caveat in found["caveats"])


def test_guardrail__undecided__holds_a_winner_back(guarded, expose):
    experiment = guarded(margin=1)
    expose(experiment, {"control": 3000, "treatment": 3000}, converted={"control": 300, "treatment": 480})
    expose(
        experiment,
        {"control": 300, "treatment": 300},
        converted={"control": 30, "treatment": 30},
        event_name="error",
        prefix="more",
    )
    _, found = _judged(experiment)

    assert found["comparisons"][0]["significant"] is True
    assert found["recommendation"]["action"] == "keep_running"
    assert "not every guardrail has passed" in found["recommendation"]["text"]
