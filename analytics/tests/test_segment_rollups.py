"""Figures by an attribute kept from night to night are those of one pass, to the digit, whatever came in between."""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.db import DataError, connection
from pytest_django import Settings

from analytics import selectors
from analytics.event_records import Batch
from analytics.models import CohortSegment, ExperimentFlag, Exposure, SegmentDay, UnitSegment
from analytics.selectors import Breakdown, Pairing, Segments
from analytics.services import (
    forget_user,
    open_phase,
    reclassify_bots,
    refresh_rollups,
    store_events,
)
from analytics.stores.base import Period
from analytics.stores.postgres.rollups import segment_days, segments
from analytics.stores.postgres.rollups.segments import whole_segment_summary
from analytics.tests.conftest import ACTOR, conversion, exposure
from analytics.tests.test_pairs import PAIRINGS
from analytics.tests.test_pauses import PAUSES
from analytics.tests.world import DAY, START, World
from tenancy.models import Environment

HOUR = timedelta(hours=1)
END = START + 6 * DAY
# Whose window is of 40 hours.
RATIO = PAIRINGS["ratio"]

pytestmark = pytest.mark.django_db


def assert_same(env: int, until: datetime = END, pairing: Pairing = RATIO, **pauses: Any) -> Segments:
    period, breakdown = Period(env, "checkout-test", START, until, **pauses), Breakdown(pairing, "country")
    found = selectors.segment_summary(period, breakdown)
    assert found == whole_segment_summary(period, breakdown)
    return found


def refresh(env: int, until: datetime = END, pairing: Pairing = RATIO, **pauses: Any) -> int:
    return refresh_rollups(Period(env, "checkout-test", START, until, **pauses), Breakdown(pairing, "country"))


def see(env: int, unit: str, at: datetime, country: str | None = None, **fields: Any) -> None:
    attributes = None if country is None else f'{{"country": "{country}"}}'
    store_events(Batch([exposure(env, unit, "control", at, attributes=attributes, **fields)]))


def users_of(found: Segments) -> dict[str | None, int]:
    return {value: sum(one.n for one in sums.values()) for value, sums in found.items()}


def six_days(env: int) -> None:
    """Each day a unit of its own, from DE, that buys."""
    for day in range(6):
        at = START + day * DAY + 9 * HOUR
        see(env, f"user-{day}", at, "DE")
        store_events(Batch([], [conversion(env, f"user-{day}", at + HOUR, value=2.0 + day)]))


@pytest.mark.parametrize("seed", range(3))
def test_nights__random_days_of_events__sum_up_to_one_pass(
    environment: Environment, settings: Settings, seed: int
) -> None:
    env, world = environment.pk, World(environment.pk, seed)
    organization = environment.project.organization
    rewrites: dict[int, Callable[[], Any]] = {
        5: lambda: forget_user(actor=ACTOR, organization=organization, user_id="user-7"),
        6: lambda: setattr(settings, "BOT_USER_IDS", "^user-1.$"),
        8: lambda: setattr(settings, "BOT_USER_IDS", "^user-2$"),
    }
    pauses = {"pauses": PAUSES} if seed == 1 else {}
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
        for one in (RATIO, PAIRINGS["cuped and capped"]):
            assert_same(env, until, one, **pauses)
            refresh(env, until, one, **pauses)
            assert refresh(env, until, one, **pauses) == 0
            found = assert_same(env, until, one, **pauses)
            assert_same(env, max(until - 2 * DAY - HOUR, START + HOUR), one, **pauses)
            assert_same(env, until, replace(one, grace=timedelta(0)), **pauses)
    assert found.keys() == {None, "DE", "1"}
    assert UnitSegment.objects.filter(is_late=True).exists()


def test_a_night__with_nothing_new__works_out_nothing(environment: Environment) -> None:
    six_days(environment.pk)
    assert refresh(environment.pk) == 6
    assert refresh(environment.pk) == 0
    assert set(SegmentDay.objects.values_list("folds", flat=True)) == {1}


