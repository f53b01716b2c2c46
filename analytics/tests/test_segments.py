"""Figures by an attribute: who belongs where is what the rows say, and the segments add up to the whole."""

from collections import Counter

import pytest

from analytics import selectors
from analytics.selectors import Breakdown, Pairing, Period
from analytics.services import open_phase
from analytics.testing import STORES, UseStore
from analytics.tests.test_pairs import PAIRINGS
from analytics.tests.world import DAY, START, World
from tenancy.models import Environment

PAUSES = ((START + 2.4 * DAY, START + 3.1 * DAY),)
END = START + 6 * DAY

pytestmark = pytest.mark.django_db


def _assert_adds_up(env: int, pairing: Pairing) -> None:
    period = Period(env, "checkout-test", START, END, PAUSES)
    found = selectors.segment_summary(period, Breakdown(pairing, "country"))
    carried = dict(selectors.attribute_values(period, "country"))
    units = selectors.first_exposures(period)
    expected = Counter(
        (selectors.segment_name(carried[unit.unit_id]) if unit.unit_id in carried else None, unit.variant)
        for unit in units
        if not unit.is_crossover
    )
    assert {(name, variant): one.n for name, sums in found.items() for variant, one in sums.items()} == expected
    assert {name for name, _ in expected} == {None, "DE", "1"}
    for variant, whole in selectors.pair_summary(period, pairing).items():
        parts = [sums[variant] for sums in found.values() if variant in sums]
        assert sum(one.n * one.mean_x for one in parts) == pytest.approx(whole.n * whole.mean_x)
        assert sum(one.sum_y for one in parts) == pytest.approx(whole.sum_y)
        assert (sum(one.late for one in parts), sum(one.above_cap for one in parts)) == (whole.late, whole.above_cap)


@pytest.mark.parametrize("seed", range(2))
def test_segments__random_days__hold_the_units_the_rows_say_and_add_up_to_the_whole(
    environment: Environment, seed: int
) -> None:
    env, world = environment.pk, World(environment.pk, seed)
    for number in range(-3, 7):
        world.day(number)
    # Before and after there is a phase: from the raw events, and from the units that are kept.
    for is_kept in (False, True):
        if is_kept:
            open_phase(environment_id=env, experiment="checkout-test", started_at=START)
        for pairing in PAIRINGS.values():
            _assert_adds_up(env, pairing)


def test_both_stores__by_segment__answer_alike_to_the_digit(use_store: UseStore, environment: Environment) -> None:
    env, answers = environment.pk, []
    for kind in STORES:
        use_store(kind)
        world = World(env, seed=4)
        for number in range(-3, 7):
            world.day(number)
        answers.append(
            [
                selectors.segment_summary(Period(env, "checkout-test", START, END, PAUSES), Breakdown(pairing, name))
                for name in ("country", "planet")
                for pairing in PAIRINGS.values()
            ]
        )
    assert answers[0] == answers[1]
    assert {len(found) for found in answers[1]} == {3, 1}
