"""Users of past windows from folded days are those of the raw events, whatever came before, between and after folds."""

import random
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from pytest_django import Settings

from analytics import selectors, tasks
from analytics.events import Batch, Exposure
from analytics.generator import Generator, Plan, default_start
from analytics.models import FlagDayFold, FlagDayStep, FlagUnitDays
from analytics.services import forget_user, reclassify_bots, set_event_policy, store_events
from analytics.stores import postgres_flag_days, store
from analytics.stores.postgres_reads import PostgresReads
from analytics.tests.conftest import ACTOR, exposure
from tenancy.models import Environment

ENV = 7
FLAG = "new-checkout"
DAYS = 12
START = default_start(DAYS)
END = START + DAYS * timedelta(days=1)
DAY = timedelta(days=1)
HOUR = timedelta(hours=1)

pytestmark = pytest.mark.django_db


def _events(seed: int, environment_id: int = ENV) -> list[Exposure]:
    """In the order of their arrival: few visits of many users, so that all gaps between their days are common."""
    plan = Plan(
        *(environment_id, 150, 700, seed, START),
        days=DAYS,
        crossover_share=0.2,
        bot_share=0.05,
        conversion_rates=(("control", 0.0), ("treatment", 0.0)),
    )
    # An id that comes again changes nothing, which other tests are about.
    found = {event.evaluation_id: event for batch in Generator(plan).batches() for event in batch.exposures}
    return list(found.values())


def _store(events: list[Exposure]) -> None:
    store_events(Batch(exposures=events))


def _fold() -> int:
    return store().fold_flag_days(None)


def _windows(rng: random.Random) -> Iterator[tuple[datetime, datetime]]:
    """Every window of whole days, and some that end anywhere."""
    for first in range(-1, DAYS + 1):
        for end in range(first + 1, DAYS + 2):
            yield START + first * DAY, START + end * DAY
    for _ in range(25):
        since, until = sorted(START + timedelta(milliseconds=rng.randrange(DAYS * 86_400_000)) for _ in range(2))
        yield since, until
        yield since.replace(hour=0, minute=0, second=0, microsecond=0), until


def _assert_same(environment_id: int = ENV, flag_key: str = FLAG, seed: int = 0) -> None:
    """Beside the reads that know of raw events alone."""
    reads = PostgresReads()
    for window in _windows(random.Random(seed)):
        assert store().flag_exposures(environment_id, flag_key, *window) == reads.flag_exposures(
            environment_id, flag_key, *window
        ), window


def _reads_raw(since: datetime, until: datetime, environment_id: int = ENV) -> bool:
    with CaptureQueriesContext(connection) as queries:
        store().flag_exposures(environment_id, FLAG, since, until)
    return any("FROM exposures" in query["sql"] for query in queries.captured_queries)


def _forget(environment: Environment, user_id: str) -> None:
    forget_user(actor=ACTOR, organization=environment.project.organization, user_id=user_id)


def _moved(events: list[Exposure], environment_id: int) -> list[Exposure]:
    return [msgspec.structs.replace(event, environment_id=environment_id) for event in events]


def _tables(environment_id: int) -> list[Any]:
    models = (FlagUnitDays, FlagDayStep, FlagDayFold)
    found: list[Any] = []
    for model in models:
        names = [field.name for field in model._meta.concrete_fields if field.name not in {"pk", "environment_id"}]
        rows = model.objects.filter(environment_id=environment_id).values_list(*names)
        found.append(sorted(row for row in rows if row[-1] != 0 and 0 not in row))
    return found


@pytest.mark.parametrize("seed", range(3))
def test_windows__folded_between_batches_in_any_order__equal_the_raw_events(seed: int) -> None:
    rng = random.Random(seed)
    events = _events(seed)
    rng.shuffle(events)
    while events:
        size = rng.randrange(1, 400)
        _store(events[:size])
        events = events[size:]
        if rng.random() < 0.6:
            store().fold_flag_days(START + rng.randrange(DAYS) * DAY)
            _assert_same(seed=seed)
    assert _fold() > 0
    _assert_same(seed=seed)
    assert not _reads_raw(START, END)
    assert _fold() == 0


def test_days__folded_in_any_order__leave_the_same_tables() -> None:
    for environment_id in (ENV, ENV + 1):
        _store(_moved(_events(5), environment_id))
        for number in reversed(range(DAYS)) if environment_id == ENV else [0]:
            store().fold_flag_days(START + number * DAY)
    assert _tables(ENV) == _tables(ENV + 1)
    assert len(_tables(ENV)[2]) == DAYS


