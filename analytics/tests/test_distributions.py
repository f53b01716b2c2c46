"""Distributions kept from night to night are those of the whole, figure for figure, whatever came in between."""

from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from pytest_django import Settings

from analytics import selectors
from analytics.event_records import Batch
from analytics.models import CohortDistribution
from analytics.selectors import Distributed, Distribution, Figure, Kind, Pairing, Scope
from analytics.services import forget_user, open_phase, reclassify_bots, refresh_rollups, store_events
from analytics.stores.base import Period
from analytics.stores.postgres.rollups.distributions import whole_distribution
from analytics.testing import STORES, UseStore
from analytics.tests.conftest import ACTOR, conversion, exposure
from analytics.tests.world import DAY, START, World
from tenancy.models import Environment

HOUR = timedelta(hours=1)
WINDOW = 40 * HOUR
WEEK = timedelta(days=7)
END = START + 10 * DAY
PAUSES = ((START + 3 * DAY + 5 * HOUR, START + 5 * DAY + 7 * HOUR),)
REVENUE = Figure(Kind.TOTAL, "purchase")
TAX = Figure(Kind.TOTAL, "purchase", "tax")
COUNT = Figure(Kind.COUNT, "visit")
DISTRIBUTIONS = {
    "events": Distribution(Scope.EVENTS, Pairing(REVENUE, None, WEEK, WEEK)),
    "events of a property": Distribution(Scope.EVENTS, Pairing(TAX, None, WINDOW, WEEK)),
    "units": Distribution(Scope.UNITS, Pairing(REVENUE, None, WEEK, WEEK)),
    "units with what was before": Distribution(Scope.UNITS, Pairing(REVENUE, REVENUE, WINDOW, WEEK, 3 * DAY)),
    "counts": Distribution(Scope.UNITS, Pairing(COUNT, COUNT, WEEK, WEEK, 36 * HOUR)),
}

pytestmark = pytest.mark.django_db


def _assert_same(
    env: int, asked: Distribution, until: datetime, pauses: selectors.Pauses = ()
) -> dict[str, Distributed]:
    period = Period(env, "checkout-test", START, until, pauses)
    found = selectors.distribution(period, asked)
    assert found == whole_distribution(period, asked)
    return found


def _without_grace(asked: Distribution) -> Distribution:
    return replace(asked, pairing=replace(asked.pairing, grace=timedelta(0)))


def _refresh(env: int, asked: Distribution, until: datetime, pauses: selectors.Pauses = ()) -> int:
    return refresh_rollups(Period(env, "checkout-test", START, until, pauses), asked)


@pytest.mark.parametrize("seed", range(2))
def test_nights__random_days_of_events__make_up_the_whole(
    environment: Environment, settings: Settings, seed: int
) -> None:
    env, world = environment.pk, World(environment.pk, seed)
    organization = environment.project.organization
    rewrites: dict[int, Callable[[], Any]] = {
        5: lambda: forget_user(actor=ACTOR, organization=organization, user_id="user-7"),
        6: lambda: setattr(settings, "BOT_USER_IDS", "^user-1.$"),
        8: lambda: setattr(settings, "BOT_USER_IDS", "^user-2$"),
    }
    for number in range(-3, 10):
        world.day(number)
        if number < 0:
            continue
        if number == 0:
            open_phase(environment_id=env, experiment="checkout-test", started_at=START)
        if number in rewrites:
            rewrites[number]()
            reclassify_bots(lambda _done, _total: None)
        until = START + (number + 1) * DAY
        for asked in DISTRIBUTIONS.values():
            for pauses in ((), PAUSES):
                _assert_same(env, asked, until, pauses)
                _refresh(env, asked, until, pauses)
                assert _refresh(env, asked, until, pauses) == 0
                found = _assert_same(env, asked, until, pauses)
                _assert_same(env, asked, max(until - 2 * DAY, START + HOUR), pauses)
            # What came in the last two days is late then, though what is kept knows it.
            _assert_same(env, _without_grace(asked), max(until - 2 * DAY, START + HOUR))
    assert {one.rows.size > 5 for one in found.values()} == {True}
    kept = CohortDistribution.objects.filter(environment_id=env)
    assert kept.values("question").distinct().count() == len(DISTRIBUTIONS)


