"""The running minimum of always-valid p-values: over stored looks of the phase, in one direction."""

from datetime import timedelta

import pytest

from experiments import services
from experiments.analysis import results_for
from experiments.jobs import runs
from experiments.models import ExperimentResult
from experiments.selectors import get_experiment, latest_results
from experiments.tests.conftest import START
from tenancy.testing import ALICE

DAY = timedelta(days=1)
LATER = START + 10 * DAY


@pytest.fixture
def faded(running, expose):
    """Strong on the first day and stored that way; then many users without a difference."""
    expose(running, {"control": 2000, "treatment": 2000}, converted={"control": 200, "treatment": 330})
    runs.store_nightly(running.pk, now=START + 2 * DAY)
    expose(
        running,
        {"control": 3000, "treatment": 3000},
        converted={"control": 400, "treatment": 330},
        at=START + 2 * DAY,
        prefix="after",
    )
    return running


def _now(experiment, **options):
    found = results_for(experiment, now=LATER, **options)
    return found, found["comparisons"][0]


def test_running_minimum__evidence_fades__keeps_the_earlier_look(faded):
    first = latest_results(faded).payload["comparisons"][0]
    found, comparison = _now(faded)

    assert first["sequentialPValue"] == first["lookPValue"] < 0.01
    assert comparison["absoluteLift"] > 0
    assert comparison["sequentialPValue"] == first["lookPValue"]
    assert comparison["lookPValue"] > 0.05
    # Found P0-5: the present interval holds 0, so the running minimum alone ships nothing.
    assert (comparison["significant"], comparison["constant"]) == (False, False)
    assert (found["recommendation"]["action"], found["recommendation"]["reason"]) == ("hold", "effect_changed")
    assert any("smallest sequential p-value is that of 2026-03-04" in caveat for caveat in found["caveats"])


def test_running_minimum__stored_look__is_computed_again_to_the_digit(faded):
    runs.store_nightly(faded.pk, now=LATER)
    row = latest_results(faded)

    assert row.payload["comparisons"][0]["sequentialPValue"] < row.payload["comparisons"][0]["lookPValue"]
    assert services.recompute(row) is True
    assert services.recompute(ExperimentResult.objects.earliest("until")) is True


def test_running_minimum__difference_turned__earlier_look_does_not_count(faded, expose):
    """Public report PostHog#72503: a verdict stayed after the effect had turned."""
    expose(
        faded,
        {"control": 3000, "treatment": 3000},
        converted={"control": 400, "treatment": 320},
        at=START + 3 * DAY,
        prefix="turned",
    )
    _, comparison = _now(faded)

    assert comparison["absoluteLift"] < 0
    assert comparison["sequentialPValue"] == comparison["lookPValue"]


def test_running_minimum__new_phase__begins_anew(environment, faded, expose):
    restarted = services.restart_experiment(actor=ALICE, environment=environment, pk=faded.pk)
    began = restarted.phases.last().started_at
    expose(restarted, {"control": 500, "treatment": 500}, converted={"control": 50, "treatment": 55}, at=began)
    found = results_for(get_experiment(environment, faded.pk), now=began + 3 * DAY)

    (comparison,) = found["comparisons"]
    assert comparison["sequentialPValue"] == comparison["lookPValue"] > 0.05


def test_running_minimum__part_of_the_phase__makes_no_sequential_claim(faded):
    _, comparison = _now(faded, window="9d")

    assert (comparison["sequentialPValue"], comparison["lookPValue"]) == (None, None)


def test_running_minimum__planned_method__has_none(make_experiment, start, expose):
    experiment = start(make_experiment(analysis={"plannedUsers": 1000}), at=START)
    expose(experiment, {"control": 200, "treatment": 200}, converted={"control": 20, "treatment": 60})
    runs.store_nightly(experiment.pk, now=START + 3 * DAY)
    _, comparison = _now(experiment)

    assert comparison["sequentialPValue"] is None
