"""Users of windows that are not of whole days come from sketches of hours; these follow late and erased events."""

import random
from datetime import UTC, datetime, timedelta

import pytest
from django.db import connection
from pytest_django import Settings

from analytics import selectors, tasks
from analytics.event_records import Batch
from analytics.models import FlagHourSketch
from analytics.services import forget_user, reclassify_bots, set_event_policy, store_events
from analytics.stores import store
from analytics.stores.postgres.rollups import flag_sketches
from analytics.stores.postgres.rollups.flag_days import count_one_by_one
from analytics.stores.protocols import EventStore
from analytics.stores.sketches import RELATIVE_ERROR, UnitSketch
from analytics.testing import STORES, UseStore
from analytics.tests.conftest import ACTOR, exposure
from analytics.tests.test_flag_days import (
    DAY,
    END,
    ENV,
    FLAG,
    HOUR,
    START,
    _aggregate,
    _assert_same,
    _events,
    _reads_raw,
    _store,
    hour_windows,
)
from tenancy.models import Environment

pytestmark = pytest.mark.django_db
LATER = START + 5 * HOUR


def _crowd(size: int, at: int, first: int = 0) -> None:
    seen = START + at * HOUR
    _store([exposure(ENV, f"user-{number}", "control", seen) for number in range(first, first + size)])


def _forget(environment: Environment, user_id: str) -> None:
    forget_user(actor=ACTOR, organization=environment.project.organization, user_id=user_id)


def test_sketches__merged__count_a_unit_once() -> None:
    first, second = UnitSketch(), UnitSketch()
    first.add(f"user-{number}" for number in range(200))
    second.add(f"user-{number}" for number in range(100, 300))
    assert UnitSketch(first.packed(), second.packed(), b"").users == 300
    assert UnitSketch(first.packed()).users == 200
    assert UnitSketch().users == 0


@pytest.mark.parametrize("seed", range(2))
def test_sketches__of_many_units__are_off_by_their_error(seed: int) -> None:
    rng = random.Random(seed)
    off = []
    for turn in range(30):
        hours, units = [], set[int]()
        for _ in range(6):
            seen = rng.sample(range(20_000), 5_000)
            units |= set(seen)
            hours.append(UnitSketch())
            hours[-1].add(f"{seed}-{turn}-{number}" for number in seen)
        off.append(UnitSketch(*(hour.packed() for hour in hours)).users / len(units) - 1)
    assert (sum(one * one for one in off) / len(off)) ** 0.5 < 1.5 * RELATIVE_ERROR
    assert max(map(abs, off)) < 4 * RELATIVE_ERROR


@pytest.mark.parametrize("seed", range(3))
def test_windows_of_full_hours__read_no_exposure(seed: int) -> None:
    _store(_events(seed))
    _crowd(1, 0)
    rng = random.Random(seed)
    for since, until in [window for _ in range(10) for window in hour_windows(rng)]:
        if (until - since) % DAY or since.hour:
            assert not _reads_raw(since, until), (since, until)
    assert _reads_raw(START + HOUR / 2, END)
    _assert_same(seed=seed + 1)


def test_flag_exposures__name_the_error_of_estimates_alone(any_store: EventStore) -> None:
    _crowd(3, 5)
    for window, is_estimate in (
        ((START, START + DAY), False),
        ((LATER + HOUR / 4, LATER + HOUR / 2), False),
        ((START, LATER + HOUR), True),
        ((START, None), True),
    ):
        found = any_store.flag_exposures(ENV, FLAG, *window)
        assert {row.relative_error for row in found.values()} <= {RELATIVE_ERROR if is_estimate else None}
    (exact,) = any_store.exact_flag_exposures(ENV, FLAG, START, LATER + HOUR).values()
    assert (exact.exposures, exact.users, exact.relative_error) == (3, 3, None)


def test_both_stores__of_many_users__estimate_within_the_error(use_store: UseStore) -> None:
    for kind in STORES:
        use_store(kind)
        _crowd(6000, 5)
        _crowd(6000, 6, first=3000)
        (found,) = selectors.flag_exposures(ENV, FLAG, START + HOUR, START + 9 * HOUR).values()
        assert found.exposures == 12_000
        assert abs(found.users / 9000 - 1) < 4 * RELATIVE_ERROR