def test_rows__of_single_events__are_what_each_of_them_adds(environment: Environment) -> None:
    """Beside events and units fetched one by one."""
    env, world = environment.pk, World(environment.pk, 3)
    for number in range(6):
        world.day(number)
    until = START + 6 * DAY
    units = {
        unit.unit_id: unit
        for unit in selectors.first_exposures(selectors.Period(env, "checkout-test", START, until))
        if not unit.is_crossover
    }
    values: dict[str, list[float]] = defaultdict(list)
    for event in selectors.events(env, "purchase", START):
        unit = units.get(event.unit_id)
        if unit and unit.first_at <= event.occurred_at < unit.first_at + WEEK and event.value is not None:
            values[event.unit_id].append(event.value)
    found = selectors.distribution(Period(env, "checkout-test", START, until), DISTRIBUTIONS["events"])
    assert {variant: one.units for variant, one in found.items()} == Counter(unit.variant for unit in units.values())
    for variant, one in found.items():
        mine = [its for unit_id, its in values.items() if units[unit_id].variant == variant]
        assert int(one.rows["units"].sum()) == len(mine)
        for limit in one.rows["value"]:
            upto = one.rows[one.rows["value"] <= limit]
            at_most = [sum(value <= limit for value in its) for its in mine]
            assert int(upto["events"].sum()) == sum(at_most)
            assert int(upto["squares"].sum()) == sum(count**2 for count in at_most)
            assert int(upto["products"].sum()) == sum(
                count * len(its) for count, its in zip(at_most, mine, strict=True)
            )


def test_rows__of_units__are_their_figures_and_what_was_before(environment: Environment) -> None:
    env, at = environment.pk, START + 9 * HOUR
    spent = {"alice": [2.5, 1.25], "bob": [3.75], "carol": [], "dora": [None]}
    store_events(
        Batch(
            [exposure(env, unit, "control", at) for unit in spent],
            [
                *(conversion(env, unit, at + HOUR, value=value) for unit, values in spent.items() for value in values),
                conversion(env, "carol", at - HOUR, value=7.0),
                conversion(env, "alice", at - 4 * DAY, value=7.0),
                conversion(env, "bob", at + 41 * HOUR, value=7.0),
            ],
        )
    )
    found = selectors.distribution(
        Period(env, "checkout-test", START, END), DISTRIBUTIONS["units with what was before"]
    )
    assert found["control"].units == 4
    assert [row.tolist() for row in found["control"].rows] == [(0.0, 7.0, 1), (3.75, 0.0, 2)]


def test_a_new_day__works_out_the_days_whose_window_is_open_and_no_other(environment: Environment) -> None:
    env, asked = environment.pk, DISTRIBUTIONS["events of a property"]
    for day in range(10):
        at = START + day * DAY + 9 * HOUR
        events = [conversion(env, f"user-{day}", at + HOUR, properties='{"tax": 2}')]
        store_events(Batch([exposure(env, f"user-{day}", "control", at)], events))
    assert _refresh(env, asked, END) == 10
    store_events(Batch([exposure(env, "new", "control", END)], [conversion(env, "user-9", END + HOUR)]))
    assert _refresh(env, asked, END + DAY) == 3
    assert _assert_same(env, asked, END + DAY)["control"].units == 11


def test_erasure__of_a_unit__takes_its_figures_out_of_what_is_kept(environment: Environment) -> None:
    env, asked = environment.pk, DISTRIBUTIONS["units"]
    for day in range(3):
        at = START + day * DAY
        bought = [conversion(env, f"user-{day}", at + HOUR, value=day + 1.0)]
        store_events(Batch([exposure(env, f"user-{day}", "control", at)], bought))
    _refresh(env, asked, START + 3 * DAY)
    forget_user(actor=ACTOR, organization=environment.project.organization, user_id="user-1")
    days = CohortDistribution.objects.filter(environment_id=env).order_by("day").values_list("day", flat=True)
    assert [(day - START.date()).days for day in days] == [0, 2]
    assert _assert_same(env, asked, START + 3 * DAY)["control"].rows["y"].tolist() == [1.0, 3.0]


def test_both_stores__same_random_days__answer_alike_figure_for_figure(
    use_store: UseStore, environment: Environment
) -> None:
    env, answers = environment.pk, []
    for kind in STORES:
        use_store(kind)
        world = World(env, seed=11)
        for number in range(-3, 6):
            world.day(number)
        store_events(Batch([], [conversion(env, "user-3", START + 5 * DAY, value=8e12 + 0.1)] * 2))
        answers.append(
            [
                selectors.distribution(Period(env, "checkout-test", since, START + 4 * DAY, pauses), asked)
                for since in (START, START + 2 * DAY)
                for pauses in ((), PAUSES)
                for one in DISTRIBUTIONS.values()
                for asked in (one, _without_grace(one))
            ]
        )
    assert answers[0] == answers[1]
    assert {one.units > 5 for found in answers[0] for one in found.values()} == {True}
    assert {one.late > 0 for one in answers[0][1].values()} == {True}
