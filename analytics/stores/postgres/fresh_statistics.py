"""The planner's statistics of the event tables, renewed by the ingest after it has stored much under one name.

Autovacuum looks once a minute at best. Until then the planner takes a new name for rare, and joins row by row.
"""

import threading
from collections import Counter
from collections.abc import Iterable, Sequence
from uuid import UUID

from django.db import connection

from analytics.event_records import ConversionEvent, ExposureEvent
from analytics.stores.postgres.partitions import OTHERS, Week, weeks_of

# Tables are analysed when a name has brought so many rows, and each time it has brought four times as many.
_FIRST_AT = 10_000
_GROWTH = 4
_MOST_NAMES = 10_000


class FreshStatistics:
    """Counts what this process stores under each name. Threads may share one."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._stored: Counter[tuple[str, int, str]] = Counter()
        self._due: dict[tuple[str, int, str], int] = {}

    def tables_due(self, exposures: Sequence[ExposureEvent], conversions: Sequence[ConversionEvent]) -> list[str]:
        """Count a batch that was stored; return the tables whose statistics it has made old."""
        brought: Counter[tuple[str, int, str]] = Counter(
            ("exposures", event.environment_id, event.experiment or event.flag_key) for event in exposures
        )
        brought.update(("conversions", event.environment_id, event.event_name) for event in conversions)
        due = set()
        with self._lock:
            if len(self._stored) > _MOST_NAMES:
                self._stored.clear()
                self._due.clear()
            for name, count in brought.items():
                self._stored[name] += count
                if self._stored[name] >= self._due.get(name, _FIRST_AT):
                    self._due[name] = self._stored[name] * _GROWTH
                    due.add(name[0])
        tables = []
        if "exposures" in due:
            tables += ["first_exposures", *_partitions("exposures", (event.evaluation_id for event in exposures))]
        if "conversions" in due:
            tables += _partitions("conversions", (event.event_id for event in conversions))
        return tables


def analyze(tables: Sequence[str]) -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT relname FROM pg_class WHERE relname = ANY (%s) AND relnamespace = current_schema()::regnamespace",
            [list(tables)],
        )
        for (table,) in cursor.fetchall():
            cursor.execute(f"ANALYZE {table}")


def _partitions(table: str, ids: Iterable[UUID]) -> list[str]:
    """Those that the batch went to, and those beside the weeks."""
    return [*OTHERS[table], *(Week(number).name(table) for number in sorted(weeks_of(ids)))]
