"""Pairs of figures kept from night to night are those of the whole, to the digit, whatever came in between."""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from pytest_django import Settings

from analytics import selectors
from analytics.event_records import Batch
from analytics.models import CohortPair
from analytics.selectors import Figure, Kind, Pairing, PairSummary
from analytics.services import forget_user, open_phase, reclassify_bots, refresh_rollups, store_events
from analytics.stores.base import Period
from analytics.stores.postgres.rollups.pairs import whole_pair_summary
from analytics.testing import STORES, UseStore
from analytics.tests.conftest import ACTOR, conversion, exposure
from analytics.tests.world import DAY, START, World
from tenancy.models import Environment

HOUR = timedelta(hours=1)
END = START + 10 * DAY
WINDOW = timedelta(hours=40)
WEEK = timedelta(days=7)
REVENUE = Figure(Kind.TOTAL, "purchase")
RATIO = Pairing(Figure(Kind.AMOUNT, "purchase"), Figure(Kind.AMOUNT, "visit"), WINDOW, WEEK)
PAIRINGS = {
    "ratio": RATIO,
    "ratio of a property": replace(RATIO, y=Figure(Kind.AMOUNT, "purchase", "tax"), window=WEEK),
    "rate": Pairing(Figure(Kind.CONVERTED, "purchase"), None, WINDOW, WEEK),
    "count": Pairing(Figure(Kind.COUNT, "purchase"), None, WINDOW, WEEK),
    "total": Pairing(REVENUE, None, WEEK, WEEK),
    "capped": Pairing(replace(REVENUE, cap=20.5), None, WINDOW, WEEK),
    "capped count": Pairing(Figure(Kind.COUNT, "visit", cap=2), None, WEEK, WEEK),
    "cuped": Pairing(REVENUE, REVENUE, WINDOW, WEEK, before=14 * DAY),
    "cuped rate": Pairing(Figure(Kind.CONVERTED, "visit"), Figure(Kind.CONVERTED, "visit"), WINDOW, WEEK, 3 * DAY),
    "cuped and capped": Pairing(replace(REVENUE, cap=30), REVENUE, WEEK, WEEK, before=36 * HOUR),
}

pytestmark = pytest.mark.django_db


@pytest.fixture(params=PAIRINGS)
def pairing(request: pytest.FixtureRequest) -> Pairing:
    return PAIRINGS[request.param]


def _assert_same(environment_id: int, pairing: Pairing, until: datetime) -> dict[str, PairSummary]:
    period = Period(environment_id, "checkout-test", START, until)
    found = selectors.pair_summary(period, pairing)
    assert found == whole_pair_summary(period, pairing)
    return found


def _refresh(environment_id: int, pairing: Pairing, until: datetime) -> int:
    return refresh_rollups(Period(environment_id, "checkout-test", START, until), pairing)


@pytest.mark.parametrize("seed", range(3))
def test_nights__random_days_of_events__sum_up_to_the_whole(
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
        for one in PAIRINGS.values():
            _assert_same(env, one, until)
            _refresh(env, one, until)
            assert _refresh(env, one, until) == 0
            found = _assert_same(env, one, until)
            # A look at units whose window was over, and one whose grace has not begun.
            _assert_same(env, one, max(until - 2 * DAY, START + HOUR))
            _assert_same(env, replace(one, grace=timedelta(0)), until)
    assert {summary.n > 10 for summary in found.values()} == {True}
    assert CohortPair.objects.filter(environment_id=env).values("question").distinct().count() == len(PAIRINGS)


def test_a_new_day__works_out_the_days_whose_window_is_open_and_no_other(
    environment: Environment, pairing: Pairing
) -> None:
    env = environment.pk
    for day in range(10):
        at = START + day * DAY + 9 * HOUR
        bought = [conversion(env, f"user-{day}", at + hours * HOUR, value=25.0) for hours in (-10, 1)]
        seen = [conversion(env, f"user-{day}", at + HOUR, event_name="visit")]
        store_events(Batch([exposure(env, f"user-{day}", "control", at)], bought + seen))
    assert _refresh(env, pairing, END) == 10
    store_events(
        Batch(
            [exposure(env, "new", "control", END + HOUR)],
            [conversion(env, "new", END + 2 * HOUR, event_name=name, value=3.0) for name in ("purchase", "visit")],
        )
    )
    open_days = -(-pairing.window // DAY)
    assert _refresh(env, pairing, END + DAY) == open_days + 1
    assert _assert_same(env, pairing, END + DAY)["control"].n == 11


def test_an_event_of_the_time_before__that_comes_late__works_out_the_days_that_look_back_to_it(
    environment: Environment,
) -> None:
    env, pairing = environment.pk, PAIRINGS["cuped rate"]
    for day in range(10):
        store_events(Batch([exposure(env, f"user-{day}", "control", START + day * DAY + 9 * HOUR)]))
    _refresh(env, pairing, END)
    store_events(Batch([], [conversion(env, "user-6", START + 4 * DAY, event_name="visit")]))
    assert _assert_same(env, pairing, END)["control"].mean_x == pytest.approx(0.1)
    # Two days before it, whose windows it may be in, its own, and three that look back.
    assert _refresh(env, pairing, END) == 6


def test_both_stores__same_random_days__answer_alike_to_the_digit(
    use_store: UseStore, environment: Environment
) -> None:
    env, answers = environment.pk, []
    for kind in STORES:
        use_store(kind)
        world = World(env, seed=11)
        for number in range(-3, 6):
            world.day(number)
        answers.append(
            [
                selectors.pair_summary(Period(env, "checkout-test", since, START + 5 * DAY), one)
                for since in (START, START + 2 * DAY)
                for one in PAIRINGS.values()
            ]
        )
    assert answers[0] == answers[1]
    assert {summary.n > 5 for found in answers[0] for summary in found.values()} == {True}
