"""Figures of results that once misled: priors, ties, caps, the past, and sums far from zero. From stored events."""

from datetime import timedelta

import numpy as np
import pytest

from analytics.event_records import Batch
from analytics.services import store_events
from analytics.testing import STORES
from experiments import services
from experiments.analysis import results_for, window_of
from experiments.design.lift_history import own_prior
from experiments.tests.conftest import START, conversion, exposure
from tenancy.errors import Invalid
from tenancy.testing import ALICE

DAY = timedelta(days=1)
NOON = timedelta(hours=12)
LATER = START + 9 * DAY


@pytest.fixture
def measured(make_metric, make_experiment, start):
    """Start an experiment on one metric."""

    def _measured(analysis=None, **metric):
        make_metric("measured", eventName="done", **metric)
        return start(make_experiment(primaryMetric="measured", analysis=analysis or {}), at=START)

    return _measured


def _send(experiment, figures, *, before=None, event_name="done"):
    """Users of each variant with the values of their events, and values from 2 days before their exposure."""
    exposures, conversions = [], []
    for variant, users in figures.items():
        for number, values in enumerate(users):
            unit = f"{variant}-{number}"
            exposures.append(exposure(experiment, unit, variant, START + NOON))
            for value in values:
                conversions.append(
                    conversion(experiment, unit, START + NOON + NOON, event_name=event_name, value=float(value))
                )
            for value in (before or {}).get(variant, {}).get(number, ()):
                conversions.append(
                    conversion(experiment, unit, START + NOON - 2 * DAY, event_name=event_name, value=float(value))
                )
    store_events(Batch(exposures, conversions))


def _found(experiment):
    found = results_for(experiment, now=LATER)
    return found, found["comparisons"][0]


@pytest.mark.parametrize("kind", ["continuous", "ratio", "count", "binary"])
def test_posterior__any_type__has_a_flat_prior_and_agrees_with_the_test(measured, kind):
    """Found P1-5: Hillstrom's spend had p = 1e-7 and a chance of 71 %, beside a rate with 100 %."""
    rng = np.random.default_rng(5)
    denominator = {"denominatorEventName": "visited"} if kind == "ratio" else {}
    experiment = measured(type=kind, windowHours=24, **denominator)
    figures = {
        key: [
            [round(value, 2)] * bool(value > 0) for value in rng.binomial(1, share, 1500) * rng.lognormal(4, 0.3, 1500)
        ]
        for key, share in (("control", 0.05), ("treatment", 0.12))
    }
    _send(experiment, figures)
    if kind == "ratio":
        _send(experiment, {key: [[1]] * 1500 for key in figures}, event_name="visited")
    _, comparison = _found(experiment)

    assert comparison["pValue"] < 1e-4
    assert comparison["probabilityToBeat"] == pytest.approx(1 - comparison["pValue"] / 2, abs=2e-5)
    assert comparison["prior"] == {"kind": "flat", "standardDeviation": None, "weight": 0.0}
    assert (comparison["expectedLossOf"], comparison["credibleIntervalOf"]) == ("absoluteLift", "absoluteLift")
    loss = comparison["expectedLoss"]
    assert loss["keep"] - loss["ship"] == pytest.approx(comparison["absoluteLift"], rel=0.02)


@pytest.mark.parametrize("kind", ["continuous", "binary"])
def test_posterior__prior_on_the_lift__is_the_same_for_every_type(measured, kind):
    experiment = measured({"liftPriorStandardDeviation": 0.1}, type=kind, windowHours=24)
    _send(experiment, {"control": [[1]] * 300 + [[]] * 700, "treatment": [[1]] * 400 + [[]] * 600})
    _, comparison = _found(experiment)

    # lift 1/3, by the delta method se^2 = 0.24 / 1000 / 0.3^2 + 0.21 / 1000 * 0.4^2 / 0.3^4.
    weight = comparison["prior"]["weight"]
    low, high = comparison["credibleInterval"]
    assert comparison["credibleIntervalOf"] == comparison["expectedLossOf"] == "relativeLift"
    assert (low + high) / 2 == pytest.approx((1 - weight) / 3, abs=1e-9)
    assert weight == pytest.approx(0.4053, abs=5e-4)