def test_a_new_day__works_out_the_days_whose_window_is_open_and_folds_no_other(environment: Environment) -> None:
    env = environment.pk
    six_days(env)
    refresh(env)
    see(env, "new", END + HOUR, "US")
    store_events(Batch([], [conversion(env, "new", END + 2 * HOUR, event_name=name) for name in ("purchase", "visit")]))
    # Two days before it may convert on it.
    assert refresh(env, END + DAY) == 3
    assert users_of(assert_same(env, END + DAY)) == {"DE": 6, "US": 1}
    assert list(SegmentDay.objects.order_by("day").values_list("folds", flat=True)) == [1] * 7


def test_days_that_are_kept__are_read_without_their_events(environment: Environment) -> None:
    env = environment.pk
    six_days(env)
    refresh(env)
    before = assert_same(env)
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL flagship.rewrite = 'allowed'")
        cursor.execute("DELETE FROM exposures")
        cursor.execute("DELETE FROM conversions")
        cursor.execute("SET LOCAL flagship.rewrite = ''")
    assert selectors.segment_summary(Period(env, "checkout-test", START, END), Breakdown(RATIO, "country")) == before
    assert not Exposure.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_a_night__interrupted_while_folding__goes_on_with_the_days_that_are_left(
    environment: Environment, monkeypatch: pytest.MonkeyPatch
) -> None:
    env = environment.pk
    six_days(env)
    with monkeypatch.context() as patched:
        patched.setattr(segment_days, "_MARK_LATE", "SELECT 1 / (count(*) - 3) FROM segment_days")
        with pytest.raises(DataError):
            refresh(env)
    assert (SegmentDay.objects.count(), UnitSegment.objects.count()) == (2, 2)
    assert_same(env)
    assert refresh(env) == 6
    assert set(SegmentDay.objects.values_list("folds", flat=True)) == {1}
    assert users_of(assert_same(env)) == {"DE": 6}


@pytest.mark.django_db(transaction=True)
def test_a_night__interrupted_before_sums_are_kept__folds_nothing_again(
    environment: Environment, monkeypatch: pytest.MonkeyPatch
) -> None:
    env = environment.pk
    six_days(env)
    refresh(env, START + 2 * DAY)
    with monkeypatch.context() as patched:
        patched.setattr(segments, "_FOLDS", "SELECT day, 1 / 0 AS folds FROM segment_days")
        with pytest.raises(DataError):
            refresh(env)
    assert (SegmentDay.objects.count(), CohortSegment.objects.count()) == (6, 2)
    assert_same(env)
    assert refresh(env) == 4
    assert set(SegmentDay.objects.values_list("folds", flat=True)) == {1}
    assert users_of(assert_same(env)) == {"DE": 6}


def test_a_new_phase__has_what_was_carried_in_it(environment: Environment) -> None:
    env, at = environment.pk, START + 2 * DAY + 10 * HOUR
    six_days(env)
    for unit, hours, country in (("user-0", 1, "US"), ("user-2", 1, "FR"), ("user-0", 30, "FR"), ("user-1", 30, None)):
        see(env, unit, at + hours * HOUR, country)
    refresh(env)
    open_phase(environment_id=env, experiment="checkout-test", started_at=at)
    asked = ((START, at, {"DE": 3}), (at, END, {"DE": 3, "US": 1, "FR": 1, None: 1}))
    for _ in range(2):
        for since, until, expected in asked:
            period, breakdown = Period(env, "checkout-test", since, until), Breakdown(RATIO, "country")
            found = selectors.segment_summary(period, breakdown)
            assert found == whole_segment_summary(period, breakdown)
            assert users_of(found) == expected
            refresh_rollups(period, breakdown)


