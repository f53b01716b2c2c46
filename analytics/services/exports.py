"""Exports raw events as a Parquet file, for analysis with other tools."""

from collections.abc import Iterator
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from django.db import transaction

import audit.services
from analytics.stores import store
from audit.actors import Actor
from tenancy.errors import Unavailable
from tenancy.models import Environment

if TYPE_CHECKING:
    import pyarrow

# A row group: the rows in memory at a time, and the unit that a reader can skip by its minima and maxima.
_ROWS_AT_A_TIME: Final = 50_000
# Column -> type, in the order of the stores; `ms` is an instant.
_COLUMNS: Final = {
    "exposures": {
        "evaluation_id": "id",
        "environment_id": "int",
        "flag_key": "name",
        "unit_id": "text",
        "variant": "name",
        "reason": "name",
        "rule_id": "name",
        "experiment": "name",
        "config_version": "int",
        "occurred_at": "ms",
        "received_at": "ms",
        "source": "name",
        "user_agent": "text",
        "attributes": "text",
        "is_prefetched": "bool",
        "is_bot": "bool",
    },
    "conversions": {
        "event_id": "id",
        "environment_id": "int",
        "unit_id": "text",
        "event_name": "name",
        "value": "float",
        "occurred_at": "ms",
        "received_at": "ms",
        "properties": "text",
        "is_bot": "bool",
    },
}


def export_events(
    *,
    actor: Actor,
    environment: Environment,
    table: str,
    path: Path,
    since: datetime | None = None,
    until: datetime | None = None,
) -> int:
    """Write an environment's `exposures` or `conversions` of [since, until) to a file. Return their number.

    The file appears whole or not at all; memory does not grow with it. It has bots' events, marked as such. Raises
    Unavailable without pyarrow, and OSError of the disk.
    """
    partial = path.with_name(f"{path.name}.partial")
    try:
        count = write_parquet(partial, table, store().raw_rows(table, environment.pk, since, until))
        partial.rename(path)
    finally:
        partial.unlink(missing_ok=True)
    with transaction.atomic():
        audit.services.record(
            actor=actor,
            action="events.exported",
            at=environment,
            key=table,
            after={
                "rows": count,
                "since": since.isoformat() if since else None,
                "until": until.isoformat() if until else None,
            },
        )
    return count


def write_parquet(path: Path, table: str, rows: Iterator[tuple[Any, ...]]) -> int:
    """Write rows, as the stores yield them, to a file. Return their number. Raises Unavailable, and OSError."""
    try:
        from pyarrow import parquet  # noqa: PLC0415 - 150 MB that nothing else needs
    except ImportError as error:
        raise Unavailable("Parquet needs pyarrow: install requirements-parquet.txt.") from error
    schema, count = _schema(table), 0
    with parquet.ParquetWriter(path, schema, compression="zstd") as writer:
        for piece in _pieces(rows):
            writer.write_table(_table(piece, schema))
            count += len(piece)
    return count


def _schema(table: str) -> "pyarrow.Schema":
    import pyarrow as pa  # noqa: PLC0415 - as above

    types = {
        "id": pa.string(),
        "int": pa.int64(),
        "name": pa.dictionary(pa.int32(), pa.string()),
        "text": pa.string(),
        "float": pa.float64(),
        "ms": pa.timestamp("ms", tz="UTC"),
        "bool": pa.bool_(),
    }
    return pa.schema([(name, types[kind]) for name, kind in _COLUMNS[table].items()])


def _table(rows: list[tuple[Any, ...]], schema: "pyarrow.Schema") -> "pyarrow.Table":
    import pyarrow as pa  # noqa: PLC0415 - as above

    columns = list(zip(*rows, strict=True))
    columns[0] = tuple(str(event_id) for event_id in columns[0])
    arrays = [pa.array(values, field.type) for values, field in zip(columns, schema, strict=True)]
    return pa.Table.from_arrays(arrays, schema=schema)


def _pieces(rows: Iterator[tuple[Any, ...]]) -> Iterator[list[tuple[Any, ...]]]:
    while piece := list(islice(rows, _ROWS_AT_A_TIME)):
        yield piece
