"""Whoever was first seen during a pause is in no figure, whatever is kept of the days around it, on every store."""

from collections import Counter
from datetime import datetime, timedelta
from typing import Any

import pytest

from analytics import selectors
from analytics.event_records import Batch
from analytics.models import FirstExposure
from analytics.selectors import Figure, Kind, Pairing
from analytics.services import open_phase, refresh_rollups, store_events
from analytics.stores.base import Period
from analytics.stores.postgres.rollups.pairs import whole_pair_summary
from analytics.testing import STORES, UseStore
from analytics.tests.conftest import conversion, exposure
from analytics.tests.world import DAY, START, World
from tenancy.models import Environment

HOUR = timedelta(hours=1)
WEEK = timedelta(days=7)
# Within a day; over two midnights, one of whose days nobody is of; and one that begins where the former ends.
PAUSES = (
    (START + 2 * DAY + 9 * HOUR, START + 2 * DAY + 15 * HOUR),
    (START + 4 * DAY + 5 * HOUR, START + 6 * DAY + 20 * HOUR),
    (START + 6 * DAY + 20 * HOUR, START + 6 * DAY + 21 * HOUR),
)
CUPED = Pairing(Figure(Kind.TOTAL, "purchase", cap=30), Figure(Kind.TOTAL, "purchase"), WEEK, WEEK, before=36 * HOUR)
WINDOW = 30 * HOUR
RATE = Pairing(Figure(Kind.CONVERTED, "purchase"), None, WINDOW, WEEK)
TOTAL = Pairing(Figure(Kind.TOTAL, "purchase"), None, WINDOW, WEEK)
PAIRINGS = (RATE, TOTAL, CUPED)

pytestmark = pytest.mark.django_db


def _is_enrolled(moment: datetime) -> bool:
    return not any(since <= moment < until for since, until in PAUSES)


def _figures(env: int, until: datetime) -> tuple[Any, ...]:
    period = Period(env, "checkout-test", START, until, PAUSES)
    return tuple(selectors.pair_summary(period, pairing) for pairing in PAIRINGS)


def _assert_same(env: int, until: datetime) -> None:
    """Beside the reads that know nothing of what is kept, and beside units counted one by one."""
    period = Period(env, "checkout-test", START, until, PAUSES)
    found = _figures(env, until)
    assert found == tuple(whole_pair_summary(period, pairing) for pairing in PAIRINGS)
    units = [
        unit
        for unit in selectors.first_exposures(Period(env, "checkout-test", START, until))
        if _is_enrolled(unit.first_at)
    ]
    users = Counter(unit.variant for unit in units if not unit.is_crossover)
    assert [{variant: summary.n for variant, summary in figures.items()} for figures in found] == [users] * 3
    exposures = selectors.exposure_summary(Period(env, "checkout-test", START, until, PAUSES))
    assert exposures.users == users
    assert exposures.crossovers == len(units) - users.total()
    assert sum((Counter(day) for _, day in exposures.daily), Counter()) == users


def _refresh(env: int, until: datetime) -> list[int]:
    period = Period(env, "checkout-test", START, until, PAUSES)
    return [refresh_rollups(period, pairing) for pairing in (TOTAL, CUPED)]


@pytest.mark.parametrize("seed", range(2))
def test_nights__with_pauses__sum_up_to_the_whole_without_them(environment: Environment, seed: int) -> None:
    env, world = environment.pk, World(environment.pk, seed)
    for number in range(-3, 10):
        world.day(number)
        if number < 0:
            continue
        if number == 0:
            open_phase(environment_id=env, experiment="checkout-test", started_at=START)
        until = START + (number + 1) * DAY
        _assert_same(env, until)
        _refresh(env, until)
        assert _refresh(env, until) == [0, 0]
        _assert_same(env, until)
        _assert_same(env, max(until - 2 * DAY - HOUR, START + HOUR))


def test_a_new_day__after_a_pause__works_out_no_day_whose_window_is_over(environment: Environment) -> None:
    env = environment.pk
    for day in range(10):
        at = START + day * DAY + 3 * HOUR
        events = [conversion(env, f"user-{day}", at + HOUR, value=2.0)]
        store_events(Batch([exposure(env, f"user-{day}", "control", at)], events))
    # The pauses leave days 5 and 6 without anyone.
    assert _refresh(env, START + 10 * DAY) == [8, 8]
    store_events(Batch([], [conversion(env, "user-9", START + 10 * DAY + HOUR)]))
    # Units of day 8 may buy for 30 hours, which day 10 is in; those of days 3 and 4, in the week of the pairs, as well.
    assert _refresh(env, START + 10 * DAY) == [2, 5]
    _assert_same(env, START + 10 * DAY)


