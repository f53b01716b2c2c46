"""Figures beyond the sums of one event: pauses, caps, ratios, quantiles, CUPED; and that both ways agree."""

from dataclasses import asdict
from datetime import timedelta

import numpy as np
import pytest
from scipy import stats

from analytics.event_records import Batch
from analytics.models import CohortDistribution, CohortPair
from analytics.services import store_events
from experiments import services
from experiments.analysis import results_for
from experiments.analysis.metric_types import metric_type
from experiments.analysis.window import window_of
from experiments.analysis.window_data import WindowData
from experiments.jobs import runs
from experiments.models import ExperimentResult, Phase
from experiments.selectors import get_experiment
from experiments.services.results import recompute
from experiments.tests.conftest import START, conversion, exposure
from tenancy.testing import ALICE

DAY = timedelta(days=1)
HOUR = timedelta(hours=1)
LATER = START + 6 * DAY
SEEN = START + DAY


@pytest.fixture
def with_metric(make_metric, make_experiment, start):
    """Start an experiment whose primary metric is this one."""

    def _with(analysis=None, **metric):
        made = make_metric("m", **metric)
        payload = {"primaryMetric": made.key, **({"analysis": analysis} if analysis else {})}
        return start(make_experiment(**payload), at=START)

    return _with


def _send(experiment, figures, *, at=SEEN + HOUR, seen=SEEN, event_name="purchase", is_exposed=True):
    """For each variant a list of users, each a list of event values (None: an event without one)."""
    exposures, conversions = [], []
    for variant, users in figures.items():
        for number, values in enumerate(users):
            unit = f"{variant}-{number}"
            if is_exposed:
                exposures.append(exposure(experiment, unit, variant, seen))
            conversions += [conversion(experiment, unit, at, event_name=event_name, value=value) for value in values]
    store_events(Batch(exposures, conversions))


def _comparison(experiment):
    found = results_for(experiment, now=LATER)
    return found, found["comparisons"][0]


def test_ratio__clicks_per_view__is_the_delta_method_over_users(with_metric):
    experiment = with_metric(type="ratio", eventName="click", denominatorEventName="view")
    dice = np.random.default_rng(7)
    views = {key: dice.integers(1, 6, 150) for key in ("control", "treatment")}
    clicks = {key: dice.binomial(views[key], 0.3 if key == "control" else 0.4) for key in views}
    _send(experiment, {key: [[None] * n for n in views[key]] for key in views}, event_name="view")
    _send(experiment, {key: [[None] * n for n in clicks[key]] for key in views}, event_name="click", is_exposed=False)
    found, comparison = _comparison(experiment)

    ratios = {key: clicks[key].sum() / views[key].sum() for key in views}
    errors = {
        key: np.var(clicks[key] - ratios[key] * views[key], ddof=1) / views[key].mean() ** 2 / 150 for key in views
    }
    assert {row["key"]: row["mean"] for row in found["variants"]} == pytest.approx(ratios)
    assert comparison["absoluteLift"] == pytest.approx(ratios["treatment"] - ratios["control"])
    half = (comparison["ci"][1] - comparison["ci"][0]) / 2
    assert half == pytest.approx(1.968 * sum(errors.values()) ** 0.5, rel=1e-3)
    assert comparison["sequentialCi"][0] < comparison["ci"][0]


def test_ratio__denominator_without_events__is_null_with_the_reason(with_metric):
    experiment = with_metric(type="ratio", eventName="click", denominatorEventName="view")
    _send(experiment, {"control": [[], []], "treatment": [[], []]})
    found, comparison = _comparison(experiment)

    assert (comparison["absoluteLift"], comparison["pValue"]) == (None, None)
    assert any("denominator" in caveat for caveat in found["caveats"])


def test_quantile__p90__is_that_of_the_single_events(with_metric):
    experiment = with_metric(type="quantile", quantile=0.9, eventName="load", goal="decrease")
    dice = np.random.default_rng(3)
    loads = {
        key: [list(map(float, dice.exponential(scale, 3))) for _ in range(120)]
        for key, scale in (("control", 100), ("treatment", 140))
    }
    _send(experiment, loads, event_name="load")
    found, comparison = _comparison(experiment)

    expected = {key: np.quantile(np.concatenate(users), 0.9) for key, users in loads.items()}
    assert {row["key"]: row["mean"] for row in found["variants"]} == pytest.approx(expected)
    assert comparison["absoluteLift"] == pytest.approx(expected["treatment"] - expected["control"])
    assert comparison["direction"] == "worse"


def test_quantile__too_few_values__is_null_with_the_reason(with_metric):
    experiment = with_metric(type="quantile", quantile=0.99, eventName="load")
    _send(experiment, {"control": [[1.0]] * 5, "treatment": [[2.0]] * 5}, event_name="load")
    found, comparison = _comparison(experiment)

    assert comparison["pValue"] is None
    assert any("too few values" in caveat for caveat in found["caveats"])


