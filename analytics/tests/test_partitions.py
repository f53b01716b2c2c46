"""Partitions made by several at once: each of them goes on, and the partition is there once."""

from concurrent.futures import ThreadPoolExecutor
from importlib import import_module
from threading import Barrier
from types import SimpleNamespace

import pytest
from django.db import connection

from analytics.stores.postgres import partitions
from analytics.stores.postgres.partitions import Week


@pytest.mark.django_db(transaction=True)
def test_create__by_four_at_the_same_moment__is_made_by_one() -> None:
    week = Week(Week.now().number + 40)
    ready = Barrier(4)

    def create() -> bool:
        try:
            with connection.cursor() as cursor:
                cursor.execute("SELECT 1")
            ready.wait(timeout=90)
            return partitions.create("exposures", week)
        finally:
            connection.close()

    with ThreadPoolExecutor(max_workers=4) as pool:
        made = [future.result(timeout=120) for future in [pool.submit(create) for _ in range(4)]]
    try:
        assert sorted(made) == [False, False, False, True]
        assert week.number in {found.number for found in partitions.existing("exposures")}
    finally:
        with connection.cursor() as cursor:
            cursor.execute(f"DROP TABLE {week.name('exposures')}")


@pytest.mark.django_db(transaction=True)
def test_index_of_prefetched__whose_build_broke_off__is_built_again() -> None:
    migration = import_module("analytics.migrations.0026_find_prefetched")
    editor = SimpleNamespace(connection=connection)
    migration.drop(None, editor)
    with connection.cursor() as cursor:
        cursor.execute(f"CREATE INDEX exposures_default_prefetched ON exposures_default {migration.INDEX}")
        # As CREATE INDEX CONCURRENTLY leaves it.
        cursor.execute(
            "UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'exposures_default_prefetched'::regclass"
        )

    migration.build(None, editor)

    with connection.cursor() as cursor:
        cursor.execute("SELECT indisvalid FROM pg_index WHERE indexrelid = 'exposures_prefetched'::regclass")
        assert cursor.fetchone() == (True,)
