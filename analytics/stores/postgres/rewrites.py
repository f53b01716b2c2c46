"""Rewriting what was stored: a new phase, bots found later, a user erased, ids made pseudonyms. The ingest waits."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any

from django.db import connection, transaction

from analytics.enrichment.bots import flag_bots
from analytics.enrichment.enrichment import EnrichmentRules, announce_change
from analytics.stores.base import Erased, Reflag, Unit
from analytics.stores.postgres import rewrite_statements as units
from analytics.stores.postgres import write_statements as sql
from analytics.stores.postgres.rollups import segment_units as segments
from analytics.stores.postgres.unit_states import FIRST_PHASE

_INSERT_PHASE = """
INSERT INTO exposure_phases (environment_id, experiment, started_at, is_counted)
VALUES (%(environment_id)s, %(experiment)s, %(started_at)s, true) ON CONFLICT DO NOTHING
"""
_NEIGHBOURS = """
SELECT max(started_at) FILTER (WHERE started_at < %(started_at)s),
       min(started_at) FILTER (WHERE started_at > %(started_at)s)
FROM exposure_phases WHERE environment_id = %(environment_id)s AND experiment = %(experiment)s
"""
# What the phase before has of the new one's time leaves it.
_CUT_FORMER_PHASE = (
    """
    UPDATE first_exposures
    SET crossed_at = CASE WHEN crossed_at < %(started_at)s THEN crossed_at END,
        bot_at = CASE WHEN bot_at < %(started_at)s THEN bot_at END,
        bot_variant = CASE WHEN bot_at < %(started_at)s THEN bot_variant END,
        bot_variant_at = CASE WHEN bot_at < %(started_at)s THEN bot_variant_at END,
        variant = CASE WHEN first_at < %(started_at)s THEN variant END,
        first_at = CASE WHEN first_at < %(started_at)s THEN first_at END
    WHERE environment_id = %(environment_id)s AND experiment = %(experiment)s AND phase = %(former_phase)s
      AND (first_at >= %(started_at)s OR crossed_at >= %(started_at)s OR bot_at >= %(started_at)s)
    """,
    """
    DELETE FROM first_exposures
    WHERE environment_id = %(environment_id)s AND experiment = %(experiment)s AND phase = %(former_phase)s
      AND first_at IS NULL AND bot_at IS NULL
    """,
)
_FILL_PHASE = f"""
INSERT INTO first_exposures (
    environment_id, experiment, phase, unit_id, variant, first_at, crossed_at, bot_at, bot_variant, bot_variant_at
)
SELECT %(environment_id)s, %(experiment)s, %(started_at)s, unit_id, {units.FIRST_SEEN}
FROM (
    SELECT unit_id, variant, min(occurred_at) FILTER (WHERE NOT is_bot) AS first_at,
           min(occurred_at) FILTER (WHERE is_bot) AS bot_at
    FROM exposures
    WHERE environment_id = %(environment_id)s AND experiment = %(experiment)s
      AND occurred_at >= %(started_at)s AND (%(ended_at)s::timestamptz IS NULL OR occurred_at < %(ended_at)s)
    GROUP BY unit_id, variant
) AS seen
GROUP BY unit_id
"""  # noqa: S608 - fixed text put together from fixed parts; values are always parameters


_PARTITIONS = "SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = %s::regclass ORDER BY 1"
_CREATE_REFLAGGED = """
CREATE TEMPORARY TABLE reflagged (environment_id bigint, unit_id text, user_agent text, is_bot boolean) ON COMMIT DROP
"""
_FILL_REFLAGGED = """
INSERT INTO reflagged SELECT * FROM unnest(%s::bigint[], %s::text[], %s::text[], %s::boolean[])
"""
_READ_AT_ONCE = 50_000

# HMAC-SHA256 (RFC 2104) of a unit, by the key padded and combined as `pseudonym_pads` gives it.
_PSEUDONYM = "encode(sha256(%(outer)s::bytea || sha256(%(inner)s::bytea || convert_to(unit_id, 'UTF8'))), 'hex')"
_UNIT_TABLES = (
    "exposures",
    "conversions",
    "first_exposures",
    "flag_unit_days",
    "unit_segments",
    "bot_units",
)


@contextmanager
def rewriting() -> Iterator[Any]:
    """A transaction that has the derived tables to itself and may rewrite events; gives a cursor.

    Every ingest process waits until it ends, then forgets what it remembers.
    """
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(sql.HOLD_DERIVED)
        announce_change()
        cursor.execute("SET LOCAL flagship.rewrite = 'allowed'")
        cursor.execute("SET LOCAL work_mem = '256MB'")
        yield cursor
        # A savepoint's end would not: what follows in an outer transaction may rewrite nothing.
        cursor.execute("SET LOCAL flagship.rewrite = ''")


class PostgresRewrites:
    """The part of the store that rewrites."""

    def reclassify(self, rules: EnrichmentRules, progress: Callable[[int, int], None]) -> tuple[int, int]:
        """Flag every raw event anew and return how many became bots' and how many ceased to be.

        `progress` is told the partitions done and their number. Where ids are stored as pseudonyms, patterns on ids
        cannot be asked again: there a flag can come, but not go.
        """
        partitions = [(table, name) for table in ("exposures", "conversions") for name in _partitions(table)]
        flagged = unflagged = 0
        for done, (table, partition) in enumerate(partitions):
            progress(done, len(partitions))
            for changes in _mistaken(table, partition, rules):
                more, less = _reflag(table, changes)
                flagged, unflagged = flagged + more, unflagged + less
        progress(len(partitions), len(partitions))
        return flagged, unflagged

    def reflag_units(self, found: Sequence[Unit]) -> int:
        """Flag all events of the units as bots'; return how many were not."""
        with connection.cursor() as cursor:
            cursor.execute(
                """SELECT DISTINCT environment_id, unit_id, user_agent FROM exposures
                JOIN unnest(%s::bigint[], %s::text[]) AS bot (environment_id, unit_id)
                USING (environment_id, unit_id)""",
                [[unit.environment_id for unit in found], [unit.unit_id for unit in found]],
            )
            changes = [Reflag(row[0], row[1], row[2], is_bot=True) for row in cursor.fetchall()]
        alone = [Reflag(unit.environment_id, unit.unit_id, None, is_bot=True) for unit in found]
        return _reflag("exposures", changes)[0] + _reflag("conversions", alone)[0]

    def erase_units(self, erased: Sequence[Unit]) -> Erased:
        with rewriting() as cursor, _affected(cursor, erased):
            cursor.execute(units.DELETE_EXPOSURES)
            exposures = cursor.fetchone()[0]
            cursor.execute(units.DELETE_CONVERSIONS)
            conversions = cursor.rowcount
            for statement in (*segments.ERASE, *units.DELETE_DERIVED):
                cursor.execute(statement)
        return Erased(exposures, conversions)

    def make_pseudonymous(self, environment_id: int, key: bytes) -> None:
        """Replace each unit id of the environment by its HMAC-SHA256; the caller's transaction stores the key."""
        inner, outer = pseudonym_pads(key)
        parameters = {"environment_id": environment_id, "inner": inner, "outer": outer}
        with rewriting() as cursor:
            for table in _UNIT_TABLES:
                cursor.execute(
                    f"UPDATE {table} SET unit_id = {_PSEUDONYM} WHERE environment_id = %(environment_id)s",  # noqa: S608 - names are ours
                    parameters,
                )
            # An id and its pseudonym would be two units of one sketch. Sketches beyond the raw events stay as they are.
            cursor.execute(units.DROP_SKETCHES_WITH_RAW_EVENTS, parameters)

    def open_phase(self, environment_id: int, experiment: str, started_at: datetime) -> None:
        parameters: dict[str, Any] = {
            "environment_id": environment_id,
            "experiment": experiment,
            "started_at": started_at,
        }
        with rewriting() as cursor:
            cursor.execute(_INSERT_PHASE, parameters)
            if not cursor.rowcount:
                return
            cursor.execute(_NEIGHBOURS, parameters)
            former_phase, parameters["ended_at"] = cursor.fetchone()
            parameters["former_phase"] = former_phase or FIRST_PHASE
            for statement in (units.UNCOUNT_FORMER_PHASE, *_CUT_FORMER_PHASE, _FILL_PHASE, units.COUNT_PHASE):
                cursor.execute(statement, parameters)