def test_late_exposures__to_any_hour__are_counted_at_once() -> None:
    rng = random.Random(4)
    _store(_events(4))
    for turn in range(3):
        units = [f"user-{rng.randrange(40)}" for _ in range(3)]
        _store([exposure(ENV, unit, "control", START + rng.randrange(96) * HOUR) for unit in units])
        _assert_same(seed=turn)
    assert not _reads_raw(START + HOUR, END - HOUR)


def test_unit__that_an_ingest_of_the_former_release_stored__is_read_until_its_hour_is_renewed() -> None:
    _crowd(3, 5)
    _crowd(1, 6, first=9)
    with connection.cursor() as cursor:
        cursor.execute("UPDATE flag_hour_sketches SET events = 2, sketch = ''")
    _crowd(1, 5, first=7)
    assert _reads_raw(START, START + 9 * HOUR)
    _assert_same()
    _aggregate()
    assert not _reads_raw(START, START + 9 * HOUR)
    _assert_same()


def test_forgotten_user__is_in_no_sketch(environment: Environment) -> None:
    env = environment.pk
    _store(_events(2, env))
    sketches = FlagHourSketch.objects.filter(environment_id=env).values_list("hour", "variant")
    before = set(sketches)
    _forget(environment, "user-3")
    gone = before - set(sketches.all())
    hour, variant = min(gone)
    _store([exposure(env, "user-4", variant, hour)])
    assert _reads_raw(START, END - HOUR, env)
    _assert_same(env)
    _aggregate()
    assert not _reads_raw(START, END - HOUR, env)
    _assert_same(env)


def test_bots__found_later__leave_the_sketches(settings: Settings) -> None:
    _store(_events(3))
    settings.BOT_USER_IDS = r"^user-\d?[1-4]$"
    store().forget()
    assert sum(reclassify_bots(lambda _done, _total: None)) > 0
    _assert_same()
    _aggregate()
    assert not _reads_raw(START, END - HOUR)
    _assert_same()


def test_pseudonyms__turned_on_later__are_no_second_units(environment: Environment) -> None:
    env = environment.pk
    _store([exposure(env, "alice", "control", LATER)])
    set_event_policy(actor=ACTOR, environment=environment, retention_days=None, stores_pseudonyms=True)
    _store([exposure(env, "alice", "control", LATER + HOUR)])
    assert store().flag_exposures(env, FLAG, START, END - HOUR)["control"].users == 1


def test_retention__leaves_a_sketch_a_day_that_erasure_cannot_change(
    environment: Environment, settings: Settings
) -> None:
    env, cut = environment.pk, START + 3 * DAY
    _store(_events(8, env))
    before = store().flag_exposures(env, FLAG, START, END - HOUR)
    settings.RAW_EVENT_RETENTION_DAYS = (datetime.now(UTC) - cut).days
    tasks.apply_retention()
    old = FlagHourSketch.objects.filter(environment_id=env, hour__lt=cut)
    assert old.exists()
    assert not old.exclude(hour__hour=0).exists()
    assert store().flag_exposures(env, FLAG, START, END - HOUR) == before
    _forget(environment, "user-3")
    assert store().flag_exposures(env, FLAG, START, None).keys() == before.keys()


def test_window__with_too_many_raw_rows__is_counted_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    _store(_events(5))
    window = START + HOUR / 2, END - HOUR
    monkeypatch.setattr(flag_sketches, "_MOST_ROWS", 0)
    found = store().flag_exposures(ENV, FLAG, *window)
    assert found == count_one_by_one(ENV, FLAG, *window)
    assert {row.relative_error for row in found.values()} == {None}


def test_same_batch__stored_again__adds_nothing() -> None:
    batch = Batch([exposure(ENV, unit, "control", LATER + timedelta(minutes=5)) for unit in ("a", "b")])
    for _ in range(2):
        store_events(batch)
        store().forget()
    (row,) = FlagHourSketch.objects.all()
    assert (row.hour, row.events, UnitSketch(row.sketch).users) == (LATER, 2, 2)
