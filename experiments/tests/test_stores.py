"""Results from either store of events: whatever an analysis asks, the figures are the same to the digit."""

from datetime import timedelta

import orjson
from msgspec.structs import replace

from analytics.event_records import Batch
from analytics.services import store_events
from analytics.stores.clickhouse.store import ClickHouseStore
from analytics.stores.postgres.store import PostgresStore
from analytics.testing import STORES
from experiments.analysis import results_for
from experiments.design.planning import estimate
from experiments.design.simulations import check_null
from experiments.selectors import get_metric
from experiments.tests.conftest import START, conversion, exposure

SEEN = START + timedelta(hours=5)
NOW = START + timedelta(days=4)


def _send(experiment):
    """Users of two countries who buy, some twice, with doings from before and slow pages; bots and a crossover."""
    exposures, conversions = [], []
    for number in range(300):
        variant = "treatment" if number % 2 else "control"
        attributes = orjson.dumps({"country": "DE" if number % 3 else "US"}).decode()
        at = SEEN + timedelta(minutes=number)
        exposures.append(exposure(experiment, f"user-{number}", variant, at, attributes))
        conversions.append(conversion(experiment, f"user-{number}", at - timedelta(days=2), value=number * 0.1))
        for times in range(number % 4):
            later = at + timedelta(hours=times)
            conversions.append(conversion(experiment, f"user-{number}", later, value=number / 7 + times))
            conversions.append(conversion(experiment, f"user-{number}", later, event_name="page", value=times + 0.3))
    exposures += [exposure(experiment, f"bot-{number}", "control", SEEN) for number in range(12)]
    exposures += [exposure(experiment, "user-0", "treatment", NOW - timedelta(days=1))]
    # Of bulk answers: seven users, and a bot.
    exposures[:7] = [replace(event, is_prefetched=True) for event in exposures[:7]]
    exposures[300] = replace(exposures[300], is_prefetched=True)
    store_events(Batch(exposures, conversions))


def test_results__from_either_store__are_the_same_to_the_digit(
    use_store, environment, make_metric, make_experiment, start
):
    make_metric("revenue", type="continuous", cap=70)
    make_metric("per-page", type="ratio", denominatorEventName="page")
    make_metric("speed", type="quantile", eventName="page", quantile=0.5)
    experiment = start(
        make_experiment(
            secondaryMetrics=["revenue", "per-page", "speed"],
            analysis={"cuped": True},
            guardrails=[{"metric": "revenue", "marginPercent": 5, "action": "warn"}],
        ),
        at=START,
    )
    answers, kinds = [], []
    for kind in STORES:
        kinds.append(type(use_store(kind)))
        _send(experiment)
        answers.append(
            [
                results_for(experiment, segment="country", now=NOW),
                results_for(experiment, f"{START.isoformat()}/{NOW.isoformat()}".replace("+00:00", "Z"), now=NOW),
                check_null(
                    environment,
                    "new-checkout",
                    get_metric(environment.project, "revenue"),
                    replications=50,
                    now=NOW,
                ),
                estimate(experiment),
            ]
        )

    assert kinds == [PostgresStore, ClickHouseStore]
    assert answers[0] == answers[1]
    found = answers[1][0]
    assert (found["excluded"]["bots"], found["excluded"]["crossovers"]) == (12, 1)
    assert found["prefetched"] == 7
    assert any(caveat.startswith("7 exposures come from bulk answers (prefetched)") for caveat in found["caveats"])
    assert [row["users"] for row in found["breakdown"]["segments"]] == [200, 99]
    assert all(item["absoluteLift"] is not None for item in found["comparisons"])
