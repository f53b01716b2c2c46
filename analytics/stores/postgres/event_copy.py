"""Binary COPY of rows into PostgreSQL: into staging tables, or straight into their own table if all rows are new."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from django.db import IntegrityError, connection, transaction
from msgspec.structs import astuple
from psycopg.errors import UniqueViolation

from analytics.event_records import ConversionEvent, ExposureEvent

# Both forms are the same bytes on the wire. An integer or bytes cost less to make than a datetime or a JSON object.
_SENT_AS = {"timestamptz": "int8", "jsonb": "bytea"}
# An instant is sent as microseconds since 2000-01-01.
_WIRE_EPOCH_MS = 946_684_800_000
# Fields of an exposure that are sent unchanged.
_BEFORE_OCCURRED = ExposureEvent.__struct_fields__.index("occurred_ms")
# At most this many batches go through staging before COPY is tried again.
_LONGEST_PAUSE = 63

Row = tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Staging:
    """A temporary table of one connection. It writes no log, and is empty outside a transaction."""

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
    # The tables are empty already, unless the caller stores twice in one transaction. One statement empties them all,
    # because each statement costs a round trip.
    cursor.execute(f"{staging.create}; DELETE FROM {staging.table}")  # noqa: S608 - the name is ours
    _copy(cursor, staging.table, staging, rows)


class Shortcut:
    """COPY of rows straight into their table, with the columns of staging, while batches hold only new rows.

    `key` gives what is unique of a row. A batch with a stored row costs the rows that it has copied. After it, the next
    batches are refused, each time more of them. Threads may share one object: what they overwrite of each other costs
    one try.
    """

    def __init__(self, table: str, staging: Staging, key: Callable[[Row], Any]) -> None:
        self._table, self._staging, self._key = table, staging, key
        self.reopen()

    def reopen(self) -> None:
        self._pause = self._left = 0

    def copy(self, cursor: Any, rows: Sequence[Row]) -> bool:
        """Store the rows and return True if all of them are new; otherwise do nothing and return False.

        Rows go in by the order of their keys, as through staging. Each way waits for a transaction that has inserted
        the same key, and no two wait for each other. COPY fills one partition after the other, a thousand rows at a
        time. So the caller ensures that the order of keys is the order of their partitions too.
        """
        if self._left > 0:
            self._left -= 1
            return False
        by_key = {self._key(row): row for row in rows}
        if len(by_key) < len(rows):
            return False
        try:
            with transaction.atomic():
                _copy(cursor, self._table, self._staging, (by_key[key] for key in sorted(by_key)))
        except IntegrityError as error:
            if not isinstance(error.__cause__, UniqueViolation):
                raise
            self._left = self._pause = min(2 * self._pause + 1, _LONGEST_PAUSE)
            return False
        self._pause //= 2
        return True


def _copy(cursor: Any, table: str, staging: Staging, rows: Iterable[Row]) -> None:
    statement = f"COPY {table} ({staging.names}) FROM STDIN (FORMAT BINARY)"
    # Django wraps execute() alone. COPY's errors must have the same type, by which the caller tells bad data from an
    # outage.
    with connection.wrap_database_errors, cursor.copy(statement) as copy:
        copy.set_types(staging.sent_as)
        for row in rows:
            copy.write_row(row)


def id_of(row: Row) -> int:
    """Return the key of an event's row: its id, in the order in which PostgreSQL sorts ids."""
    return int(row[0].int)


def instant(unix_ms: int) -> int:
    return (unix_ms - _WIRE_EPOCH_MS) * 1000


def exposure_rows(flagged: Iterable[tuple[ExposureEvent, bool]]) -> list[Row]:
    """Return rows in the columns of sql.STAGED_EXPOSURES."""
    # Every exposure passes through here. Function calls that do nothing would double its time.
    return [
        (
            *astuple(event)[:_BEFORE_OCCURRED],
            (event.occurred_ms - _WIRE_EPOCH_MS) * 1000,
            (event.received_ms - _WIRE_EPOCH_MS) * 1000,
            event.source,
            event.user_agent,
            None if event.attributes is None else _json(event.attributes),
            event.is_prefetched,
            is_bot,
        )
        for event, is_bot in flagged
    ]


def conversion_rows(flagged: Iterable[tuple[ConversionEvent, bool]]) -> list[Row]:
    """Return rows in the columns of sql.STAGED_CONVERSIONS."""
    return [
        (*fields[:5], instant(fields[5]), instant(fields[6]), _json(fields[7]), is_bot)
        for event, is_bot in flagged
        for fields in (astuple(event),)
    ]


def _json(text: str | None) -> bytes | None:
    """Return a value as jsonb is sent: the version of its format, then the text."""
    return None if text is None else b"\x01" + text.encode()