def test_cap__extreme_user__counts_at_most_the_cap(with_metric):
    experiment = with_metric(type="continuous", cap=50.0)
    _send(experiment, {"control": [[10.0], [20.0, 20.0], []], "treatment": [[1000.0], [30.0], [30.0, 40.0]]})
    found, _ = _comparison(experiment)

    assert {row["key"]: row["total"] for row in found["variants"]} == pytest.approx({"control": 50, "treatment": 130})
    assert any("at most 50; 33.33% were capped" in caveat for caveat in found["caveats"])


def test_winsorize__experiments_share__caps_all_arms_alike(with_metric):
    experiment = with_metric(analysis={"winsorizePercent": 10}, type="continuous")
    figures = {"control": [[float(n)] for n in range(1, 11)], "treatment": [[float(n)] for n in range(11, 21)]}
    _send(experiment, figures)
    found, _ = _comparison(experiment)

    cap = np.quantile(np.arange(1, 21), 0.9)
    assert found["variants"][1]["total"] == pytest.approx(np.minimum(np.arange(11, 21), cap).sum())
    assert found["variants"][0]["total"] == 55


def test_cuped__past_explains_most__takes_the_variance_away(with_metric):
    experiment = with_metric(analysis={"cuped": True}, type="continuous")
    dice = np.random.default_rng(5)
    past = {key: dice.gamma(2, 10, 300) for key in ("control", "treatment")}
    now = {key: past[key] + dice.normal(2 if key == "treatment" else 0, 3, 300) for key in past}
    _send(experiment, {key: [[float(value)] for value in now[key]] for key in now})
    _send(experiment, {key: [[float(value)] for value in past[key]] for key in past}, at=SEEN - DAY, is_exposed=False)
    _, comparison = _comparison(experiment)

    correlation = np.corrcoef(np.concatenate(list(now.values())), np.concatenate(list(past.values())))[0, 1]
    plain = stats.ttest_ind(now["treatment"], now["control"], equal_var=False).pvalue
    assert comparison["varianceReduction"] == pytest.approx(correlation**2, abs=0.03)
    assert comparison["absoluteLift"] == pytest.approx(2, abs=0.6)
    assert comparison["pValue"] < 1e-6 < plain


@pytest.mark.parametrize(
    ("metric", "why"),
    [
        ({"type": "ratio", "denominatorEventName": "view"}, "a ratio divides two sums"),
        ({"type": "quantile", "quantile": 0.5}, "a quantile is none"),
    ],
)
def test_cuped__metric_it_is_not_for__says_so(with_metric, metric, why):
    experiment = with_metric(analysis={"cuped": True}, **metric)
    found, comparison = _comparison(experiment)

    assert comparison["varianceReduction"] is None
    assert any("not adjusted by CUPED" in caveat and why in caveat for caveat in found["caveats"])


def test_pause__first_seen_in_it__is_not_enrolled_even_when_coming_back(environment, running):
    paused = Phase.objects.get()
    paused.pauses = [[(START + 2 * DAY).isoformat(), (START + 3 * DAY).isoformat()]]
    paused.save()
    for unit, days in {"before": (1, 2.5), "in it": (2.5,), "back": (2.5, 3.5), "after": (3.5,)}.items():
        store_events(Batch([exposure(running, unit, "control", START + day * DAY) for day in days], []))
    store_events(Batch([], [conversion(running, "before", START + DAY + HOUR), conversion(running, "back", LATER)]))
    found = results_for(get_experiment(environment, running.pk), now=LATER)

    assert (found["variants"][0]["users"], found["variants"][0]["conversions"]) == (2, 1)
    assert found["srm"]["observed"] == {"control": 2, "treatment": 0}
    assert any("paused once" in caveat for caveat in found["caveats"])


def test_pause__nightly__keeps_what_it_leaves_of_each_day_and_changes_no_digit(environment, running):
    paused = Phase.objects.get()
    paused.pauses = [[(START + 2 * DAY).isoformat(), (START + 2.5 * DAY).isoformat()]]
    paused.save()
    for day in range(5):
        for number, hours in enumerate((6, 11, 16)):
            at = START + day * DAY + hours * HOUR
            unit = f"user-{day}-{number}"
            bought = [conversion(running, unit, at + HOUR)] * (day < number + 2)
            store_events(Batch([exposure(running, unit, "control", at)], bought))
    runs.store_nightly(running.pk, now=LATER)
    row = ExperimentResult.objects.get(experiment=running)
    days = CohortPair.objects.filter(experiment=running.key).order_by("day").values_list("day", flat=True).distinct()

    assert [day.day - START.day for day in days] == [0, 1, 2, 3, 4]
    assert (row.payload["variants"][0]["users"], row.payload["variants"][0]["conversions"]) == (13, 8)
    CohortPair.objects.all().delete()
    assert recompute(row)


def test_pause__still_open__takes_nobody_in(environment, running, expose):
    expose(running, {"control": 5, "treatment": 5})
    services.pause_experiment(actor=ALICE, environment=environment, pk=running.pk)
    phase = Phase.objects.get()
    since = phase.pauses[0][0]
    phase.pauses = [[(START + 2 * DAY).isoformat(), None]]
    phase.save()
    expose(running, {"control": 9}, at=START + 3 * DAY, prefix="later")

    assert since > START.isoformat()
    assert results_for(get_experiment(environment, running.pk), now=LATER)["variants"][0]["users"] == 5


