"""Letting raw events go: whole partitions in milliseconds, single environments' rows where theirs go earlier."""

import random
import time
from collections.abc import Iterator, Mapping
from datetime import datetime

from django.db import OperationalError, connection, transaction

from analytics.stores.base import Dropped
from analytics.stores.postgres import partitions
from analytics.stores.postgres.partitions import TABLES
from analytics.stores.postgres.rewrites import rewriting
from analytics.stores.postgres.rollups.flag_days import shorten_days
from analytics.stores.postgres.rollups.flag_sketches import merge_sketches

# Dropping needs every reader out for a moment; waiting for it must not queue everybody up behind us.
_LOCK_TIMEOUT = "2s"
_ATTEMPTS = 10

_MERGE_HOURS = """
WITH old AS (
    DELETE FROM flag_exposure_hours AS known
    USING unnest(%s::bigint[], %s::timestamptz[]) AS cut (environment_id, before)
    WHERE known.environment_id = cut.environment_id
      AND hour < cut.before AND hour <> date_trunc('day', hour, 'UTC') RETURNING known.*
)
INSERT INTO flag_exposure_hours AS known (environment_id, flag_key, hour, variant, reason, exposures, bots)
SELECT environment_id, flag_key, date_trunc('day', hour, 'UTC') AS day, variant, reason, sum(exposures), sum(bots)
FROM old GROUP BY environment_id, flag_key, day, variant, reason
ON CONFLICT (environment_id, flag_key, hour, variant, reason) DO UPDATE
SET exposures = known.exposures + excluded.exposures, bots = known.bots + excluded.bots
"""


class PostgresRetention:
    """The part of the store that lets events go."""

    def drop_before(self, cuts: Mapping[int, datetime], *, dry_run: bool) -> Iterator[Dropped]:
        """Drop each environment's raw events from before its moment; `cuts` names every environment.

        With `dry_run` it says what it would do: the rows of partitions as PostgreSQL estimates them.
        """
        if not cuts:
            return
        everybody = min(cuts.values())
        for table in TABLES:
            for week in partitions.existing(table):
                name = week.name(table)
                if week.end <= everybody:
                    yield Dropped(name, "all", _estimated_rows(name))
                    if not dry_run:
                        _drop(name)
                else:
                    reached = {environment_id: cut for environment_id, cut in cuts.items() if cut > week.start}
                    yield from _delete(name, reached, dry_run=dry_run)
            for name in partitions.OTHERS[table]:
                yield from _delete(name, dict(cuts), dry_run=dry_run)
        if not dry_run:
            for environment_id, cut in sorted(cuts.items()):
                shorten_days(environment_id, cut)

    def merge_hours(self, before: Mapping[int, datetime]) -> None:
        """Make days of each environment's counts of hours before its midnight (UTC)."""
        cuts = [list(before.keys()), list(before.values())]
        with rewriting() as cursor:
            cursor.execute(_MERGE_HOURS, cuts)
            for environment_id, midnight in sorted(before.items()):
                merge_sketches(cursor, environment_id, midnight)


def _delete(partition: str, cuts: Mapping[int, datetime], *, dry_run: bool) -> Iterator[Dropped]:
    """One transaction an environment, so that none is long."""
    for environment_id, cut in sorted(cuts.items()):
        condition = f"FROM {partition} WHERE environment_id = %s AND occurred_at < %s"
        with transaction.atomic(), connection.cursor() as cursor:
            if dry_run:
                cursor.execute(f"SELECT count(*) {condition}", [environment_id, cut])
                rows = cursor.fetchone()[0]
            else:
                cursor.execute("SET LOCAL flagship.rewrite = 'allowed'")
                cursor.execute(f"DELETE {condition}", [environment_id, cut])
                rows = cursor.rowcount
                cursor.execute("SET LOCAL flagship.rewrite = ''")
        if rows:
            yield Dropped(partition, f"environment {environment_id}", rows)


def _drop(partition: str) -> None:
    for attempt in range(_ATTEMPTS):
        try:
            with transaction.atomic(), connection.cursor() as cursor:
                cursor.execute(f"SET LOCAL lock_timeout = '{_LOCK_TIMEOUT}'")
                cursor.execute(f"DROP TABLE {partition}")
        except OperationalError:
            if attempt == _ATTEMPTS - 1:
                raise
            time.sleep(random.uniform(0, 1))  # noqa: S311 - spreading load, not secrecy
        else:
            return


def _estimated_rows(partition: str) -> int:
    with connection.cursor() as cursor:
        cursor.execute("SELECT greatest(reltuples, 0)::bigint FROM pg_class WHERE oid = %s::regclass", [partition])
        return int(cursor.fetchone()[0])
