"""Rows into PostgreSQL by binary COPY: into staging, or straight into their table as long as none of them is there."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from django.db import IntegrityError, connection, transaction
from msgspec.structs import astuple
from psycopg.errors import UniqueViolation

from analytics.event_records import ConversionEvent, ExposureEvent

# What goes over the wire is the same, and an integer or bytes are cheaper to make than a datetime or an object of JSON.
_SENT_AS = {"timestamptz": "int8", "jsonb": "bytea"}
# An instant is sent as microseconds since 2000-01-01.
_WIRE_EPOCH_MS = 946_684_800_000
# Fields of an exposure that go as they are.
_BEFORE_OCCURRED = ExposureEvent.__struct_fields__.index("occurred_ms")
# So many batches at most go by staging before COPY is tried again.
_LONGEST_PAUSE = 63

Row = tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Staging:
    """A temporary table of one connection: it writes no log, and is empty outside a transaction."""

    table: str
    columns: tuple[tuple[str, str], ...]

    @classmethod
    def of(cls, table: str, columns: str) -> "Staging":
        pairs = (column.split() for column in columns.split(","))
        return cls(table, tuple((name, kind) for name, kind in pairs))

    @property
    def create(self) -> str:
        columns = ", ".join(f"{name} {kind}" for name, kind in self.columns)
        return f"CREATE TEMPORARY TABLE IF NOT EXISTS {self.table} ({columns}) ON COMMIT DELETE ROWS"

    @property
    def names(self) -> str:
        return ", ".join(name for name, _ in self.columns)

    @property
    def sent_as(self) -> list[str]:
        return [_SENT_AS.get(kind, kind) for _, kind in self.columns]


def stage(cursor: Any, staging: Staging, rows: Iterable[Row]) -> None:
    # Empty already unless the caller stores twice in one transaction. Together, since each answer costs a turn.
    cursor.execute(f"{staging.create}; DELETE FROM {staging.table}")  # noqa: S608 - the name is ours
    _copy(cursor, staging.table, staging, rows)


class Shortcut:
    """COPY of events straight into their table, which staging's columns name, as long as batches hold new ones alone.

    After a batch with an event that is stored, which costs the rows it has copied, the next ones are refused: each time
    for longer. Threads may share one: what gets lost between them is a try.
    """

    def __init__(self, table: str, staging: Staging) -> None:
        self._table, self._staging = table, staging
        self.reopen()

    def reopen(self) -> None:
        self._pause = self._left = 0

    def copy(self, cursor: Any, rows: Sequence[Row]) -> bool:
        """Whether the rows are stored, all of them new; otherwise nothing is done.

        They go in by their ids, as by staging: each way waits for a transaction that has put the same id in, and no two
        wait for each other. COPY enters a thousand rows at a time one partition after the other, so the caller sees to
        it that the order of the ids is that of their partitions too.
        """
        if self._left > 0:
            self._left -= 1
            return False
        if len({row[0].int for row in rows}) < len(rows):
            return False
        try:
            with transaction.atomic():
                _copy(cursor, self._table, self._staging, sorted(rows, key=lambda row: row[0].int))
        except IntegrityError as error:
            if not isinstance(error.__cause__, UniqueViolation):
                raise
            self._left = self._pause = min(2 * self._pause + 1, _LONGEST_PAUSE)
            return False
        self._pause //= 2
        return True


def _copy(cursor: Any, table: str, staging: Staging, rows: Iterable[Row]) -> None:
    statement = f"COPY {table} ({staging.names}) FROM STDIN (FORMAT BINARY)"
    # Django wraps execute() alone; what COPY raises must look the same to whoever tells poison from an outage.
    with connection.wrap_database_errors, cursor.copy(statement) as copy:
        copy.set_types(staging.sent_as)
        for row in rows:
            copy.write_row(row)


def instant(unix_ms: int) -> int:
    return (unix_ms - _WIRE_EPOCH_MS) * 1000


def exposure_rows(flagged: Iterable[tuple[ExposureEvent, bool]]) -> list[Row]:
    """In the columns of sql.STAGED_EXPOSURES."""
    # Every exposure comes by here: calls that have nothing to do would double its time.
    return [
        (
            *astuple(event)[:_BEFORE_OCCURRED],
            (event.occurred_ms - _WIRE_EPOCH_MS) * 1000,
            (event.received_ms - _WIRE_EPOCH_MS) * 1000,
            event.source,
            event.user_agent,
            None if event.attributes is None else _json(event.attributes),
            is_bot,
        )
        for event, is_bot in flagged
    ]


def conversion_rows(flagged: Iterable[tuple[ConversionEvent, bool]]) -> list[Row]:
    """In the columns of sql.STAGED_CONVERSIONS."""
    return [
        (*fields[:5], instant(fields[5]), instant(fields[6]), _json(fields[7]), is_bot)
        for event, is_bot in flagged
        for fields in (astuple(event),)
    ]


def _json(text: str | None) -> bytes | None:
    """As jsonb is sent: the version of its format, then the text."""
    return None if text is None else b"\x01" + text.encode()