def test_ratio_and_pre_period__nothing_before__says_nothing(measured):
    experiment = measured(type="continuous")
    _send(experiment, {"control": [[1]] * 5, "treatment": [[2]] * 5})
    found, comparison = _found(experiment)

    assert comparison["prePeriod"]["balanced"] is None
    assert found["recommendation"]["reason"] != "data"


def test_pre_period__arms_far_apart_before_the_start__blocks_the_verdict(measured):
    """Found P2-8: arms 15 standard errors apart before the start went unsaid. Public report growthbook#4586."""
    experiment = measured(type="continuous", windowHours=24)
    rng = np.random.default_rng(8)
    before = {
        key: {number: [round(value, 2)] for number, value in enumerate(rng.normal(mean, 1, 200))}
        for key, mean in (("control", 5), ("treatment", 6.5))
    }
    _send(experiment, {"control": [[5]] * 200, "treatment": [[6]] * 100 + [[7]] * 100}, before=before)
    found, comparison = _found(experiment)

    assert comparison["prePeriod"]["standardErrors"] == pytest.approx(15, abs=2)
    assert comparison["prePeriod"]["balanced"] is False
    assert (found["recommendation"]["action"], found["recommendation"]["reason"]) == ("do_not_trust", "data")
    assert "apart in measured before the start" in found["recommendation"]["reasons"][0]


def test_cuped__health__is_in_the_results(measured):
    experiment = measured({"cuped": True}, type="continuous", windowHours=24)
    rng = np.random.default_rng(9)
    past = {key: rng.normal(10, 2, 300).round(3) for key in ("control", "treatment")}
    now = {
        key: [[round(value + noise, 3)] for value, noise in zip(past[key], rng.normal(0, 1, 300), strict=True)]
        for key in past
    }
    _send(experiment, now, before={key: {n: [value] for n, value in enumerate(past[key])} for key in past})
    health = _found(experiment)[1]["cuped"]

    assert health["theta"] == pytest.approx(1, abs=0.1)
    assert health["correlation"] == pytest.approx(0.894, abs=0.03)
    assert health["varianceRemoved"] == pytest.approx(health["correlation"] ** 2, abs=0.02)


def test_quantile__many_equal_values__compares_the_share_above(measured):
    """Found P1-6."""
    experiment = measured(type="quantile", quantile=0.5, goal="decrease", windowHours=24)
    _send(
        experiment,
        {
            "control": [[100]] * 60 + [[200]] * 30 + [[300]] * 30,
            "treatment": [[100]] * 30 + [[200]] * 30 + [[300]] * 60,
        },
    )
    found, comparison = _found(experiment)

    # 30 of 120 against 60 of 120 events above 200, one a user.
    assert (comparison["liftOf"], comparison["lookLiftOf"]) == ("shareAbove", "shareAbove")
    assert comparison["absoluteLift"] == pytest.approx(0.25)
    assert comparison["direction"] == "worse"
    assert any("the share of events above 200 is compared" in caveat for caveat in found["caveats"])
    assert any("+25.00 points" in reason for reason in found["recommendation"]["reasons"])


def test_winsorize__ratio__caps_both_sides(measured):
    """Found P2-7: it was ignored without a word. Public report PostHog PR#60120."""
    experiment = measured({"winsorizePercent": 10}, type="ratio", denominatorEventName="visited", windowHours=24)
    totals = [[value] for value in range(1, 11)]
    _send(experiment, {"control": totals, "treatment": totals})
    _send(experiment, {"control": totals, "treatment": totals}, event_name="visited")
    found, _ = _found(experiment)

    cap = float(np.quantile([*range(1, 11)] * 2, 0.9))
    assert found["variants"][0]["total"] == pytest.approx(45 + cap)
    assert any(f"numerator: winsorised at {cap:g}; 10.00%" in caveat for caveat in found["caveats"])
    assert any(f"denominator: winsorised at {cap:g}" in caveat for caveat in found["caveats"])


def test_winsorize__refunds__caps_both_ends(measured):
    experiment = measured({"winsorizePercent": 10}, type="continuous", windowHours=24)
    totals = [[-900], *([value] for value in range(1, 9)), [700]]
    _send(experiment, {"control": totals, "treatment": totals})
    found, _ = _found(experiment)

    low, high = np.quantile([-900, *range(1, 9), 700] * 2, [0.1, 0.9])
    assert found["variants"][0]["total"] == pytest.approx(36 + low + high)
    assert any(f"winsorised at {low:g} and {high:g}" in caveat for caveat in found["caveats"])