def pseudonym_pads(key: bytes) -> tuple[bytes, bytes]:
    """The inner and the outer pad of HMAC-SHA256 for a key of at most 64 bytes."""
    padded = key.ljust(64, b"\x00")
    return bytes(byte ^ 0x36 for byte in padded), bytes(byte ^ 0x5C for byte in padded)


def _partitions(table: str) -> list[str]:
    with connection.cursor() as cursor:
        cursor.execute(_PARTITIONS, [table])
        return [name for (name,) in cursor.fetchall()]


def _mistaken(table: str, partition: str, rules: EnrichmentRules) -> Iterator[list[Reflag]]:
    """Yield, some at a time, the kinds of events of one partition whose flag is not what the rules say now."""
    agent = "user_agent" if table == "exposures" else "NULL::text"
    with transaction.atomic(), connection.chunked_cursor() as cursor:
        cursor.execute(
            f"SELECT DISTINCT environment_id, unit_id, {agent}, is_bot FROM {partition}"  # noqa: S608 - names are ours
        )
        found: list[list[Reflag]] = []
        while rows := cursor.fetchmany(_READ_AT_ONCE):
            flags = flag_bots([row[1] for row in rows], [row[2] for row in rows])
            changes = [
                Reflag(environment_id, unit_id, user_agent, is_bot=wanted)
                for (environment_id, unit_id, user_agent, is_bot), flag in zip(rows, flags, strict=True)
                for wanted in [rules.wants(environment_id, unit_id, flag=flag, was=is_bot)]
                if wanted != is_bot
            ]
            if changes:
                found.append(changes)
    yield from found


