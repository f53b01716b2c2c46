"""Rewriting what is kept up beside the raw events: a new phase of an experiment. The ingest waits meanwhile."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

from django.db import connection, transaction

from analytics.stores import postgres_sql as sql

FIRST_PHASE = datetime(1970, 1, 1, tzinfo=UTC)

_BUMP = """
INSERT INTO derived_revision (id, value) VALUES (1, 1)
ON CONFLICT (id) DO UPDATE SET value = derived_revision.value + 1
"""
_INSERT_PHASE = """
INSERT INTO exposure_phases (environment_id, experiment, started_at)
VALUES (%(environment_id)s, %(experiment)s, %(started_at)s) ON CONFLICT DO NOTHING
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
_FILL_PHASE = """
INSERT INTO first_exposures (environment_id, experiment, phase, unit_id, variant, first_at, crossed_at, bot_at)
SELECT %(environment_id)s, %(experiment)s, %(started_at)s, unit_id,
       (array_agg(variant ORDER BY first_at, variant) FILTER (WHERE first_at IS NOT NULL))[1],
       min(first_at),
       (array_agg(first_at ORDER BY first_at, variant) FILTER (WHERE first_at IS NOT NULL))[2],
       min(bot_at)
FROM (
    SELECT unit_id, variant, min(occurred_at) FILTER (WHERE NOT is_bot) AS first_at,
           min(occurred_at) FILTER (WHERE is_bot) AS bot_at
    FROM exposures
    WHERE environment_id = %(environment_id)s AND experiment = %(experiment)s
      AND occurred_at >= %(started_at)s AND (%(ended_at)s::timestamptz IS NULL OR occurred_at < %(ended_at)s)
    GROUP BY unit_id, variant
) AS seen
GROUP BY unit_id
"""


@contextmanager
def rewriting() -> Iterator[Any]:
    """A transaction that has the derived tables to itself and may rewrite events; gives a cursor.

    Every ingest process waits until it ends, then forgets what it remembers.
    """
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(sql.HOLD_DERIVED)
        cursor.execute(_BUMP)
        cursor.execute("SET LOCAL flagship.rewrite = 'allowed'")
        cursor.execute("SET LOCAL work_mem = '256MB'")
        yield cursor
        # A savepoint's end would not: what follows in an outer transaction may rewrite nothing.
        cursor.execute("SET LOCAL flagship.rewrite = ''")


class PostgresRewrites:
    """The part of the store that rewrites."""

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
            for statement in _CUT_FORMER_PHASE:
                cursor.execute(statement, parameters)
            cursor.execute(_FILL_PHASE, parameters)