def test_a_unit__first_seen_in_a_pause__is_not_taken_off_when_it_crosses_over(environment: Environment) -> None:
    env, at = environment.pk, START + 2 * DAY + 10 * HOUR
    seen = {"in it": at, "after it": at + 8 * HOUR, "later": at + 9 * HOUR, "crossing": at + 9 * HOUR}
    store_events(Batch([exposure(env, unit, "control", moment) for unit, moment in seen.items()]))
    _refresh(env, START + 5 * DAY)
    crossed_at = START + 3 * DAY
    store_events(Batch([exposure(env, unit, "treatment", crossed_at) for unit in ("in it", "crossing")]))
    _assert_same(env, START + 5 * DAY)
    assert _refresh(env, START + 5 * DAY) == [0, 0]


def test_pauses__change__is_seen_by_what_is_kept(environment: Environment) -> None:
    env = environment.pk
    for day in range(4):
        store_events(Batch([exposure(env, f"user-{day}", "control", START + day * DAY + 10 * HOUR)]))
    whole, paused = (Period(env, "checkout-test", START, START + 4 * DAY, pauses) for pauses in ((), PAUSES))
    refresh_rollups(whole, RATE)
    assert selectors.pair_summary(whole, RATE)["control"].n == 4
    assert selectors.pair_summary(paused, RATE)["control"].n == 3


@pytest.mark.parametrize("seed", range(2))
def test_units_by_day__with_pauses__are_those_of_the_units_themselves(environment: Environment, seed: int) -> None:
    env, world = environment.pk, World(environment.pk, seed)
    for number in range(9):
        world.day(number)
    for hours in (1, 50, 58, 60, 64, 72, 101, 125, 144, 164, 165, 166, 200, 216):
        until = START + hours * HOUR
        units = [
            unit
            for unit in selectors.first_exposures(Period(env, "checkout-test", START, until, PAUSES))
            if not unit.is_crossover
        ]
        found = selectors.exposure_summary(Period(env, "checkout-test", START, until, PAUSES))
        expected = Counter((unit.first_at.date(), unit.variant) for unit in units)
        assert {(day, variant): n for day, row in found.daily for variant, n in row.items()} == expected


def test_units_by_day__with_pauses__are_counted_one_by_one_on_the_days_they_cut_alone(environment: Environment) -> None:
    env = environment.pk
    for day in range(8):
        store_events(Batch([exposure(env, f"user-{day}", "control", START + day * DAY + 4 * HOUR)]))
    until = START + 8 * DAY
    before = selectors.exposure_summary(Period(env, "checkout-test", START, until, PAUSES))
    assert before.users == {"control": 6}
    cut = [(START + number * DAY).date() for number in (2, 4, 5, 6)]
    FirstExposure.objects.exclude(first_at__date__in=cut).delete()
    assert selectors.exposure_summary(Period(env, "checkout-test", START, until, PAUSES)) == before
    FirstExposure.objects.filter(first_at__date=cut[0]).delete()
    assert selectors.exposure_summary(Period(env, "checkout-test", START, until, PAUSES)).users == {"control": 5}


def test_both_stores__with_pauses__answer_alike_to_the_digit(use_store: UseStore, environment: Environment) -> None:
    env, answers = environment.pk, []
    for kind in STORES:
        use_store(kind)
        world = World(env, seed=5)
        for number in range(-2, 8):
            world.day(number)
        periods = [Period(env, "checkout-test", since, START + 8 * DAY, PAUSES) for since in (START, START + 3 * DAY)]
        answers.append(
            [
                *_figures(env, START + 8 * DAY),
                *(selectors.exposure_summary(period) for period in periods),
                *(selectors.bots_first_seen(period) for period in periods),
                *(list(selectors.first_exposures(period)) for period in periods),
            ]
        )
    assert answers[0] == answers[1]
    assert all(_is_enrolled(unit.first_at) for unit in answers[1][7])
    assert all(answers[1][5:7])
