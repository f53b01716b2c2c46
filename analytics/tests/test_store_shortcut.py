"""Events copied straight into their table: rows and counts as by staging, and once, whoever else stores them."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any
from uuid import UUID, uuid4, uuid5

import msgspec
import pytest
from django.db import IntegrityError, connection, transaction
from django.test.utils import CaptureQueriesContext
from openflagship.ids import uuid7

from analytics.event_records import Batch, ConversionEvent, ExposureEvent
from analytics.models import CohortSize, ConversionDay, DeadLetter, FirstExposure, FlagExposureHour, FlagHourSketch
from analytics.models import Conversion as ConversionRow
from analytics.models import Exposure as ExposureRow
from analytics.services import store_events
from analytics.stores import store
from analytics.stores.postgres.partitions import PARTITIONS
from analytics.stores.sketches import UnitSketch
from analytics.tests.conftest import NOON, conversion, exposure, milliseconds
from analytics.tests.test_ingest import _until

COPIED, STAGED = 7, 8
HOUR = timedelta(hours=1)
TEXTS = ["", "plain", "a\tb\nc\\N", "naïve ☂ 🜁", "'\"%s{}", "\x01\x7f", "x" * 5000]


def _is_staged(batch: Batch, *tables: str) -> bool:
    with CaptureQueriesContext(connection) as queries:
        store().write(batch)
    wanted = tables or ("staged_exposures", "staged_conversions")
    return any(table in query["sql"] for query in queries.captured_queries for table in wanted)


def _exposures(environment_id: int, ids: list[UUID]) -> list[ExposureEvent]:
    rng = Random(3)
    before_1970 = datetime(1969, 12, 31, 23, 59, 59, 999_000, UTC)
    return [
        exposure(
            environment_id,
            rng.choice(["bot-1", *(f"user-{number}-{rng.choice(TEXTS)}" for number in range(9))]),
            rng.choice("ab"),
            rng.choice([NOON + number * HOUR, NOON + timedelta(milliseconds=number), before_1970]),
            evaluation_id=event_id,
            reason=rng.choice(["SPLIT", "RULE"]),
            rule_id=rng.choice([None, *TEXTS]),
            experiment=rng.choice([None, "checkout-test", "other"]),
            config_version=rng.choice([0, 1, 2**63 - 1]),
            source=rng.choice(TEXTS),
            user_agent=rng.choice([None, "Googlebot/2.1", *TEXTS]),
            attributes=rng.choice([None, "{}", '{"plan": "pro", "é": ["☂", 1.5, null, "\\"\\\\u00e9"]}', " [1, 2] "]),
        )
        for number, event_id in enumerate(ids)
    ]


def _conversions(environment_id: int, ids: list[UUID]) -> list[ConversionEvent]:
    rng = Random(4)
    return [
        conversion(
            environment_id,
            rng.choice(["bot-1", "user-1", *TEXTS]),
            NOON + number * HOUR,
            event_id=event_id,
            event_name=rng.choice(["purchase", "naïve ☂"]),
            value=rng.choice([None, 0.0, -0.1, 9e12, 1e-300]),
            properties=rng.choice([None, '{"items": 2, "ü": "\\u2602"}']),
        )
        for number, event_id in enumerate(ids)
    ]


def _kept(environment_id: int) -> list[list[tuple[Any, ...]]]:
    models = (ExposureRow, ConversionRow, FlagExposureHour, ConversionDay, FirstExposure, FlagHourSketch)
    rows = []
    for model in models:
        names = [field.name for field in model._meta.fields if field.name not in ("pk", "environment_id")]
        found = model._default_manager.filter(environment_id=environment_id).values_list(*names)
        # The same units may be listed in another order.
        plain = [
            tuple(UnitSketch(one).users if isinstance(one, bytes | memoryview) else one for one in row) for row in found
        ]
        rows.append(sorted(plain, key=repr))
    return rows


@pytest.mark.django_db
@pytest.mark.parametrize("make_id", [lambda: uuid7(milliseconds(NOON)), uuid4], ids=["version 7", "version 4"])
def test_batch_of_new_events__copied__leaves_what_staging_leaves(make_id: Any) -> None:
    ids = [make_id() for _ in range(400)]
    copied = Batch(_exposures(COPIED, ids[:300]), _conversions(COPIED, ids[300:]))
    staged = Batch(_exposures(STAGED, ids[:300]), _conversions(STAGED, ids[300:]))
    # What comes twice in one batch cannot go straight.
    twice = Batch([*staged.exposures, staged.exposures[0]], [*staged.conversions, staged.conversions[0]])
    assert not _is_staged(copied)
    assert _is_staged(twice)
    assert _kept(COPIED) == _kept(STAGED)
    assert len(_kept(COPIED)[0]) == 300


@pytest.mark.django_db
@pytest.mark.parametrize("kind", ["exposures", "conversions"])
def test_batch_of_which_some_are_stored__stores_the_rest(kind: str) -> None:
    ids = [uuid7(milliseconds(NOON)) for _ in range(60)]
    rest = {"exposures": "conversions", "conversions": "exposures"}[kind]
    every = Batch(_exposures(COPIED, ids), _conversions(COPIED, ids))
    first, again = (Batch(**{kind: getattr(every, kind)[part], rest: []}) for part in (slice(20, 40), slice(0, 60)))
    assert getattr(store().write(first), kind) == 20
    assert getattr(store().write(again), kind) == 40
    assert getattr(store().write(again), kind) == 0
    store().write(Batch(_exposures(STAGED, ids), _conversions(STAGED, ids)))
    of = {"exposures": (0, 2, 4, 5), "conversions": (1, 3)}[kind]
    assert [_kept(COPIED)[place] for place in of] == [_kept(STAGED)[place] for place in of]


def _sizes(environment_id: int) -> list[tuple[Any, ...]]:
    rows = CohortSize.objects.filter(environment_id=environment_id, units__gt=0)
    return sorted(rows.values_list("experiment", "phase", "day", "variant", "units"))


@pytest.mark.django_db
def test_units__all_new_or_some_stored__come_to_the_same() -> None:
    ids = [uuid7(milliseconds(NOON)) for _ in range(300)]
    assert not _is_staged(Batch(_exposures(COPIED, ids)), "staged_units")

    every = _exposures(STAGED, ids)
    experimental = next(event for event in every if event.experiment)
    store().write(Batch([experimental]))
    # By another process, so far as this one knows.
    store().forget()
    assert _is_staged(Batch(every), "staged_units")

    assert _kept(COPIED) == _kept(STAGED)
    assert _sizes(COPIED) == _sizes(STAGED) != []
    # A unit known here is not tried as a new one: its row would be refused after those before it.
    seen_earlier = msgspec.structs.replace(experimental, occurred_ms=0, evaluation_id=uuid7(milliseconds(NOON)))
    with CaptureQueriesContext(connection) as queries:
        store().write(Batch([seen_earlier]))
    assert not any("ROLLBACK TO" in query["sql"] for query in queries.captured_queries)


@pytest.mark.django_db
def test_stored_events__that_keep_coming__put_the_next_try_off() -> None:
    known = exposure(COPIED, "alice", "a")
    assert not _is_staged(Batch([known]))
    # n: a batch of a new event, k: of the known one; a capital letter: it went by staging.
    found = ""
    for kind in "nknnkkknnnnn":
        event = known if kind == "k" else exposure(COPIED, "bob", "a")
        found += kind.upper() if _is_staged(Batch([event])) else kind
    assert found == "nKNnKKKNNNnn"


@pytest.mark.django_db
def test_partitions__of_ids_whose_order_is_not_theirs__are_left_to_staging() -> None:
    in_a_week, far_off = uuid7(milliseconds(NOON)), UUID("00000000-0000-7000-8000-000000000000")
    later = uuid7(milliseconds(NOON + timedelta(days=7)))
    assert not _is_staged(Batch([exposure(COPIED, "alice", "a", evaluation_id=key) for key in (later, in_a_week)]))
    for ids in ([uuid7(milliseconds(NOON)), uuid4()], [far_off]):
        assert _is_staged(Batch([exposure(COPIED, "alice", "a", evaluation_id=key) for key in ids]))
    assert ExposureRow.objects.count() == 5


@pytest.mark.django_db
def test_violation__that_is_no_repeated_id__is_raised_at_once() -> None:
    with (
        CaptureQueriesContext(connection) as queries,
        pytest.raises(IntegrityError, match="conversions_value_is_summable"),
    ):
        store().write(Batch(conversions=[conversion(COPIED, "alice", NOON, value=float("nan"))]))
    assert not any("staged_conversions" in query["sql"] for query in queries.captured_queries)


@pytest.mark.django_db
@pytest.mark.parametrize(
    "poison",
    [
        {"unit_id": "a\x00b"},
        {"flag_key": "\x00"},
        {"attributes": '{"broken'},
        {"attributes": '"\\u0000"'},
        {"occurred_ms": 2**62},
        {"occurred_ms": 300_000 * 365 * 86_400_000},
        {"received_ms": -(2**62)},
        {"config_version": 2**63},
    ],
    ids=str,
)
def test_poison__among_new_events__is_set_aside_alone(poison: dict[str, Any]) -> None:
    events = [exposure(COPIED, f"user-{number}", "a") for number in range(9)]
    events[5] = msgspec.structs.replace(events[5], **poison)
    assert store_events(Batch(events)).exposures == 8
    assert ExposureRow.objects.count() == 8
    assert DeadLetter.objects.get().environment_id == COPIED


@contextmanager
def _uncommitted(pool: ThreadPoolExecutor, batch: Batch, *, commits: bool) -> Iterator[threading.Event]:
    """Another thread has stored the batch, and commits (or not) once the event is set."""
    stored, released = threading.Event(), threading.Event()

    def hold() -> None:
        try:
            with transaction.atomic():
                store().write(batch)
                stored.set()
                assert released.wait(timeout=90)
                transaction.set_rollback(not commits)
        finally:
            stored.set()
            connection.close()

    holding = pool.submit(hold)
    assert stored.wait(timeout=90)
    try:
        yield released
    finally:
        released.set()
        holding.result(timeout=90)


def _somebody_waits() -> bool:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*) FROM pg_locks JOIN pg_stat_activity USING (pid) "
            "WHERE NOT granted AND locktype = 'transactionid' AND datname = current_database()"
        )
        return bool(cursor.fetchone()[0])


def _write(batch: Batch) -> int:
    try:
        return store().write(batch).exposures
    finally:
        connection.close()


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("staged", ["neither", "first", "second"])
@pytest.mark.parametrize("commits", [True, False], ids=["commits", "rolls back"])
def test_two_writers__of_the_same_events_at_once__store_each_once(commits: bool, staged: str) -> None:
    events = _exposures(COPIED, [uuid7(milliseconds(NOON)) for _ in range(90)])
    first, second = events[:60], events[30:]
    first += first[:1] if staged == "first" else []
    second += second[:1] if staged == "second" else []
    PARTITIONS.ensure_for("exposures", [event.evaluation_id for event in events])
    with ThreadPoolExecutor(2) as pool:
        with _uncommitted(pool, Batch(first), commits=commits) as released:
            waiting = pool.submit(_write, Batch(second))
            _until(_somebody_waits)
            released.set()
        assert waiting.result(timeout=90) == (30 if commits else 60)
    stored = events if commits else events[30:]
    assert ExposureRow.objects.count() == len(stored)
    assert sum(row.exposures + row.bots for row in FlagExposureHour.objects.all()) == len(stored)
    store().write(Batch(_exposures(STAGED, [event.evaluation_id for event in events])))
    if commits:
        assert _kept(COPIED) == _kept(STAGED)


@pytest.mark.django_db(transaction=True)
def test_writers__of_overlapping_shuffled_batches__never_wait_for_each_other() -> None:
    writers, rounds = 3, 12
    rng = Random(6)
    namespace = uuid4()
    batches = []
    for number in range(rounds):
        ids = [uuid7(milliseconds(NOON) + rng.randrange(14 * 86_400_000)) for _ in range(1500)]
        if number % 3 == 1:
            ids = [uuid5(namespace, str(event_id)) for event_id in ids]
        elif number % 3 == 2:
            ids = [uuid5(namespace, str(event_id)) if rng.random() < 0.5 else event_id for event_id in ids]
        batches.append(
            [exposure(COPIED, f"user-{rng.randrange(3000)}", "a", evaluation_id=event_id) for event_id in ids]
        )
    ready = threading.Barrier(writers)

    def write(seed: int) -> int:
        own = Random(seed)
        new = 0
        try:
            for events in batches:
                ready.wait(timeout=90)
                new += store().write(Batch(own.sample(events, 1000))).exposures
                new += store().write(Batch(own.sample(events, 1000))).exposures
        except BaseException:
            ready.abort()
            raise
        finally:
            connection.close()
        return new

    with ThreadPoolExecutor(writers) as pool:
        stored = sum(future.result(timeout=300) for future in [pool.submit(write, seed) for seed in range(writers)])
    assert ExposureRow.objects.count() == stored
    assert sum(row.exposures + row.bots for row in FlagExposureHour.objects.all()) == stored
