"""Results from stored events: figures, exclusions, windows, sample ratio, what is null and why."""

from datetime import UTC, timedelta

import pytest

from analytics.event_records import Batch
from analytics.models import EventPolicy
from analytics.services import store_events
from experiments import services
from experiments.analysis import results_for
from experiments.selectors import get_experiment
from experiments.tests.conftest import START, conversion, exposure
from tenancy.testing import ALICE

DAY = timedelta(days=1)
NOON = timedelta(hours=12)
LATER = START + timedelta(days=8)


def _figures(found):
    return {row["key"]: (row["users"], row["conversions"]) for row in found["variants"]}


def test_results__two_rates__are_what_the_textbook_says(running, expose):
    expose(running, {"control": 500, "treatment": 500}, converted={"control": 50, "treatment": 70})
    found = results_for(running, now=LATER)

    (comparison,) = found["comparisons"]
    assert comparison["absoluteLift"] == pytest.approx(0.04)
    assert comparison["relativeLift"] == pytest.approx(0.4)
    # R: prop.test(c(70, 50), c(500, 500), correct = FALSE): X-squared = 3.7879, p-value = 0.05162
    assert comparison["pValue"] == pytest.approx(0.05162, abs=1e-5)
    assert comparison["ci"] == pytest.approx([-0.0002055, 0.0802055], abs=1e-6)
    assert comparison["direction"] == "better"
    assert comparison["significant"] is False
    assert found["srm"]["pValue"] == 1.0
    assert found["recommendation"]["action"] == "keep_running"


def test_results__clear_winner__is_shipped(running, expose):
    expose(running, {"control": 3000, "treatment": 3000}, converted={"control": 300, "treatment": 480})
    found = results_for(running, now=LATER)

    assert found["comparisons"][0]["significant"] is True
    low, high = found["comparisons"][0]["sequentialCi"]
    assert 0 < low < 0.06 < high
    assert (found["recommendation"]["action"], found["recommendation"]["variant"]) == ("ship", "treatment")


def test_results__clear_loser__is_stopped(running, expose):
    expose(running, {"control": 3000, "treatment": 3000}, converted={"control": 480, "treatment": 300})

    assert results_for(running, now=LATER)["recommendation"]["action"] == "stop"


def test_results__goal_is_to_decrease__less_is_better(environment, make_metric, make_experiment, start, expose):
    make_metric("errors", eventName="error", goal="decrease")
    experiment = start(make_experiment(primaryMetric="errors"), at=START)
    expose(
        experiment,
        {"control": 3000, "treatment": 3000},
        converted={"control": 480, "treatment": 300},
        event_name="error",
    )
    found = results_for(experiment, now=LATER)

    assert found["comparisons"][0]["direction"] == "better"
    assert found["comparisons"][0]["probabilityToBeat"] > 0.999
    assert found["recommendation"]["action"] == "ship"


def test_results__split_went_wrong__are_not_to_be_trusted_however_good(running, expose):
    expose(running, {"control": 3000, "treatment": 2600}, converted={"control": 300, "treatment": 520})
    found = results_for(running, now=LATER)

    assert found["srm"]["warning"] is True
    assert found["recommendation"]["action"] == "do_not_trust"


def test_results__one_bad_day__is_named_and_no_verdict_is_held_back_for_it(running, expose):
    for day in range(4):
        counts = {"control": 700, "treatment": 500} if day == 2 else {"control": 600, "treatment": 650}
        expose(
            running,
            counts,
            converted={"control": 60, "treatment": 130},
            at=START + day * DAY + NOON,
            prefix=f"day{day}",
        )
    found = results_for(running, now=LATER)

    assert found["srm"]["warning"] is False
    assert [day["warning"] for day in found["srm"]["daily"]] == [False, False, True, False]
    assert found["comparisons"][0]["significant"] is True
    assert found["recommendation"]["action"] == "ship"
    assert "On 2026-03-04 users arrived as 700 : 500: look into that day." in found["recommendation"]["caveats"]


def test_results__day_that_is_not_over__is_shown_and_not_judged(running, expose):
    expose(running, {"control": 100, "treatment": 20})
    found = results_for(running, now=START + timedelta(hours=20))

    (day,) = found["srm"]["daily"]
    assert (day["complete"], day["pValue"], day["warning"]) == (False, None, False)
    assert found["srm"]["warning"] is True


def test_results__who_saw_two_variants__is_left_out_and_counted(running, expose):
    expose(running, {"control": 50, "treatment": 50})
    for variant in ("control", "treatment"):
        store_events(Batch([exposure(running, "both", variant, START + NOON)], []))
    found = results_for(running, now=LATER)

    assert found["excluded"] == {"bots": 0, "crossovers": 1, "late": 0}
    assert _figures(found) == {"control": (50, 0), "treatment": (50, 0)}