def test_late_exposure__makes_its_day_be_read_until_it_is_folded_again() -> None:
    _store(_events(1))
    assert _fold() == DAYS
    late = [exposure(ENV, unit, "control", START + 3 * DAY + HOUR) for unit in ("late", "user-1", "bot-1")]
    _store(late)
    assert _reads_raw(START, END)
    assert not _reads_raw(START + 4 * DAY, END)
    _assert_same()
    assert _fold() == 1
    assert not _reads_raw(START, END)
    _assert_same()


def test_exposure__that_comes_between_question_and_answer__is_asked_about_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    _store(_events(1))
    _fold()
    late = [exposure(ENV, "late", "control", START + 3 * DAY)]
    answer = postgres_flag_days._answer

    def slow(*arguments: Any) -> Any:
        _store(late)
        return answer(*arguments)

    monkeypatch.setattr(postgres_flag_days, "_answer", slow)
    found = store().flag_exposures(ENV, FLAG, START, END)
    assert found == PostgresReads().flag_exposures(ENV, FLAG, START, END)


def test_today_and_the_window_up_to_now__are_as_without_folds() -> None:
    now = datetime.now(UTC)
    _store([exposure(ENV, unit, "control", now - hours * HOUR) for unit, hours in (("a", 0), ("a", 30), ("b", 30))])
    before = selectors.flag_exposures(ENV, FLAG, now - 3 * DAY, None)
    assert tasks.fold_flag_days() == 1
    assert selectors.flag_exposures(ENV, FLAG, now - 3 * DAY, None) == before
    until = now - timedelta(minutes=1)
    assert store().flag_exposures(ENV, FLAG, now - 3 * DAY, until) == PostgresReads().flag_exposures(
        ENV, FLAG, now - 3 * DAY, until
    )


def test_flags_and_environments__of_one_day__are_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(postgres_flag_days, "_MOST_AT_ONCE", 150)
    for number, (environment_id, flag_key) in enumerate([(ENV, FLAG), (ENV, "other"), (ENV, "third"), (ENV + 1, FLAG)]):
        _store([msgspec.structs.replace(event, flag_key=flag_key) for event in _events(number, environment_id)])
    assert _fold() == 4 * DAYS
    for place in [(ENV, FLAG), (ENV, "other"), (ENV, "third"), (ENV + 1, FLAG), (ENV + 1, "other")]:
        _assert_same(*place)


def test_forgotten_user__leaves_the_tables_as_if_it_had_never_come(
    environment: Environment, other_environment: Environment
) -> None:
    events = _events(2, environment.pk)
    _store(events)
    assert _fold() == DAYS
    for unit in ("user-3", "user-4", "user-5"):
        _forget(environment, unit)
    assert not FlagUnitDays.objects.filter(unit_id__in=["user-3", "user-4", "user-5"]).exists()
    assert not _reads_raw(START, END, environment.pk)
    _assert_same(environment.pk)
    others = [event for event in events if event.unit_id not in {"user-3", "user-4", "user-5"}]
    _store(_moved(others, other_environment.pk))
    _fold()
    assert _tables(environment.pk) == _tables(other_environment.pk)


def test_forgotten_user__with_exposures_not_folded_yet__leaves_the_day_to_be_folded(environment: Environment) -> None:
    _store(_events(2, environment.pk))
    _fold()
    _store([exposure(environment.pk, unit, "control", START + 2 * DAY) for unit in ("user-3", "new")])
    _forget(environment, "user-3")
    _assert_same(environment.pk)
    assert _fold() == 1
    _assert_same(environment.pk)


def test_bots__found_and_lost_later__move_the_days_with_them(settings: Settings) -> None:
    patterns = settings.BOT_USER_IDS
    events = _events(3)
    _store(events)
    _fold()
    for others in (r"^user-\d?[1-4]$", patterns):
        settings.BOT_USER_IDS = others
        store().forget()
        assert sum(reclassify_bots(lambda _done, _total: None)) > 0
        assert not _reads_raw(START, END)
        _assert_same()
        assert _fold() == 0
    _store(_moved(events, ENV + 1))
    _fold()
    assert _tables(ENV) == _tables(ENV + 1)


