"""Aggregated days of flags when events are erased, found to be bots', renamed or let go: they follow, and hold on."""

from dataclasses import replace
from datetime import UTC, datetime
from itertools import combinations, product

import pytest
from pytest_django import Settings

from analytics import tasks
from analytics.models import FlagUnitDays
from analytics.services import forget_user, reclassify_bots, set_event_policy
from analytics.stores import store
from analytics.stores.postgres.rollups.flag_days import count_one_by_one
from analytics.tests.conftest import ACTOR, exposure
from analytics.tests.test_flag_days import (
    DAY,
    DAYS,
    END,
    ENV,
    FLAG,
    HOUR,
    START,
    _aggregate,
    _assert_same,
    _events,
    _moved,
    _reads_raw,
    _store,
    _tables,
)
from tenancy.models import Environment

pytestmark = pytest.mark.django_db


def _forget(environment: Environment, user_id: str) -> None:
    forget_user(actor=ACTOR, organization=environment.project.organization, user_id=user_id)


def test_forgotten_user__leaves_the_tables_as_if_it_had_never_come(
    environment: Environment, other_environment: Environment
) -> None:
    events = _events(2, environment.pk)
    _store(events)
    assert _aggregate() == DAYS
    for unit in ("user-3", "user-4", "user-5"):
        _forget(environment, unit)
    assert not FlagUnitDays.objects.filter(unit_id__in=["user-3", "user-4", "user-5"]).exists()
    assert not _reads_raw(START, END, environment.pk)
    _assert_same(environment.pk)
    others = [event for event in events if event.unit_id not in {"user-3", "user-4", "user-5"}]
    _store(_moved(others, other_environment.pk))
    _aggregate()
    assert _tables(environment.pk) == _tables(other_environment.pk)


def test_forgotten_user__with_exposures_not_aggregated_yet__leaves_the_day_due(
    environment: Environment,
) -> None:
    _store(_events(2, environment.pk))
    _aggregate()
    _store([exposure(environment.pk, unit, "control", START + 2 * DAY) for unit in ("user-3", "new")])
    _forget(environment, "user-3")
    _assert_same(environment.pk)
    assert _aggregate() == 1
    _assert_same(environment.pk)


def test_bots__found_and_lost_later__move_the_days_with_them(settings: Settings) -> None:
    patterns = settings.BOT_USER_IDS
    events = _events(3)
    _store(events)
    _aggregate()
    for others in (r"^user-\d?[1-4]$", patterns):
        settings.BOT_USER_IDS = others
        store().forget()
        assert sum(reclassify_bots(lambda _done, _total: None)) > 0
        assert not _reads_raw(START, END)
        _assert_same()
        assert _aggregate() == 0
    _store(_moved(events, ENV + 1))
    _aggregate()
    assert _tables(ENV) == _tables(ENV + 1)


def test_pseudonyms__turned_on_between_roll_ups__keep_users_one(environment: Environment) -> None:
    events = sorted(_events(4, environment.pk), key=lambda event: event.occurred_ms)
    _store(events[:350])
    _aggregate()
    set_event_policy(actor=ACTOR, environment=environment, retention_days=None, stores_pseudonyms=True)
    _assert_same(environment.pk)
    _store(events[350:])
    _aggregate()
    _assert_same(environment.pk)
    assert not FlagUnitDays.objects.filter(unit_id__startswith="user-").exists()


def _retire(environment: Environment, days_kept: int) -> None:
    set_event_policy(actor=ACTOR, environment=environment, retention_days=days_kept, stores_pseudonyms=False)
    tasks.apply_retention()


def _days_until(moment: datetime) -> int:
    return (datetime.now(UTC) - moment).days


def test_retention__of_half_the_days__leaves_windows_of_whole_days_as_they_were(
    environment: Environment, other_environment: Environment
) -> None:
    """Beside an environment that keeps its events; users come back on later days, and late, in both."""
    cut = START + 5 * DAY
    both = (environment, other_environment)
    for one in both:
        _store(_events(8, one.pk))
    _retire(other_environment, 365)
    _retire(environment, _days_until(cut))
    assert count_one_by_one(environment.pk, FLAG, START, cut) == {}
    # Of what went only a unit's last day is left, since it is the former day of the next.
    for row in FlagUnitDays.objects.filter(environment_id=environment.pk):
        assert len([day for day in row.days if day < cut.date()]) <= 1
    for one in both:
        for number, variant in product(range(60), ("control", "treatment")):
            _store([exposure(one.pk, f"user-{number}", variant, cut + number % 7 * DAY)])
    _aggregate()
    for first, end in combinations(range(DAYS + 1), 2):
        window = START + first * DAY, START + end * DAY
        assert store().flag_exposures(environment.pk, FLAG, *window) == count_one_by_one(
            other_environment.pk, FLAG, *window
        )


def test_retention__then_late_erased_and_found_to_be_bots__later_days_follow(
    environment: Environment, other_environment: Environment, settings: Settings
) -> None:
    """Beside an environment whose events are all there; windows of the days that went stay as they were."""
    cut = START + 5 * DAY
    hours = combinations(range(5 * 24, DAYS * 24 + 1, 13), 2)
    windows = [(START + first * HOUR, START + end * HOUR) for first, end in hours]
    windows += [(START + first * DAY, START + end * DAY) for first, end in combinations(range(5, DAYS + 1), 2)]
    _store(_events(9, environment.pk))
    _retire(environment, _days_until(cut))
    gone = store().flag_exposures(environment.pk, FLAG, START, cut)
    _store(_moved(_events(9), other_environment.pk))
    for one in (environment, other_environment):
        _store([exposure(one.pk, unit, "control", cut + 2 * DAY) for unit in ("late", "user-1", "user-2")])
        _aggregate()
        _forget(one, "user-3")
        _forget(one, "user-8")
    settings.BOT_USER_IDS = r"^(bot-|user-\d?[1-4]$)"
    store().forget()
    reclassify_bots(lambda _done, _total: None)
    assert _aggregate() == 0
    for window in windows:
        assert store().flag_exposures(environment.pk, FLAG, *window) == store().flag_exposures(
            other_environment.pk, FLAG, *window
        )
    assert store().flag_exposures(environment.pk, FLAG, START, cut) == gone
    assert not _reads_raw(cut + HOUR, END - HOUR, environment.pk)
    _store([exposure(environment.pk, "too-late", "control", START + DAY)])
    assert _aggregate() == 0
    assert not FlagUnitDays.objects.filter(unit_id="too-late").exists()


def test_retention__kept_longer_again__aggregates_nothing_of_what_went(environment: Environment) -> None:
    _store(_events(10, environment.pk))
    _retire(environment, _days_until(START + 5 * DAY))
    found = store().flag_exposures(environment.pk, FLAG, START, END)
    _retire(environment, 365)
    _store([exposure(environment.pk, "too-late", "control", START + DAY)])
    assert _aggregate() == 0
    one_more = replace(found["control"], exposures=found["control"].exposures + 1)
    assert store().flag_exposures(environment.pk, FLAG, START, END) == {**found, "control": one_more}