@pytest.mark.parametrize(
    "analysis", [None, {"cuped": True}, {"winsorizePercent": 20}, {"winsorizePercent": 20, "cuped": True}]
)
@pytest.mark.parametrize(
    "metric",
    [
        {"type": "binary"},
        {"type": "count"},
        {"type": "count", "cap": 2},
        {"type": "continuous"},
        {"type": "continuous", "cap": 6.5},
        {"type": "continuous", "valueProperty": "tax"},
        {"type": "ratio", "denominatorEventName": "view"},
        {"type": "quantile", "quantile": 0.6},
    ],
)
def test_measure__from_sums_and_from_users__agree(with_metric, metric, analysis):
    experiment = with_metric(analysis=analysis, **metric)
    now = {"control": [[1.5], [], [2.0, 3.25]], "treatment": [[], [7.0, 1.0, 1.0], [0.5], [None]]}
    _send(experiment, now)
    _send(experiment, {"control": [[None], [3.0, 1.0], []]}, event_name="view", is_exposed=False)
    _send(experiment, {"control": [[4.0], [1.5]], "treatment": [[0.25, 8.0]]}, at=SEEN - DAY, is_exposed=False)
    _send(experiment, {"treatment": [[2.0]]}, at=SEEN - 15 * DAY, is_exposed=False)
    data = WindowData(experiment, window_of(experiment, now=LATER))
    everybody = data.narrowed(data.units().places.keys())
    kind = metric_type(experiment.primary_metric)
    found = kind.measure(data, ["control", "treatment"])
    others = kind.measure(everybody, ["control", "treatment"])

    assert found.notes == others.notes
    for key, arm in found.arms.items():
        other = others.arms[key]
        assert (arm.users, arm.late, arm.proportion) == (other.users, other.late, other.proportion)
        for name in ("moments", "ratio", "covariate"):
            ours, theirs = getattr(arm, name), getattr(other, name)
            assert (ours is None) == (theirs is None), name
            if ours is not None:
                assert asdict(ours) == pytest.approx(asdict(theirs)), name
        if metric["type"] == "quantile":
            ours, theirs = arm.quantile, other.quantile
            assert (ours.n, ours.q_low, ours.q_hat, ours.q_high) == (
                theirs.n,
                theirs.q_low,
                theirs.q_hat,
                theirs.q_high,
            )
            assert asdict(ours.users) == pytest.approx(asdict(theirs.users))


@pytest.mark.parametrize(
    ("analysis", "metric"),
    [
        (None, {"type": "ratio", "denominatorEventName": "view"}),
        (None, {"type": "continuous", "cap": 20}),
        ({"cuped": True}, {"type": "binary"}),
    ],
)
def test_nightly__ratio_cap_or_cuped__keeps_sums_that_change_no_digit(with_metric, analysis, metric):
    experiment = with_metric(analysis=analysis, **metric)
    figures = {key: [[7.0 + row, None] for row in range(30 + more)] for key, more in (("control", 0), ("treatment", 3))}
    _send(experiment, figures)
    _send(experiment, figures, at=SEEN - DAY, is_exposed=False)
    _send(experiment, figures, event_name="view", is_exposed=False)
    runs.store_nightly(experiment.pk, now=LATER)
    assert CohortPair.objects.filter(experiment=experiment.key).values_list("variant", "users").distinct().count() == 2

    # Stored again, from what was kept, it is the same row; and so it is without.
    runs.store_nightly(experiment.pk, now=LATER)
    row = ExperimentResult.objects.get(experiment=experiment)
    CohortPair.objects.all().delete()
    assert recompute(row)
    assert row.payload["variants"][0]["users"] == 30


@pytest.mark.parametrize(
    ("analysis", "metric"),
    [
        (None, {"type": "quantile", "quantile": 0.75}),
        ({"cuped": True}, {"type": "quantile", "quantile": 0.75}),
        ({"winsorizePercent": 5}, {"type": "continuous", "cap": 30}),
        ({"winsorizePercent": 5, "cuped": True}, {"type": "count"}),
    ],
)
def test_nightly__quantile_or_winsorised__keeps_figures_that_change_no_digit(with_metric, analysis, metric):
    experiment = with_metric(analysis=analysis, **metric)
    figures = {
        key: [[7.0 + row, 3.5] * (row % 3) for row in range(30 + more)]
        for key, more in (("control", 0), ("treatment", 3))
    }
    _send(experiment, figures)
    _send(experiment, figures, at=SEEN - DAY, is_exposed=False)
    runs.store_nightly(experiment.pk, now=LATER)
    kept = CohortDistribution.objects.filter(experiment=experiment.key)
    assert set(kept.values_list("variant", "units")) == {("control", 30), ("treatment", 33)}

    runs.store_nightly(experiment.pk, now=LATER)
    row = ExperimentResult.objects.get(experiment=experiment)
    kept.delete()
    CohortPair.objects.all().delete()
    assert recompute(row)
    assert row.payload["comparisons"][0]["pValue"] is not None
