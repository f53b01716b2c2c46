"""Users of past windows are those of the raw events, whatever came before, between and after days are aggregated."""

import random
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest
from django.db import OperationalError, connection, transaction
from django.test.utils import CaptureQueriesContext

from analytics import selectors, tasks
from analytics.event_generator import Generator, Plan, default_start
from analytics.event_records import Batch, ExposureEvent
from analytics.models import FlagDayRollup, FlagDayStep, FlagUnitDays
from analytics.services import set_event_policy, store_events
from analytics.stores import store
from analytics.stores.postgres import write_statements as sql
from analytics.stores.postgres.rollups import flag_aggregation, flag_days
from analytics.stores.postgres.rollups.flag_days import count_one_by_one
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


def _events(seed: int, environment_id: int = ENV) -> list[ExposureEvent]:
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


def _store(events: list[ExposureEvent]) -> None:
    store_events(Batch(exposures=events))


def _aggregate() -> int:
    return store().aggregate_flags(None)


def _windows(rng: random.Random) -> Iterator[tuple[datetime, datetime]]:
    """Of whole days, of full hours, of parts of them, and mixed."""
    for _ in range(10):
        first, end = sorted(rng.sample(range(-1, DAYS + 2), 2))
        yield START + first * DAY, START + end * DAY
        yield from hour_windows(rng)
        since, until = sorted(START + timedelta(milliseconds=rng.randrange(DAYS * 86_400_000)) for _ in range(2))
        yield rng.choice([since, since.replace(hour=0, minute=0, second=0, microsecond=0)]), until


def hour_windows(rng: random.Random) -> Iterator[tuple[datetime, datetime]]:
    """Some hours of a day, a day that is not UTC's, and any."""
    start = START + rng.randrange(24 * DAYS) * HOUR
    yield start, start + rng.randrange(1, 24) * HOUR
    yield start, start + DAY
    first, end = sorted(rng.sample(range(-1, 24 * DAYS + 24), 2))
    yield START + first * HOUR, START + end * HOUR


def _assert_same(environment_id: int = ENV, flag_key: str = FLAG, seed: int = 0) -> None:
    """Compare with the raw events; sketches of so few units are exact."""
    for window in _windows(random.Random(seed)):
        found = store().flag_exposures(environment_id, flag_key, *window)
        assert found == count_one_by_one(environment_id, flag_key, *window), window


def _reads_raw(since: datetime, until: datetime, environment_id: int = ENV) -> bool:
    with CaptureQueriesContext(connection) as queries:
        store().flag_exposures(environment_id, FLAG, since, until)
    return any("FROM exposures" in query["sql"] for query in queries.captured_queries)


def _moved(events: list[ExposureEvent], environment_id: int) -> list[ExposureEvent]:
    return [msgspec.structs.replace(event, environment_id=environment_id) for event in events]


def _tables(environment_id: int) -> list[Any]:
    models = (FlagUnitDays, FlagDayStep, FlagDayRollup)
    found: list[Any] = []
    for model in models:
        names = [field.name for field in model._meta.concrete_fields if field.name not in {"pk", "environment_id"}]
        rows = model.objects.filter(environment_id=environment_id).values_list(*names)
        found.append(sorted(row for row in rows if row[-1] != 0 and 0 not in row))
    return found


@pytest.mark.parametrize("seed", range(3))
def test_windows__aggregated_between_batches_in_any_order__equal_the_raw_events(seed: int) -> None:
    rng = random.Random(seed)
    events = _events(seed)
    rng.shuffle(events)
    while events:
        size = rng.randrange(1, 400)
        _store(events[:size])
        events = events[size:]
        if rng.random() < 0.6:
            store().aggregate_flags(START + rng.randrange(DAYS) * DAY)
            _assert_same(seed=seed)
    assert _aggregate() > 0
    _assert_same(seed=seed)
    assert not _reads_raw(START, END)
    assert _aggregate() == 0


def test_days__aggregated_in_any_order__leave_the_same_tables() -> None:
    for environment_id in (ENV, ENV + 1):
        _store(_moved(_events(5), environment_id))
        for number in reversed(range(DAYS)) if environment_id == ENV else [0]:
            store().aggregate_flags(START + number * DAY)
    assert _tables(ENV) == _tables(ENV + 1)
    assert len(_tables(ENV)[2]) == DAYS