def test_pseudonyms__turned_on_between_folds__keep_users_one(environment: Environment) -> None:
    events = sorted(_events(4, environment.pk), key=lambda event: event.occurred_ms)
    _store(events[:350])
    _fold()
    set_event_policy(actor=ACTOR, environment=environment, retention_days=None, stores_pseudonyms=True)
    _assert_same(environment.pk)
    _store(events[350:])
    _fold()
    _assert_same(environment.pk)
    assert not FlagUnitDays.objects.filter(unit_id__startswith="user-").exists()


@pytest.mark.usefixtures("any_store")
def test_past_windows__on_either_store__count_who_was_seen_in_them() -> None:
    events = _events(6)
    _store(events)
    tasks.apply_retention()
    shown = [event for event in events if not event.unit_id.startswith("bot-")]
    for since, until in _windows(random.Random(6)):
        first, end = (round(moment.timestamp() * 1000) for moment in (since, until))
        seen = [event for event in shown if first <= event.occurred_ms < end]
        found = selectors.flag_exposures_between(ENV, FLAG, since, until)
        assert {key: (row.exposures, row.users) for key, row in found.items()} == {
            key: (
                sum(event.variant == key for event in seen),
                len({event.unit_id for event in seen if event.variant == key}),
            )
            for key in sorted({event.variant for event in seen})
        }


def _retire(environment: Environment, days_kept: int) -> None:
    set_event_policy(actor=ACTOR, environment=environment, retention_days=days_kept, stores_pseudonyms=False)
    tasks.apply_retention()


def _days_until(moment: datetime) -> int:
    return (datetime.now(UTC) - moment).days


def test_retention__of_half_the_days__leaves_whole_windows_as_they_were(environment: Environment) -> None:
    events = _events(8, environment.pk)
    _store(events)
    windows = [window for window in _windows(random.Random(8)) if all(moment.hour == 0 for moment in window)]
    before = [store().flag_exposures(environment.pk, FLAG, *window) for window in windows]
    cut = START + 5 * DAY
    _retire(environment, _days_until(cut))
    assert PostgresReads().flag_exposures(environment.pk, FLAG, START, cut) == {}
    assert [store().flag_exposures(environment.pk, FLAG, *window) for window in windows] == before
    # Of what went only a unit's last day is left, since it is the former day of the next.
    for row in FlagUnitDays.objects.all():
        assert len([day for day in row.days if day < cut.date()]) <= 1


def test_retention__then_late_erased_and_found_to_be_bots__later_days_follow(
    environment: Environment, other_environment: Environment, settings: Settings
) -> None:
    """Beside an environment whose events are all there, less what happened to the days that went."""
    cut = START + 5 * DAY
    young = [(START + first * DAY, START + end * DAY) for first in range(5, DAYS) for end in range(first + 1, DAYS + 1)]
    _store(_events(9, environment.pk))
    _retire(environment, _days_until(cut))
    _store(_moved(_events(9), other_environment.pk))
    for one in (environment, other_environment):
        _store([exposure(one.pk, unit, "control", cut + 2 * DAY) for unit in ("late", "user-1", "user-2")])
        _fold()
        _forget(one, "user-3")
        _forget(one, "user-8")
    settings.BOT_USER_IDS = r"^(bot-|user-\d?[1-4]$)"
    store().forget()
    reclassify_bots(lambda _done, _total: None)
    assert _fold() == 0
    for window in young:
        assert store().flag_exposures(environment.pk, FLAG, *window) == store().flag_exposures(
            other_environment.pk, FLAG, *window
        )
    _store([exposure(environment.pk, "too-late", "control", START + DAY)])
    assert _fold() == 0
    assert not FlagUnitDays.objects.filter(unit_id="too-late").exists()


def test_retention__kept_longer_again__folds_nothing_of_what_went(environment: Environment) -> None:
    _store(_events(10, environment.pk))
    _retire(environment, _days_until(START + 5 * DAY))
    found = store().flag_exposures(environment.pk, FLAG, START, END)
    _retire(environment, 365)
    _store([exposure(environment.pk, "user-1", "control", START + DAY)])
    assert _fold() == 0
    assert {key: row.users for key, row in store().flag_exposures(environment.pk, FLAG, START, END).items()} == {
        key: row.users for key, row in found.items()
    }


@pytest.mark.django_db(transaction=True)
def test_folders__at_once__count_each_user_once() -> None:
    _store(_events(11))
    ready = threading.Barrier(3)
    folded: list[int] = []

    def fold() -> None:
        ready.wait()
        folded.append(_fold())
        connection.close()

    threads = [threading.Thread(target=fold) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(folded) == DAYS
    _assert_same()