@pytest.mark.parametrize(("kind", "extra"), [("binary", {}), ("quantile", {"quantile": 0.5})])
def test_winsorize__nothing_to_cap__says_why(measured, kind, extra):
    experiment = measured({"winsorizePercent": 1}, type=kind, **extra)
    _send(experiment, {"control": [[1]] * 10, "treatment": [[2]] * 10})

    assert any("not winsorised: " in caveat for caveat in _found(experiment)[0]["caveats"])


@pytest.mark.parametrize("kind", ["binary", "ratio", "quantile"])
def test_cap__type_without_one__is_refused_and_names_the_remedy(make_metric, kind):
    with pytest.raises(Invalid) as refused:
        make_metric("measured", type=kind, cap=5.0, denominatorEventName="visited" if kind == "ratio" else None)

    assert any(problem.attr == "cap" and "winsorizePercent" in problem.detail for problem in refused.value.problems)


@pytest.mark.parametrize("store", STORES)
@pytest.mark.parametrize("mean", [1e7, 1e8])
def test_variance__far_from_zero__is_exact(use_store, measured, mean, store):
    """Found P2-6: 1.4 % off at mean / sd = 1e7, and no variance at all at 1e8."""
    use_store(store)
    experiment = measured(type="continuous", windowHours=24)
    rng = np.random.default_rng(10)
    noise = {key: rng.normal(0, 1, 200).round(6) for key in ("control", "treatment")}
    _send(experiment, {key: [[mean + value] for value in values] for key, values in noise.items()})
    found, _ = _found(experiment)

    for row in found["variants"]:
        sent = mean + noise[row["key"]]
        exact = np.std(sent - mean, ddof=1)
        assert row["standardDeviation"] == pytest.approx(exact, rel=1e-6)


def test_lift__no_treated_user_converted__has_an_interval(running, expose):
    """Found P2-10."""
    expose(running, {"control": 100, "treatment": 100}, converted={"control": 7})
    comparison = results_for(running, now=LATER)["comparisons"][0]

    assert comparison["relativeLift"] == -1
    assert comparison["relativeCi"] == pytest.approx([-1, -0.46472], abs=1e-5)


@pytest.mark.parametrize(
    ("converted", "said"),
    [
        ((500, 501), ("equal", "by less than 20 %")),
        ((10, 13), ("inconclusive", "no clear difference yet")),
        ((500, 350), ("worse", "worse than control")),
    ],
)
def test_minimum_effect__flat_unsure_and_worse__are_three_sentences(make_experiment, start, expose, converted, said):
    """Found P1-10: one sentence stood for all three."""
    (control, treatment), (reason, words) = converted, said
    experiment = start(make_experiment(analysis={"minimumEffect": 0.2}), at=START)
    users = 2500 if control > 100 else 100
    expose(experiment, {"control": users, "treatment": users}, converted={"control": control, "treatment": treatment})
    found = results_for(experiment, now=LATER)

    assert found["experiment"]["minimumEffect"] == 0.2
    assert found["recommendation"]["reason"] == reason
    assert words in found["recommendation"]["text"]


@pytest.mark.parametrize(
    ("field", "value"), [("minimumEffect", 0), ("minimumEffect", 1.5), ("liftPriorStandardDeviation", -0.1)]
)
def test_analysis__impossible_effect__is_refused_by_name(make_experiment, field, value):
    with pytest.raises(Invalid) as refused:
        make_experiment(analysis={field: value})

    assert [problem.attr for problem in refused.value.problems] == [f"analysis.{field}"]


def test_own_prior__few_ended_experiments__is_none_with_their_number(environment, running, expose):
    expose(running, {"control": 100, "treatment": 100}, converted={"control": 20, "treatment": 20})
    services.store_results(experiment=running, window=window_of(running, now=LATER))
    assert own_prior(environment.project) == (None, 0)

    services.complete_experiment(actor=ALICE, environment=environment, pk=running.pk, decision="stop")
    assert own_prior(environment.project) == (None, 1)
