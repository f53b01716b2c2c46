"""Events in PostgreSQL: binary COPY into staging, then one INSERT that leaves out what is there already."""

from collections.abc import Iterable
from typing import Any

import msgspec
from django.db import connection, transaction

from analytics.bots import is_bot
from analytics.events import Batch, Conversion, Exposure
from analytics.partitions import PARTITIONS
from analytics.stores.base import Stored
from analytics.stores.postgres_reads import PostgresReads

# Temporary tables write no log; of this connection alone, and empty outside a transaction.
_EXPOSURES_STAGING = """
CREATE TEMPORARY TABLE IF NOT EXISTS staged_exposures (
    evaluation_id uuid, environment_id bigint, flag_key text, unit_id text, variant text, reason text, rule_id text,
    experiment text, config_version bigint, occurred_ms bigint, received_ms bigint, source text, user_agent text,
    attributes text, is_bot boolean
) ON COMMIT DELETE ROWS
"""
_EXPOSURE_TYPES = [
    *("uuid", "int8", "text", "text", "text", "text", "text"),
    *("text", "int8", "int8", "int8", "text", "text", "text", "bool"),
]
# In the order of the key, so that two processes storing the same events wait for one another and never deadlock.
_INSERT_EXPOSURES = """
INSERT INTO exposures (
    evaluation_id, environment_id, flag_key, unit_id, variant, reason, rule_id, experiment, config_version,
    occurred_at, received_at, source, user_agent, attributes, is_bot
)
SELECT
    evaluation_id, environment_id, flag_key, unit_id, variant, reason, rule_id, experiment, config_version,
    to_timestamp(occurred_ms / 1000.0::float8), to_timestamp(received_ms / 1000.0::float8), source, user_agent,
    attributes::jsonb, is_bot
FROM staged_exposures ORDER BY evaluation_id, environment_id
ON CONFLICT DO NOTHING
"""

_CONVERSIONS_STAGING = """
CREATE TEMPORARY TABLE IF NOT EXISTS staged_conversions (
    event_id uuid, environment_id bigint, unit_id text, event_name text, value float8, occurred_ms bigint,
    received_ms bigint, properties text, is_bot boolean
) ON COMMIT DELETE ROWS
"""
_CONVERSION_TYPES = ["uuid", "int8", "text", "text", "float8", "int8", "int8", "text", "bool"]
_INSERT_CONVERSIONS = """
INSERT INTO conversions (
    event_id, environment_id, unit_id, event_name, value, occurred_at, received_at, properties, is_bot
)
SELECT
    event_id, environment_id, unit_id, event_name, value, to_timestamp(occurred_ms / 1000.0::float8),
    to_timestamp(received_ms / 1000.0::float8), properties::jsonb, is_bot
FROM staged_conversions ORDER BY event_id, environment_id
ON CONFLICT DO NOTHING
"""


class PostgresStore(PostgresReads):
    """The default store; uses Django's connection of the calling thread."""

    def write(self, batch: Batch) -> Stored:
        PARTITIONS.ensure_for("exposures", (event.evaluation_id for event in batch.exposures))
        PARTITIONS.ensure_for("conversions", (event.event_id for event in batch.conversions))
        with transaction.atomic():
            return Stored(
                exposures=_write_exposures(batch.exposures) if batch.exposures else 0,
                conversions=_write_conversions(batch.conversions) if batch.conversions else 0,
            )


def _write_exposures(events: list[Exposure]) -> int:
    rows = ((*msgspec.structs.astuple(event), is_bot(event.unit_id, event.user_agent)) for event in events)
    return _insert(_EXPOSURES_STAGING, "staged_exposures", _EXPOSURE_TYPES, rows, _INSERT_EXPOSURES)


def _write_conversions(events: list[Conversion]) -> int:
    rows = ((*msgspec.structs.astuple(event), is_bot(event.unit_id, None)) for event in events)
    return _insert(_CONVERSIONS_STAGING, "staged_conversions", _CONVERSION_TYPES, rows, _INSERT_CONVERSIONS)


def _insert(staging: str, table: str, types: list[str], rows: Iterable[tuple[Any, ...]], insert: str) -> int:
    with connection.cursor() as cursor:
        cursor.execute(staging)
        # Empty already unless the caller stores twice in one transaction.
        cursor.execute(f"DELETE FROM {table}")  # noqa: S608 - the name is ours
        # Django wraps execute() alone; what COPY raises must look the same to whoever tells poison from an outage.
        with connection.wrap_database_errors, cursor.copy(f"COPY {table} FROM STDIN (FORMAT BINARY)") as copy:
            copy.set_types(types)
            for row in rows:
                copy.write_row(row)
        cursor.execute(insert)
        return int(cursor.rowcount)