def test_late_exposure__makes_its_day_be_read_until_it_is_aggregated_again() -> None:
    _store(_events(1))
    assert _aggregate() == DAYS
    late = [exposure(ENV, unit, "control", START + 3 * DAY + HOUR) for unit in ("late", "user-1", "bot-1")]
    _store(late)
    assert _reads_raw(START, END)
    assert not _reads_raw(START, START + 3 * DAY)
    assert not _reads_raw(START + DAY, START + 3 * DAY + HOUR)
    _assert_same()
    assert _aggregate() == 1
    assert not _reads_raw(START, END)
    _assert_same()


def test_exposure__that_comes_between_question_and_answer__is_asked_about_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    _store(_events(1))
    _aggregate()
    late = [exposure(ENV, "late", "control", START + 3 * DAY)]
    answer = flag_days._answer

    def slow(*arguments: Any) -> Any:
        _store(late)
        return answer(*arguments)

    monkeypatch.setattr(flag_days, "_answer", slow)
    found = store().flag_exposures(ENV, FLAG, START, END)
    assert found == count_one_by_one(ENV, FLAG, START, END)


def test_today_and_the_window_up_to_now__are_as_without_roll_ups() -> None:
    now = datetime.now(UTC)
    _store([exposure(ENV, unit, "control", now - hours * HOUR) for unit, hours in (("a", 0), ("a", 30), ("b", 30))])
    before = selectors.flag_exposures(ENV, FLAG, now - 3 * DAY, None)
    assert tasks.aggregate_flags() == 1
    assert selectors.flag_exposures(ENV, FLAG, now - 3 * DAY, None) == before
    until = now - timedelta(minutes=1)
    assert store().flag_exposures(ENV, FLAG, now - 3 * DAY, until) == count_one_by_one(ENV, FLAG, now - 3 * DAY, until)


def test_flags_and_environments__of_one_day__are_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flag_aggregation, "_MOST_AT_ONCE", 150)
    for number, (environment_id, flag_key) in enumerate([(ENV, FLAG), (ENV, "other"), (ENV, "third"), (ENV + 1, FLAG)]):
        _store([msgspec.structs.replace(event, flag_key=flag_key) for event in _events(number, environment_id)])
    assert _aggregate() == 4 * DAYS
    for place in [(ENV, FLAG), (ENV, "other"), (ENV, "third"), (ENV + 1, FLAG), (ENV + 1, "other")]:
        _assert_same(*place)


@pytest.mark.usefixtures("any_store")
def test_past_windows__on_either_store__count_who_was_seen_in_them() -> None:
    events = _events(6)
    _store(events)
    tasks.apply_retention()
    shown = [event for event in events if not event.unit_id.startswith("bot-")]
    for since, until in _windows(random.Random(6)):
        first, end = (round(moment.timestamp() * 1000) for moment in (since, until))
        seen = [event for event in shown if first <= event.occurred_ms < end]
        found = store().flag_exposures(ENV, FLAG, since, until)
        assert {key: (row.exposures, row.users) for key, row in found.items()} == {
            key: (
                sum(event.variant == key for event in seen),
                len({event.unit_id for event in seen if event.variant == key}),
            )
            for key in sorted({event.variant for event in seen})
        }


@pytest.mark.django_db(transaction=True)
def test_aggregations__at_once__count_each_user_once() -> None:
    _store(_events(11))
    ready = threading.Barrier(3)
    aggregated: list[int] = []

    def aggregate() -> None:
        ready.wait()
        aggregated.append(_aggregate())
        connection.close()

    threads = [threading.Thread(target=aggregate) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(aggregated) == DAYS
    _assert_same()


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("holding", [sql.HOLD_DERIVED, "SELECT FROM event_policies FOR UPDATE"])
def test_aggregation__while_events_are_rewritten_or_let_go__waits(environment: Environment, holding: str) -> None:
    set_event_policy(actor=ACTOR, environment=environment, retention_days=None, stores_pseudonyms=False)
    _store([exposure(environment.pk, "alice", "control", START)])
    refused: list[OperationalError] = []

    def aggregate() -> None:
        with connection.cursor() as cursor:
            cursor.execute("SET lock_timeout = '100ms'")
        try:
            _aggregate()
        except OperationalError as error:
            refused.append(error)
        connection.close()

    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(holding)
        thread = threading.Thread(target=aggregate)
        thread.start()
        thread.join()
    assert "lock timeout" in str(refused[0])
    assert _aggregate() == 1
