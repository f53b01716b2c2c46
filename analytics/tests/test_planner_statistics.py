"""A load of a new name must not be joined row by row, and no query may outlive whoever waits for its answer."""

import time
from datetime import timedelta
from uuid import UUID

import pytest
from django.db import OperationalError, connection, transaction

from analytics.event_records import Batch
from analytics.models import Exposure
from analytics.services import store_events
from analytics.stores import store
from analytics.stores.postgres import fresh_statistics, reads
from analytics.stores.postgres import store as postgres_store
from analytics.stores.postgres.fresh_statistics import FreshStatistics, analyze
from analytics.stores.postgres.partitions import Week
from analytics.stores.time_limit import answer_within
from analytics.tests.conftest import NOON, conversion, exposure
from tenancy.errors import Unavailable


def _options(tables):
    with connection.cursor() as cursor:
        cursor.execute("SELECT relname, reloptions FROM pg_class WHERE relname = ANY (%s)", [tables])
        return dict(cursor.fetchall())


def test_tables__of_events_and_units__are_analysed_by_rows_alone(environment):
    store_events(Batch([exposure(environment.pk, "a", "control")], [conversion(environment.pk, "a", NOON)]))
    week = Week.of_ms(int(NOON.timestamp() * 1000))
    tables = ["first_exposures", "exposures_default", week.name("exposures"), week.name("conversions")]
    wanted = ["autovacuum_analyze_scale_factor=0", "autovacuum_analyze_threshold=50000"]
    assert {table: sorted(set(options) & set(wanted)) for table, options in _options(tables).items()} == dict.fromkeys(
        tables, wanted
    )


def test_names__that_brought_much__have_their_tables_analysed_ever_more_seldom(environment):
    statistics = FreshStatistics()
    purchases = [conversion(environment.pk, "a", NOON)] * 4000
    others = [conversion(environment.pk, "a", NOON, event_name=f"other-{n}") for n in range(4000)]
    week = Week.of_ms(int(NOON.timestamp() * 1000)).name("conversions")
    due = [statistics.tables_due([], purchases) for _ in range(13)]
    assert [place for place, tables in enumerate(due) if tables] == [2, 11]
    assert due[2] == ["conversions_chosen", "conversions_default", week]
    assert statistics.tables_due([], others) == []
    assert "first_exposures" in statistics.tables_due([exposure(environment.pk, "a", "control")] * 10_000, [])
    # What was never made, or is gone, is passed over.
    analyze([*due[2], "conversions_from_19990101"])


@pytest.mark.parametrize("beginning", ["e677d220-0000", "ffffffff-ffff"])
def test_names__with_ids_of_no_possible_date__have_the_default_partition_analysed(
    environment, monkeypatch, django_capture_on_commit_callbacks, beginning
):
    analysed = []
    monkeypatch.setattr(fresh_statistics, "_FIRST_AT", 1)
    monkeypatch.setattr(postgres_store, "analyze", analysed.append)
    event_id = UUID(f"{beginning}-7000-8000-000000000000")
    with django_capture_on_commit_callbacks(execute=True):
        store().write(Batch([exposure(environment.pk, "a", "control", evaluation_id=event_id)], []))
    assert analysed == [["first_exposures", "exposures_default"]]


def test_batch__whose_tables_cannot_be_analysed__is_stored(
    environment, monkeypatch, django_capture_on_commit_callbacks
):
    def fail(_):
        raise OperationalError("canceling statement due to lock timeout")

    monkeypatch.setattr(fresh_statistics, "_FIRST_AT", 1)
    monkeypatch.setattr(postgres_store, "analyze", fail)
    with django_capture_on_commit_callbacks(execute=True):
        assert store().write(Batch([exposure(environment.pk, "a", "control")], [])).exposures == 1
    assert Exposure.objects.count() == 1


def test_batch__rolled_back__is_not_counted(environment, monkeypatch, django_capture_on_commit_callbacks):
    analysed = []
    monkeypatch.setattr(fresh_statistics, "_FIRST_AT", 2)
    monkeypatch.setattr(postgres_store, "analyze", analysed.append)
    events = Batch([exposure(environment.pk, "a", "control"), exposure(environment.pk, "b", "control")], [])
    with django_capture_on_commit_callbacks(execute=True):
        with transaction.atomic():
            store().write(events)
            transaction.set_rollback(True)
        assert store().write(events).exposures == 2
    assert len(analysed) == 1


@pytest.mark.django_db(transaction=True)
def test_answers__while_much_is_not_analysed__join_nothing_row_by_row(environment):
    def nested_loops():
        with connection.cursor() as cursor:
            cursor.execute("BEGIN")
            cursor.execute(reads.SET_UP)
            cursor.execute("SHOW enable_nestloop")
            (found,) = cursor.fetchone()
            cursor.execute("COMMIT")
        return found

    store_events(Batch([exposure(environment.pk, "a", "control")], []))
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT inhrelid::regclass::text FROM pg_inherits"
            " WHERE inhparent IN ('exposures'::regclass, 'conversions'::regclass)"
        )
        # What earlier tests wrote and emptied again counts as new in every part of a table.
        partitions = [name for (name,) in cursor.fetchall()]
    analyze(["first_exposures", *partitions])
    assert nested_loops() == "on"
    for start in range(0, 6000, 3000):
        events = [conversion(environment.pk, str(n), NOON + timedelta(seconds=n)) for n in range(start, start + 3000)]
        store_events(Batch([], events))
    with connection.cursor() as cursor:
        # Its counts are sent about once a second, unless asked for.
        cursor.execute("SELECT pg_stat_force_next_flush()")
    assert nested_loops() == "off"
    analyze([Week.of_ms(int(NOON.timestamp() * 1000)).name("conversions")])
    assert nested_loops() == "on"


@pytest.mark.django_db(transaction=True)
def test_time_limit__query_that_takes_longer__is_stopped_and_leaves_no_limit_behind():
    began = time.monotonic()
    with (
        pytest.raises(Unavailable, match=r"The answer took longer than 0.2 s"),
        answer_within(0.2, what="The answer"),
        connection.cursor() as cursor,
    ):
        cursor.execute("SELECT pg_sleep(30)")
    assert time.monotonic() - began < 25
    with connection.cursor() as cursor:
        cursor.execute("SHOW statement_timeout")
        assert cursor.fetchone() == ("0",)
