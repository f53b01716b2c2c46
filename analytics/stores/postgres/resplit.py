"""An experiment that never was: its units, as the ingest would have kept them, in temporary tables of one connection.

Temporary tables come before those of the schema, so every question about experiments is answered from them, by the very
statements that answer it otherwise. The live tables are read (events) or out of sight (units), never written.
"""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime

from django.db import connection, transaction

from analytics.stores.base import Period

_SHADOWED = (
    "exposure_phases",
    "first_exposures",
    "cohort_changes",
    "cohort_sizes",
    "cohort_pairs",
    "cohort_distributions",
    "cohort_segments",
)
_UNITS = """
INSERT INTO first_exposures (environment_id, experiment, phase, unit_id, variant, first_at)
SELECT %s, %s, %s, unit_id, 'control', first_at FROM unnest(%s::text[], %s::timestamptz[]) AS units (unit_id, first_at)
"""
_DEAL = """
UPDATE first_exposures SET variant = dealt.variant
FROM unnest(%s::text[], %s::text[]) AS dealt (unit_id, variant) WHERE dealt.unit_id = first_exposures.unit_id
"""


@contextmanager
def resplit_units(period: Period, units: Sequence[tuple[str, datetime]]) -> Iterator[None]:
    """Within it the period's experiment has these units, by unit and first exposure, and no other one has any.

    Use it inside a transaction: the tables go with it.
    """
    with transaction.atomic(), connection.cursor() as cursor:
        for table in _SHADOWED:
            cursor.execute(f"CREATE TEMPORARY TABLE {table} (LIKE {table} INCLUDING DEFAULTS) ON COMMIT DROP")
        cursor.execute(
            "INSERT INTO exposure_phases (environment_id, experiment, started_at, is_counted) "
            "VALUES (%s, %s, %s, false)",
            [period.environment_id, period.experiment, period.since],
        )
        names, moments = [unit for unit, _ in units], [first_at for _, first_at in units]
        cursor.execute(_UNITS, [period.environment_id, period.experiment, period.since, names, moments])
        cursor.execute("ANALYZE first_exposures")
        try:
            yield
        finally:
            if not connection.needs_rollback:
                cursor.execute(f"DROP TABLE {', '.join(f'pg_temp.{table}' for table in _SHADOWED)}")


def deal(variants: Iterable[tuple[str, str]]) -> None:
    """Give each unit, named with it, a variant."""
    dealt = list(variants)
    with connection.cursor() as cursor:
        cursor.execute(_DEAL, [[unit for unit, _ in dealt], [variant for _, variant in dealt]])