def _reflag(table: str, changes: Sequence[Reflag]) -> tuple[int, int]:
    """A conversion has no user agent: it is a bot's if its unit is, whatever agents the unit's exposures had."""
    with rewriting() as cursor, _affected(cursor, changes):
        cursor.execute(_CREATE_REFLAGGED)
        cursor.execute(
            _FILL_REFLAGGED,
            [
                [change.environment_id for change in changes],
                [change.unit_id for change in changes],
                [change.user_agent for change in changes],
                [change.is_bot for change in changes],
            ],
        )
        if table == "conversions":
            cursor.execute(units.REFLAG_CONVERSIONS)
            flagged, unflagged = cursor.fetchone()
        else:
            for statement in (*units.TAKE_OUT, segments.TAKE_OUT):
                cursor.execute(statement)
            cursor.execute(units.REFLAG_EXPOSURES)
            flagged, unflagged = cursor.fetchone()
            for statement in (*units.PUT_BACK, segments.PUT_BACK):
                cursor.execute(statement)
        cursor.execute("DROP TABLE reflagged")
        return flagged, unflagged


@contextmanager
def _affected(cursor: Any, found: Iterable[Unit | Reflag]) -> Iterator[None]:
    listed = list(found)
    cursor.execute(units.CREATE_AFFECTED)
    cursor.execute(
        units.FILL_AFFECTED,
        {
            "environment_ids": [unit.environment_id for unit in listed],
            "unit_ids": [unit.unit_id for unit in listed],
        },
    )
    # Both the days they leave and the days they come to.
    cursor.execute(units.UNCOUNT_AFFECTED)
    yield
    cursor.execute(units.COUNT_AFFECTED)
    cursor.execute(units.DROP_AFFECTED)
