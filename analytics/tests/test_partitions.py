"""Partitions made by several at once: each of them goes on, and the partition is there once."""

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

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
