"""Weekly partitions by id. A UUIDv7 sorts by its time, so ids are unique in all partitions, and inserts stay local.

Conversions whose ids were made of a sender's own text live in a partition of their own: their ids all begin alike. Ids
of other versions, and ids whose time is far off, live in each table's default partition. It stays small, which matters:
whenever a week is attached, PostgreSQL reads the default partition through and holds up its writers.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from django.db import connection, transaction
from django.utils import timezone

from tenancy.process_memory import on_reset

# The tables, each with the id that it is partitioned by.
TABLES = {"exposures": "evaluation_id", "conversions": "event_id"}
# Beside the weeks.
OTHERS = {"exposures": ("exposures_default",), "conversions": ("conversions_chosen", "conversions_default")}
WEEK_MS = 7 * 86_400_000
# The Unix epoch was a Thursday, and weeks begin on Monday.
_MONDAY_OFFSET_MS = 4 * 86_400_000
# An id from outside these weeks makes no partition. A client's clock must not fill the catalog.
PAST_WEEKS = 30
FUTURE_WEEKS = 2
# The version of UUIDs that hold the time at which they were made.
_VERSION = 7
_LOCK_SPACE = 0x0F1A65
# As migration 0021 gives it to the tables that are there: by rows alone, however large the table has become.
ANALYZED_OFTEN = "autovacuum_analyze_scale_factor = 0, autovacuum_analyze_threshold = 50000"
_NAME = re.compile(r"\A(exposures|conversions)_from_(\d{8})\Z")


@dataclass(frozen=True, slots=True)
class Week:
    """A week, counted from the Monday of 1970-01-05. The first 48 bits of a UUIDv7 give its `number`."""

    number: int

    @classmethod
    def of_ms(cls, unix_ms: int) -> "Week":
        return cls((unix_ms - _MONDAY_OFFSET_MS) // WEEK_MS)

    @classmethod
    def now(cls) -> "Week":
        return cls.of_ms(int(timezone.now().timestamp() * 1000))

    @property
    def start_ms(self) -> int:
        return self.number * WEEK_MS + _MONDAY_OFFSET_MS

    @property
    def start(self) -> datetime:
        return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=self.start_ms)

    @property
    def end(self) -> datetime:
        return Week(self.number + 1).start

    def name(self, table: str) -> str:
        return f"{table}_from_{self.start:%Y%m%d}"

    def bounds(self) -> tuple[UUID, UUID]:
        return UUID(int=self.start_ms << 80), UUID(int=(self.start_ms + WEEK_MS) << 80)


def weeks_of(ids: Iterable[UUID]) -> set[int]:
    """Return the numbers of the weeks with a partition that the UUIDv7 among the ids fall into."""
    return _with_partition(_places_of(ids))


def _places_of(ids: Iterable[UUID]) -> set[int | None]:
    """Return the numbers of all weeks that the UUIDv7 fall into, and None if there are ids of other versions."""
    beginnings = {value.int >> 76 for value in ids}
    return {
        ((beginning >> 4) - _MONDAY_OFFSET_MS) // WEEK_MS if beginning & 0xF == _VERSION else None
        for beginning in beginnings
    }


def _with_partition(places: set[int | None]) -> set[int]:
    """Keep the weeks that may have a partition. Of the others, many are not even dates: the id's sender chose them."""
    current = Week.now().number
    return {week for week in places if week is not None and current - PAST_WEEKS <= week <= current + FUTURE_WEEKS}


class Partitions:
    """The partitions that this process knows to exist. It asks the catalog only about weeks that are new to it."""

    def __init__(self) -> None:
        # The weeks that certainly have a partition of their own.
        self._known: dict[str, set[int | None]] = {table: set() for table in TABLES}

    def ensure_for(self, table: str, ids: Iterable[UUID]) -> bool:
        """Make missing partitions; return whether the ids, in order, reach one partition after the other.

        Ids of the default partition may lie between any others.
        """
        known = self._known[table]
        places = _places_of(ids)
        for number in sorted(_with_partition(places - known)):
            create(table, Week(number))
            known.add(number)
        return places == {None} or places <= known

    def forget(self) -> None:
        """Forget the known weeks. A partition was dropped elsewhere, or a test's transaction was rolled back."""
        for table in TABLES:
            self._known[table] = set()


PARTITIONS = Partitions()
on_reset(PARTITIONS.forget)


def existing(table: str) -> list[Week]:
    """List the weeks of the table that have a partition, earliest first."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT relname FROM pg_inherits JOIN pg_class ON oid = inhrelid WHERE inhparent = %s::regclass",
            [table],
        )
        names = [row[0] for row in cursor.fetchall()]
    found = []
    for name in names:
        match = _NAME.match(name)
        if match:
            day = datetime.strptime(match[2], "%Y%m%d").replace(tzinfo=UTC)
            found.append(Week.of_ms(int(day.timestamp() * 1000)))
    return sorted(found, key=lambda week: week.number)


@transaction.atomic
def create(table: str, week: Week) -> bool:
    """Make one week's partition; return False if it exists.

    The partition is attached rather than created in place, so that readers and writers of other partitions go on. Rows
    of that week in the default partition move over in the same transaction.
    """
    column, name = TABLES[table], week.name(table)
    low, high = week.bounds()
    with connection.cursor() as cursor:
        if _exists(cursor, name):
            return False
        cursor.execute("SELECT pg_advisory_xact_lock(%s, %s)", [_LOCK_SPACE, week.number])
        if _exists(cursor, name):
            return False
        cursor.execute("SET LOCAL lock_timeout = '10s'")
        cursor.execute(
            f"CREATE TABLE {name} (LIKE {table} INCLUDING DEFAULTS INCLUDING CONSTRAINTS INCLUDING STORAGE) "
            f"WITH ({ANALYZED_OFTEN})"
        )
        cursor.execute("SET LOCAL flagship.rewrite = 'allowed'")
        cursor.execute(
            f"WITH moved AS (DELETE FROM {table}_default WHERE {column} >= %s AND {column} < %s RETURNING *) "  # noqa: S608 - names are ours
            f"INSERT INTO {name} SELECT * FROM moved",
            [low, high],
        )
        cursor.execute("SET LOCAL flagship.rewrite = ''")
        cursor.execute(f"ALTER TABLE {table} ATTACH PARTITION {name} FOR VALUES FROM ('{low}') TO ('{high}')")
        cursor.execute("SET LOCAL lock_timeout = 0")
    return True


def _exists(cursor: Any, name: str) -> bool:
    """Read the catalog itself. to_regclass() may answer from what this session looked up before it waited."""
    cursor.execute(
        "SELECT EXISTS (SELECT FROM pg_class WHERE relname = %s AND relnamespace = current_schema()::regnamespace)",
        [name],
    )
    return bool(cursor.fetchone()[0])


def create_ahead(*, weeks: int = FUTURE_WEEKS) -> list[str]:
    """Make the partitions of this week and the next ones; return the names of those that were missing."""
    current = Week.now().number
    made = []
    for table in TABLES:
        for number in range(current, current + weeks + 1):
            if create(table, Week(number)):
                made.append(Week(number).name(table))
    return made
