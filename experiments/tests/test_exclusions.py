"""Who is left out, and what difference it makes: bots to the sample ratio, crossovers to the figures."""

from dataclasses import replace
from datetime import timedelta

import pytest

from analytics.event_records import Batch
from analytics.services import store_events
from experiments.analysis import results_for, window_of
from experiments.analysis.exclusions import ratio_with_bots
from experiments.analysis.window_data import WindowData
from experiments.models import Phase
from experiments.selectors import get_experiment
from experiments.tests.conftest import START, conversion, exposure

NOON = START + timedelta(hours=12)
LATER = START + timedelta(days=6)


@pytest.fixture
def see(running):
    def _see(units, variant, at=NOON, converted=0):
        store_events(
            Batch(
                [exposure(running, unit, variant, at) for unit in units],
                [conversion(running, unit, at + timedelta(hours=1)) for unit in units[:converted]],
            )
        )

    return _see


def _bots(count, prefix="bot"):
    return [f"{prefix}-{number}" for number in range(count)]


def test_before_bots__they_were_in_one_variant__is_wrong_with_them_alone(running, expose, see):
    expose(running, {"control": 200, "treatment": 200})
    see(_bots(80), "treatment")
    found = results_for(running, now=LATER)

    before = found["srm"]["beforeBots"]
    assert found["excluded"]["bots"] == 80
    assert found["srm"]["observed"] == {"control": 200, "treatment": 200}
    assert before["observed"] == {"control": 200, "treatment": 280}
    # Both cells are 40 away from 240.
    assert before["chiSquare"] == pytest.approx(13.3333, abs=1e-4)
    assert (found["srm"]["warning"], before["warning"]) == (False, True)
    assert any("wrong with the bots and fine without" in caveat for caveat in found["caveats"])


def test_before_bots__rules_caught_one_arm__is_wrong_without_them_alone(running, expose, see):
    expose(running, {"control": 200, "treatment": 120})
    see(_bots(80), "treatment")
    found = results_for(running, now=LATER)

    assert (found["srm"]["warning"], found["srm"]["beforeBots"]["pValue"]) == (True, 1.0)
    assert any("catch users of one variant" in caveat for caveat in found["caveats"])


def test_before_bots__bot_of_two_variants__counts_once_in_its_first(running, expose, see):
    expose(running, {"control": 10, "treatment": 10})
    see(_bots(1), "treatment")
    see(_bots(1), "control", at=NOON + timedelta(hours=1))

    assert results_for(running, now=LATER)["srm"]["beforeBots"]["observed"] == {"control": 10, "treatment": 11}


def test_before_bots__no_bots__is_the_same_test(running, expose):
    expose(running, {"control": 30, "treatment": 20})
    srm = results_for(running, now=LATER)["srm"]

    assert (srm["beforeBots"]["pValue"], srm["beforeBots"]["observed"]) == (srm["pValue"], srm["observed"])


def test_before_bots__raw_events_are_gone__is_null_with_a_reason(running, expose, see):
    expose(running, {"control": 30, "treatment": 30})
    see(_bots(5), "treatment")
    data = WindowData(running, window_of(running, now=LATER))
    counted_before = replace(data.exposures(), bots=7)
    before = ratio_with_bots(data, counted_before)

    assert (before["pValue"], before["warning"]) == (None, None)
    assert "any more" in before["reason"]


def test_before_bots__seen_in_a_pause__are_not_counted(environment, running, expose, see):
    phase = Phase.objects.get()
    phase.pauses = [[NOON.isoformat(), (NOON + timedelta(hours=2)).isoformat()]]
    phase.save()
    see(_bots(5), "treatment", at=NOON + timedelta(hours=1))
    see(_bots(3, "crawler-bot"), "control", at=NOON + timedelta(hours=3))
    expose(running, {"control": 10, "treatment": 10}, at=NOON - timedelta(hours=1))
    found = results_for(get_experiment(environment, running.pk), now=LATER)["srm"]["beforeBots"]

    assert found["observed"]["treatment"] == 10


def test_by_first_variant__above_one_percent__keeps_crossovers_where_they_began(running, expose, see):
    expose(running, {"control": 95, "treatment": 100}, converted={"control": 10, "treatment": 20})
    crossed = _bots(5, "both")
    see(crossed, "control", converted=5)
    see(crossed, "treatment", at=NOON + timedelta(hours=3))
    found = results_for(running, now=LATER)

    (row,) = found["sensitivity"]["byFirstVariant"]
    assert found["excluded"]["crossovers"] == 5
    assert found["comparisons"][0]["absoluteLift"] == pytest.approx(20 / 100 - 10 / 95)
    assert row["users"] == {"control": 100, "treatment": 100}
    assert row["absoluteLift"] == pytest.approx(20 / 100 - 15 / 100)
    # R: prop.test(c(20, 15), c(100, 100), correct = FALSE): p-value = 0.3521
    assert row["pValue"] == pytest.approx(0.3521, abs=1e-3)


def test_by_first_variant__up_to_one_percent__is_not_told(running, expose, see):
    expose(running, {"control": 100, "treatment": 100})
    see(["both"], "control")
    see(["both"], "treatment", at=NOON + timedelta(hours=3))
    found = results_for(running, now=LATER)

    assert found["excluded"]["crossovers"] == 1
    assert found["sensitivity"]["byFirstVariant"] is None
