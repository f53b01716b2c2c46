"""Looks: set by the calendar, at users whose conversion window is complete, with the alpha that is left."""

from datetime import timedelta

import pytest
from django.utils import timezone

from experiments import services
from experiments.analysis import results_for, window_of
from experiments.analysis.looks import look_of
from experiments.models import Phase
from experiments.statistics.group_sequential import boundaries
from experiments.tests.conftest import START
from flags.services import update_flag
from tenancy.testing import ALICE

DAY = timedelta(days=1)
HOUR = timedelta(hours=1)


@pytest.fixture
def planned(make_experiment, start, expose):
    """O'Brien-Fleming with 1,000 planned users, of whom 200 come a day."""
    experiment = start(make_experiment(analysis={"plannedUsers": 1000}), at=START)
    for day in range(6):
        expose(
            experiment,
            {"control": 100, "treatment": 100},
            converted={"control": 10, "treatment": 30},
            at=START + day * DAY + 12 * HOUR,
            prefix=f"day{day}",
        )
    return experiment


def _look(experiment, now, window_hours=24):
    from analytics.selectors import Period, exposure_summary  # noqa: PLC0415 - beside its only use

    window = window_of(experiment, now=now)
    exposures = exposure_summary(Period(experiment.environment_id, experiment.key, window.since, window.until))
    return look_of(experiment, window, exposures, timedelta(hours=window_hours))


def test_look__before_a_window_is_complete__is_none_with_the_reason(planned):
    look, reason = _look(planned, START + DAY + 23 * HOUR)

    assert look is None
    assert "complete" in reason


def test_look__at_midnights__sees_complete_days(planned):
    look, _ = _look(planned, START + 3 * DAY + 5 * HOUR)

    assert look.cutoff == START + 2 * DAY
    assert look.fractions == pytest.approx((0.2, 0.4))


def test_look__again_the_same_day__is_the_same_look(planned):
    assert _look(planned, START + 3 * DAY + HOUR) == _look(planned, START + 3 * DAY + 23 * HOUR)


def test_look__plan_fulfilled__is_the_last(planned):
    fulfilled, _ = _look(planned, START + 6 * DAY + HOUR)
    later, _ = _look(planned, START + 9 * DAY)

    assert fulfilled.fractions == pytest.approx((0.2, 0.4, 0.6, 0.8, 1.0))
    assert later == fulfilled


def test_look__longer_conversion_window__waits_for_it(planned):
    look, _ = _look(planned, START + 4 * DAY + HOUR, window_hours=36)

    assert look.cutoff == START + 2 * DAY


def test_results__group_sequential__interval_is_the_boundary_times_the_error(planned):
    found = results_for(planned, now=START + 3 * DAY + HOUR)["comparisons"][0]

    # 40 of 400 against 120 of 400 by then; the second look at 20 % and 40 % of the plan.
    bound = boundaries((0.2, 0.4), 0.05, spending="obf").z[-1]
    error = (0.1 * 0.9 / 200 + 0.3 * 0.7 / 200) ** 0.5
    assert found["sequentialCi"] == pytest.approx([0.2 - bound * error, 0.2 + bound * error], abs=1e-9)
    low, _ = found["sequentialCi"]
    assert found["significant"] is (low > 0)


def test_results__group_sequential__corrected_p_value_is_of_the_users_who_decide(planned, expose):
    """It came from all users: those with open windows, and those beyond the plan."""
    expose(
        planned,
        {"control": 500, "treatment": 500},
        converted={"control": 200, "treatment": 10},
        at=START + 9 * DAY,
        prefix="beyond-the-plan",
    )
    found = results_for(planned, now=START + 12 * DAY)["comparisons"][0]

    assert (found["lookLift"], found["lookPValue"]) == (pytest.approx(0.2), pytest.approx(3.4e-15, rel=0.1))
    assert (found["adjustedPValue"], found["adjustedFrom"]) == (found["lookPValue"], "lookPValue")
    assert found["pValue"] != found["lookPValue"]


def test_results__fixed_horizon__is_judged_once_on_the_planned_users(make_experiment, start, expose):
    """Found P1-4: what was inconclusive at the plan became a winner two weeks later."""
    experiment = start(make_experiment(analysis={"method": "fixed", "plannedUsers": 1000}), at=START)
    expose(experiment, {"control": 500, "treatment": 500}, converted={"control": 50, "treatment": 50})
    expose(
        experiment,
        {"control": 2000, "treatment": 2000},
        converted={"control": 200, "treatment": 400},
        at=START + 9 * DAY,
        prefix="late",
    )
    at_plan, later = (results_for(experiment, now=START + days * DAY) for days in (8, 20))

    assert [found["comparisons"][0]["significant"] for found in (at_plan, later)] == [False, False]
    assert [found["recommendation"]["action"] for found in (at_plan, later)] == ["stop", "stop"]
    assert later["comparisons"][0]["lookLift"] == 0
    assert later["comparisons"][0]["pValue"] < 0.01


def test_results__chosen_window__has_no_verdict(planned):
    found = results_for(planned, "8d", now=START + 9 * DAY)

    assert found["comparisons"][0]["significant"] is None
    assert found["recommendation"]["action"] == "hold"
    assert "whole phase" in found["recommendation"]["text"]


def test_results__fixed_horizon__says_to_read_it_once(make_experiment, start, expose):
    experiment = start(make_experiment(analysis={"method": "fixed", "plannedUsers": 100_000}), at=START)
    expose(experiment, {"control": 3000, "treatment": 3000}, converted={"control": 300, "treatment": 480})
    found = results_for(experiment, now=START + 3 * DAY)

    assert found["comparisons"][0]["significant"] is None
    assert found["recommendation"]["action"] == "keep_running"
    assert any("one look" in caveat for caveat in found["caveats"])


def test_start__traffic_is_known__fixes_what_the_sequence_is_tuned_to(environment, make_experiment, start, expose):
    """Found P1-3: N* was 10,000 whatever the traffic."""
    earlier = start(make_experiment(), at=START)
    expose(earlier, {"control": 350, "treatment": 350}, at=timezone.now() - DAY)
    services.complete_experiment(actor=ALICE, environment=environment, pk=earlier.pk, decision="stop")
    split = [{"variant": "control", "percent": 50}, {"variant": "treatment", "percent": 50}]
    update_flag(actor=ALICE, environment=environment, key="new-checkout", payload={"rollout": split}, version=None)
    found = results_for(start(make_experiment()))
    phase = Phase.objects.latest("started_at")

    assert phase.tuned_users == found["experiment"]["tunedUsers"]
    # 700 users in the last 7 days, as the hourly sketches estimate them.
    assert phase.tuned_users == pytest.approx(28 * 100, rel=0.05)
