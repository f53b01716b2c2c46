"""Windows of full hours from folded hours equal the raw events, also where a former release folded days alone."""

import random

import pytest
from django.db import IntegrityError, connection, transaction
from django.db.models import F
from pytest_django import Settings

from analytics.models import FlagDayFold, FlagDayStep, FlagUnitDays
from analytics.services import forget_user, reclassify_bots
from analytics.stores import store
from analytics.stores.postgres.store.rollups import flag_aggregation
from analytics.tests.conftest import ACTOR, exposure
from analytics.tests.test_flag_days import (
    DAY,
    DAYS,
    END,
    ENV,
    FLAG,
    HOUR,
    START,
    _assert_same,
    _events,
    _fold,
    _moved,
    _reads_raw,
    _store,
    _tables,
    hour_windows,
)
from tenancy.models import Environment

pytestmark = pytest.mark.django_db


def _forget_hours(environment_id: int) -> None:
    """Leave what a release without hours folded, as the migration finds it."""
    FlagUnitDays.objects.filter(environment_id=environment_id).update(hours=[])
    steps = FlagDayStep.objects.filter(environment_id=environment_id)
    steps.filter(day=F("former_day")).delete()
    steps.update(cells=[], cell_units=[])
    FlagDayFold.objects.filter(environment_id=environment_id).update(hour_events=[])


@pytest.mark.parametrize("seed", range(3))
def test_windows_of_full_hours__once_folded__read_no_exposure(seed: int) -> None:
    _store(_events(seed))
    _fold()
    rng = random.Random(seed)
    for window in [window for _ in range(10) for window in hour_windows(rng)]:
        assert not _reads_raw(*window), window
    assert _reads_raw(START + HOUR / 2, END)
    _assert_same(seed=seed + 1)


def test_users__seen_in_every_hour__are_counted_once() -> None:
    """Every pair of hours has its cell, within a day and between two."""
    hours = [START + number * HOUR for number in range(72)]
    _store([exposure(ENV, "always", "control", hour) for hour in hours])
    _store([exposure(ENV, f"at-{number}", "control", hour) for number, hour in enumerate(hours)])
    _fold()
    for first in range(0, 72, 5):
        for end in range(first + 1, 73):
            found = store().flag_exposures(ENV, FLAG, START + first * HOUR, START + end * HOUR)
            assert (found["control"].exposures, found["control"].users) == (2 * (end - first), end - first + 1)


def test_late_exposures__to_any_hour__are_folded_from_there_on() -> None:
    rng = random.Random(4)
    _store(_events(4))
    _fold()
    for turn in range(4):
        _store(
            [
                exposure(
                    *(ENV, f"user-{rng.randrange(40)}", rng.choice(["control", "treatment"])),
                    START + 2 * DAY + rng.randrange(96) * HOUR,
                )
                for _ in range(3)
            ]
        )
        assert _fold() > 0
        _assert_same(seed=turn)
    _store([exposure(ENV, "user-1", "control", START + 2 * DAY)])
    _fold()
    assert not _reads_raw(START + HOUR, END - HOUR)


def test_days_folded_without_hours__are_read_where_a_window_cuts_them_until_they_are_folded_anew(
    environment: Environment, other_environment: Environment, settings: Settings
) -> None:
    """Late exposures, erasure and bots come before, between and after; beside an environment that knew hours always."""
    rng = random.Random(12)
    events = _events(12, environment.pk)
    for one in (environment, other_environment):
        _store(_moved(events, one.pk))
    _fold()
    _forget_hours(environment.pk)
    assert not _reads_raw(START, END, environment.pk)
    assert _reads_raw(START + HOUR, END, environment.pk)
    _assert_same(environment.pk)
    folds = rng.sample(range(DAYS), DAYS)
    for turn, number in enumerate(folds):
        late = [
            exposure(environment.pk, f"user-{rng.randrange(50)}", "control", START + rng.randrange(24 * DAYS) * HOUR)
            for _ in range(2)
        ]
        forgotten = f"user-{rng.randrange(50)}"
        for one in (environment, other_environment):
            _store(_moved(late, one.pk))
            forget_user(actor=ACTOR, organization=one.project.organization, user_id=forgotten)
        if turn == DAYS // 2:
            settings.BOT_USER_IDS = r"^user-\d?[1-3]$"
            store().forget()
            reclassify_bots(lambda _done, _total: None)
        store().fold_flag_days(START + number * DAY, START + (number + 1) * DAY)
        _assert_same(environment.pk, seed=turn)
    _fold()
    assert not _reads_raw(START + HOUR, END - HOUR, environment.pk)
    assert _tables(environment.pk) == _tables(other_environment.pk)


def test_days_folded_without_hours__folded_anew__leave_the_same_tables() -> None:
    for environment_id in (ENV, ENV + 1):
        _store(_moved(_events(5), environment_id))
        _fold()
    _forget_hours(ENV)
    assert _fold() == DAYS
    assert _tables(ENV) == _tables(ENV + 1)


@pytest.mark.parametrize("is_upgrade", [False, True])
def test_big_day__folded_some_hours_at_a_time__is_exact_between_them(
    environment: Environment, other_environment: Environment, monkeypatch: pytest.MonkeyPatch, is_upgrade: bool
) -> None:
    """Stopped after each portion, with late exposures and erasure before the next; beside one that folds at once."""
    rng = random.Random(3)
    for one in (environment, other_environment):
        _store(_events(3, one.pk))
    if is_upgrade:
        _fold()
        _forget_hours(environment.pk)
    monkeypatch.setattr(flag_aggregation, "_MOST_AT_A_TIME", 8)
    fold = flag_aggregation._fold_portion
    monkeypatch.setattr(flag_aggregation, "_fold_portion", lambda *place: (fold(*place)[0], 24))
    for turn in range(4):
        assert store().fold_flag_days(START + 4 * DAY, START + 6 * DAY) >= 2
        late = exposure(
            *(environment.pk, f"user-{rng.randrange(50)}", "control"), START + 4 * DAY + rng.randrange(48) * HOUR
        )
        for one in (environment, other_environment):
            _store(_moved([late], one.pk))
            forget_user(actor=ACTOR, organization=one.project.organization, user_id=f"user-{turn}")
        _assert_same(environment.pk, seed=turn)
    monkeypatch.setattr(flag_aggregation, "_fold_portion", fold)
    _fold()
    assert _fold() == 0
    assert not _reads_raw(START + HOUR, END - HOUR, environment.pk)
    monkeypatch.undo()
    _fold()
    _assert_same(environment.pk)
    assert _tables(environment.pk) == _tables(other_environment.pk)


@pytest.mark.parametrize(
    "statement",
    [
        "INSERT INTO flag_unit_days (environment_id, flag_key, variant, unit_id, days) "
        "VALUES (7, 'flag', 'control', 'user', '{2026-01-01}')",
        "INSERT INTO flag_day_steps (environment_id, flag_key, day, former_day, variant, units) "
        "VALUES (7, 'flag', '2026-01-02', '2026-01-01', 'control', 1)",
        "INSERT INTO flag_day_folds (environment_id, flag_key, day, events) VALUES (7, 'flag', '2026-01-01', 1)",
    ],
)
def test_release_without_hours__writing_after_the_migration__is_refused(statement: str) -> None:
    with pytest.raises(IntegrityError, match="not-null"), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(statement)