@pytest.mark.parametrize("country", ["US", None])
def test_a_late_exposure__of_a_kept_day__has_it_worked_out_again(environment: Environment, country: str | None) -> None:
    env = environment.pk
    six_days(env)
    refresh(env)
    see(env, "user-3", START + 3 * DAY + 8 * HOUR, country)
    expected = {"DE": 6} if country is None else {"DE": 5, "US": 1}
    assert users_of(assert_same(env)) == expected
    assert refresh(env) == 1
    assert users_of(assert_same(env)) == expected


def test_a_late_exposure__that_is_no_first_one__may_decide_all_the_same(environment: Environment) -> None:
    env = environment.pk
    see(env, "alice", START + HOUR)
    see(env, "alice", START + 3 * HOUR, "DE")
    refresh(env)
    assert users_of(assert_same(env)) == {"DE": 1}
    see(env, "alice", START + 2 * HOUR, "US")
    assert users_of(assert_same(env)) == {"US": 1}
    assert refresh(env) == 1
    assert users_of(assert_same(env)) == {"US": 1}


def test_a_late_exposure__at_the_same_instant__may_decide(environment: Environment) -> None:
    env, at = environment.pk, START + 9 * HOUR
    early, late = sorted((exposure(env, "alice", "control", at) for _ in range(2)), key=lambda one: one.evaluation_id)
    see(env, "alice", at, "DE", evaluation_id=late.evaluation_id)
    refresh(env)
    assert users_of(assert_same(env)) == {"DE": 1}
    see(env, "alice", at, "US", evaluation_id=early.evaluation_id)
    assert users_of(assert_same(env)) == {"US": 1}
    refresh(env)
    assert users_of(assert_same(env)) == {"US": 1}


def test_an_attribute__carried_days_later__moves_the_unit_and_works_out_no_day_again(environment: Environment) -> None:
    env = environment.pk
    see(env, "alice", START + HOUR)
    store_events(Batch([], [conversion(env, "alice", START + 2 * HOUR, value=4.0)]))
    refresh(env, START + 3 * DAY)
    assert users_of(assert_same(env, START + 3 * DAY)) == {None: 1}
    see(env, "alice", START + 4 * DAY, "DE")
    # Today's, before any night has seen it; and after one.
    for _ in range(2):
        found = assert_same(env)
        assert (users_of(found), found["DE"]["control"].sum_y) == ({"DE": 1}, 4.0)
        assert users_of(assert_same(env, START + 3 * DAY)) == {None: 1}
        assert refresh(env) == 0
    assert UnitSegment.objects.get().is_late


def test_a_unit__that_turns_out_to_have_been_there_before__is_moved_to_that_day(environment: Environment) -> None:
    env = environment.pk
    six_days(env)
    refresh(env)
    assert not UnitSegment.objects.get(unit_id="user-4").is_late
    see(env, "user-4", START + DAY)
    assert users_of(assert_same(env)) == {"DE": 6}
    assert refresh(env) == 1
    assert UnitSegment.objects.get(unit_id="user-4").is_late
    assert users_of(assert_same(env)) == {"DE": 6}
    assert users_of(assert_same(env, START + 3 * DAY)) == {"DE": 3, None: 1}


def test_a_flag__new_to_the_experiment__is_noticed(environment: Environment) -> None:
    env = environment.pk
    six_days(env)
    refresh(env)
    see(env, "user-3", START + 3 * DAY + HOUR, "US", flag_key="other")
    assert users_of(assert_same(env)) == {"DE": 5, "US": 1}
    see(env, "user-4", START + 4 * DAY + HOUR, "US", flag_key="another", experiment="another")
    assert set(ExperimentFlag.objects.filter(experiment="checkout-test").values_list("flag_key", flat=True)) == {
        "new-checkout",
        "other",
    }


def test_exposures__of_an_older_release__are_folded_with_their_flags(environment: Environment) -> None:
    env = environment.pk
    six_days(env)
    ExperimentFlag.objects.all().delete()
    refresh(env)
    assert ExperimentFlag.objects.count() == 1
    see(env, "user-3", START + 3 * DAY + HOUR, "US")
    assert users_of(assert_same(env)) == {"DE": 5, "US": 1}
