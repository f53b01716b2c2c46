"""Breakdowns that an experiment names are kept night by night, and say the same as before."""

from datetime import timedelta

import orjson
import pytest

from analytics.event_records import Batch
from analytics.models import CohortSegment, SegmentDay
from analytics.services import store_events
from experiments.analysis import results_for
from experiments.jobs import runs
from experiments.jobs.timetable import job_states
from experiments.models import Experiment, JobRun
from experiments.tests.conftest import START, conversion, exposure

DAY = timedelta(days=1)
NIGHT = START + 4 * DAY + timedelta(minutes=15)


@pytest.fixture
def experiment(make_experiment, start):
    return start(make_experiment(breakdowns=["country", "tier"]), at=START)


def _send(experiment, days):
    """Each day ten users a country and variant, some of whom convert."""
    exposures, conversions = [], []
    for day in range(days):
        for number in range(40):
            unit, at = f"user-{day}-{number}", START + day * DAY + timedelta(hours=5)
            attributes = orjson.dumps({"country": ["DE", "US"][number % 2]}).decode()
            exposures.append(exposure(experiment, unit, ["control", "treatment"][number // 20], at, attributes))
            if number % 3 == 0:
                conversions.append(conversion(experiment, unit, at + timedelta(minutes=1)))
    store_events(Batch(exposures, conversions))


def _breakdown(experiment, attribute="country"):
    return results_for(experiment, segment=attribute, now=NIGHT)["breakdown"]


def test_breakdowns__kept_by_a_night__change_no_digit(experiment):
    _send(experiment, days=4)
    before = _breakdown(experiment), _breakdown(experiment, "tier")
    assert [row["users"] for row in before[0]["segments"]] == [80, 80]

    assert runs.store_breakdowns(experiment.pk, now=NIGHT) == "8 days summed up"
    assert set(CohortSegment.objects.values_list("segment", flat=True)) == {'"DE"', '"US"', ""}
    assert (_breakdown(experiment), _breakdown(experiment, "tier")) == before
    assert runs.store_breakdowns(experiment.pk, now=NIGHT) == "0 days summed up"
    assert set(JobRun.objects.filter(job=runs.BREAKDOWNS).values_list("outcome", flat=True)) == {"0 days summed up"}


def test_breakdowns__before_the_first_midnight__are_left(experiment):
    assert runs.store_breakdowns(experiment.pk, now=START + timedelta(hours=1)) == runs.NOTHING_YET


def test_breakdowns__of_a_metric_that_no_sums_answer__are_left(make_metric, make_experiment, start):
    made = make_metric("slow", type="quantile", quantile=0.9)
    experiment = start(make_experiment(primaryMetric=made.key, breakdowns=["country"]), at=START)
    _send(experiment, days=2)

    assert runs.store_breakdowns(experiment.pk, now=NIGHT) == "0 days summed up"
    assert not SegmentDay.objects.exists()


def test_breakdowns__of_whom__are_those_that_name_some(experiment, environment):
    assert runs.broken_down_ids() == runs.nightly_ids() == [experiment.key]
    assert runs.BREAKDOWNS in {state.job for state in job_states([environment])}
    Experiment.objects.update(breakdowns=[])

    assert runs.broken_down_ids() == []
    assert runs.BREAKDOWNS not in {state.job for state in job_states([environment])}


@pytest.mark.django_db(transaction=True)
def test_breakdowns__interrupted__have_what_was_done_and_say_so(experiment, monkeypatch):
    _send(experiment, days=3)

    def fail(*_args, **_named):
        raise RuntimeError("out of luck")

    with monkeypatch.context() as patched:
        patched.setattr("analytics.stores.postgres.rollups.valid_rollups.Rollup.refresh", fail)
        with pytest.raises(RuntimeError):
            runs.store_breakdowns(experiment.pk, now=NIGHT)
    assert JobRun.objects.get(job=runs.BREAKDOWNS).outcome == "failed: RuntimeError: out of luck"
    assert set(SegmentDay.objects.values_list("attribute", "folds")) == {("country", 1)}

    assert runs.store_breakdowns(experiment.pk, now=NIGHT) == "6 days summed up"
    assert set(SegmentDay.objects.values_list("folds", flat=True)) == {1}