def test_results__conversion_before_exposure_or_after_the_window__does_not_count(running, expose):
    seen = START + DAY
    store_events(
        Batch(
            [exposure(running, name, "control", seen) for name in ("early", "late", "in time")],
            [
                conversion(running, "early", seen - timedelta(minutes=1)),
                conversion(running, "late", seen + timedelta(hours=24)),
                conversion(running, "in time", seen + timedelta(hours=23, minutes=59)),
                conversion(running, "in time", seen + timedelta(hours=2)),
            ],
        )
    )

    assert _figures(results_for(running, now=LATER))["control"] == (3, 1)


def test_results__window__is_about_the_users_first_seen_in_it(running, expose):
    expose(running, {"control": 10, "treatment": 10}, prefix="first")
    expose(running, {"control": 7, "treatment": 8}, prefix="second", at=START + 2 * DAY)
    found = results_for(running, "2026-03-03T00:00:00Z/2026-03-06T00:00:00Z", now=LATER)

    assert _figures(found) == {"control": (7, 0), "treatment": (8, 0)}
    assert found["comparisons"][0]["sequentialCi"] is None
    assert any("phase from its start" in caveat for caveat in found["caveats"])
    assert any("begins after the phase" in caveat for caveat in found["caveats"])


def test_results__raw_events_of_its_first_days_are_deleted__says_so(running, expose):
    expose(running, {"control": 10, "treatment": 10})
    policy = EventPolicy.objects.create(environment=running.environment, raw_since=START + 2 * DAY)

    assert any("before 2026-03-04 are deleted" in caveat for caveat in results_for(running, now=LATER)["caveats"])
    policy.raw_since = START
    policy.save()
    assert not any("deleted" in caveat for caveat in results_for(running, now=LATER)["caveats"])


def test_results__restarted__phases_are_apart(environment, running, expose):
    expose(running, {"control": 10, "treatment": 10})
    services.restart_experiment(actor=ALICE, environment=environment, pk=running.pk)
    experiment = get_experiment(environment, running.pk)
    began = experiment.phases.last().started_at
    expose(experiment, {"control": 3, "treatment": 4}, at=began + timedelta(milliseconds=5))
    found = results_for(experiment, now=began + DAY)

    assert found["window"]["phase"] == 2
    assert _figures(found) == {"control": (3, 0), "treatment": (4, 0)}
    first = results_for(experiment, f"{START.isoformat()}/{(START + DAY).isoformat()}", now=began + DAY)
    assert (first["window"]["phase"], _figures(first)["control"]) == (1, (10, 0))


def test_results__uneven_split__is_expected_unevenly(make_experiment, start, expose):
    shares = [{"variant": "control", "percent": 90}, {"variant": "treatment", "percent": 10}]
    experiment = start(make_experiment(allocation=shares), at=START)
    expose(experiment, {"control": 905, "treatment": 95})
    found = results_for(experiment, now=LATER)

    assert found["srm"]["expected"] == pytest.approx({"control": 900, "treatment": 100})
    assert found["srm"]["warning"] is False


def test_results__nobody_yet__is_null_with_reasons(running):
    found = results_for(running, now=LATER)

    (comparison,) = found["comparisons"]
    for name in ("absoluteLift", "relativeLift", "ci", "pValue", "sequentialCi", "adjustedPValue", "significant"):
        assert comparison[name] is None, name
    assert found["srm"]["pValue"] is None
    assert found["watermark"] is None
    assert any("no users" in caveat for caveat in found["caveats"])


def test_results__mean_per_user__comes_from_sums_over_users(make_metric, make_experiment, start, expose, environment):
    make_metric("revenue", type="continuous")
    experiment = start(make_experiment(secondaryMetrics=["revenue"]), at=START)
    expose(experiment, {"control": 200, "treatment": 200}, converted={"control": 50, "treatment": 100}, value=10.0)
    found = results_for(experiment, now=LATER)

    (revenue,) = found["metrics"]
    assert {row["key"]: row["mean"] for row in revenue["variants"]} == {"control": 2.5, "treatment": 5.0}
    comparison = next(item for item in found["comparisons"] if item["metric"] == "revenue")
    assert (comparison["role"], comparison["absoluteLift"], comparison["relativeLift"]) == ("secondary", 2.5, 1.0)
    assert comparison["correction"] == "bh"


def test_results__watermark__is_when_the_youngest_event_was_received(running, expose):
    expose(running, {"control": 1}, converted={"control": 1})

    assert results_for(running, now=LATER)["watermark"] == (START + NOON + timedelta(minutes=5)).astimezone(UTC)


def test_results__id_seen_twice__counts_once(running):
    first = exposure(running, "someone", "control", START + NOON)
    bought = conversion(running, "someone", START + NOON + timedelta(minutes=1))
    for _ in range(2):
        store_events(Batch([first], [bought]))
    store_events(Batch([exposure(running, "someone", "control", START + NOON + timedelta(hours=1))], []))

    assert _figures(results_for(running, now=LATER))["control"] == (1, 1)
