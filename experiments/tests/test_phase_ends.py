"""Where a phase stops: at a unit's exposure in the next one, and at a single target; the same from either store."""

from datetime import timedelta

import pytest

from analytics.event_records import Batch
from analytics.services import open_phase, store_events
from analytics.testing import STORES
from experiments.analysis import results_for, window_of
from experiments.analysis.window_data import WindowData
from experiments.models import Phase
from experiments.selectors import get_experiment
from experiments.services.results import refresh_rollups
from experiments.tests.conftest import START, conversion, exposure
from flags.services import update_flag
from tenancy.testing import ALICE

DAY = timedelta(days=1)
RESTART = START + 5 * DAY
NOW = START + 20 * DAY
REVENUE = {"type": "continuous", "eventName": "paid", "windowHours": 72}
MEDIAN = {"type": "quantile", "eventName": "paid", "quantile": 0.5, "windowHours": 72}


@pytest.fixture
def experiment(make_metric, make_experiment, start):
    make_metric("revenue", **REVENUE)
    make_metric("median", **MEDIAN)
    make_metric("slow", type="binary", windowHours=72, eventName="paid")
    content = {"primaryMetric": "slow", "secondaryMetrics": ["revenue", "median"]}
    return start(make_experiment(**content), at=START)


def _restarted(experiment):
    """As a restart at RESTART leaves it; each unit buys an hour before it is seen again, and two days later."""
    Phase.objects.update(ended_at=RESTART)
    first = Phase.objects.get()
    fields = {name: getattr(first, name) for name in ("salt", "bucket_by", "weights", "config_version", "definitions")}
    reason = "The experiment was restarted: everybody was assigned anew."
    Phase.objects.create(experiment=experiment, number=2, started_at=RESTART, reason=reason, **fields)
    open_phase(environment_id=experiment.environment_id, experiment=experiment.key, started_at=RESTART)


def _send(experiment):
    exposures, conversions = [], []
    for number in range(40):
        variant, other = ("control", "treatment") if number % 2 else ("treatment", "control")
        unit, seen = f"user-{number}", RESTART - timedelta(hours=30 + number)
        again = RESTART + timedelta(hours=number % 3)
        exposures.append(exposure(experiment, unit, variant, seen))
        conversions.append(conversion(experiment, unit, seen + timedelta(hours=1), event_name="paid", value=10.0))
        if number < 20:
            exposures.append(exposure(experiment, unit, other, again))
        # Within three days of the first exposure, whoever was not exposed anew still counts for the first phase.
        conversions.append(conversion(experiment, unit, again + timedelta(minutes=5), event_name="paid", value=100.0))
    store_events(Batch(exposures, conversions))


def _figures(experiment, **options):
    found = results_for(get_experiment(experiment.environment, experiment.pk), now=NOW, **options)
    revenue = next(item for item in found["metrics"] if item["metric"] == "revenue")
    return found, {variant["key"]: variant["total"] for variant in revenue["variants"]}


def test_restart__events_after_the_next_exposure__count_in_the_next_phase_alone(use_store, experiment):
    _restarted(experiment)
    window = f"{START.isoformat()}/{RESTART.isoformat()}".replace("+00:00", "Z")
    answers = []
    for kind in STORES:
        use_store(kind)
        _send(experiment)
        answers.append(results_for(get_experiment(experiment.environment, experiment.pk), window, now=NOW))
    _, totals = _figures(experiment, window=window)

    assert answers[0] == answers[1]
    # 20 units a variant with 10 each; of these 10 were not exposed anew and went on to buy for 100.
    assert totals == {"control": 1200.0, "treatment": 1200.0}


def test_restart__rolled_up_and_unit_by_unit__are_the_same(experiment):
    _restarted(experiment)
    _send(experiment)
    found = get_experiment(experiment.environment, experiment.pk)
    whole = window_of(found, phase=1, now=NOW)
    _, before = _figures(experiment, window=f"{START:%Y-%m-%dT%H:%M:%SZ}/{RESTART:%Y-%m-%dT%H:%M:%SZ}")
    refresh_rollups(experiment=found, window=whole)
    _, after = _figures(experiment, window=f"{START:%Y-%m-%dT%H:%M:%SZ}/{RESTART:%Y-%m-%dT%H:%M:%SZ}")
    units = WindowData(found, whole).units()
    one_by_one = units.figures(
        "paid",
        variants=["control", "treatment"],
        window=timedelta(hours=72),
        deadline=whole.deadline,
        before=timedelta(0),
    )

    assert before == after == {key: float(values.sum()) for key, values in one_by_one.sums.items()}


@pytest.mark.parametrize("is_rolled_up", [False, True])
def test_target__user_who_takes_part__is_left_out_and_counted(use_store, environment, running, expose, is_rolled_up):
    experiment, answers = running, []
    targets = [{"variant": "treatment", "userIds": ["user-control-0", "a-tester"]}]
    update_flag(actor=ALICE, environment=environment, key="new-checkout", payload={"targets": targets}, version=None)
    update_flag(actor=ALICE, environment=environment, key="new-checkout", payload={"targets": []}, version=None)
    for kind in STORES:
        use_store(kind)
        expose(experiment, {"control": 30, "treatment": 30}, converted={"control": 3, "treatment": 6})
        found = get_experiment(environment, experiment.pk)
        if is_rolled_up:
            refresh_rollups(experiment=found, window=window_of(found))
        results = results_for(found)
        answers.append({name: results[name] for name in ("variants", "srm", "excluded", "comparisons")})

    assert answers[0] == answers[1]
    assert answers[0]["srm"]["observed"] == {"control": 29, "treatment": 30}
    assert [item["conversions"] for item in answers[0]["variants"]] == [2, 6]
    assert (answers[0]["excluded"]["targeted"], answers[0]["excluded"]["crossovers"]) == (1, 0)
    assert Phase.objects.count() == 1
