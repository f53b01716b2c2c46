"""Analyse the event tables, and what is derived of each unit, after a number of rows rather than a share of the table.

A share of a large table is a day's events or more. Until it is reached, the planner takes a name that is new for rare,
and a result joins it row by row. The setting is the table's own, is read by autovacuum alone, and moves no row.
"""

from django.db import migrations

_TABLES = """
SELECT oid::regclass AS name FROM pg_class
WHERE relkind = 'r' AND relnamespace = current_schema()::regnamespace AND (
    relname IN ('first_exposures', 'flag_unit_days', 'unit_segments', 'cohort_pairs', 'conversion_days')
    OR oid IN (SELECT inhrelid FROM pg_inherits WHERE inhparent IN ('exposures'::regclass, 'conversions'::regclass))
)
"""
_SET = "ALTER TABLE %s SET (autovacuum_analyze_scale_factor = 0, autovacuum_analyze_threshold = 50000)"
_RESET = "ALTER TABLE %s RESET (autovacuum_analyze_scale_factor, autovacuum_analyze_threshold)"


def _each(statement: str) -> str:
    return (
        f"DO $$ DECLARE each record; BEGIN FOR each IN {_TABLES} LOOP "
        f"EXECUTE format('{statement}', each.name); END LOOP; END $$"
    )


class Migration(migrations.Migration):
    dependencies = [("analytics", "0020_drop_cohort_sums")]
    # SHARE UPDATE EXCLUSIVE on each: reads and writes go on; only another ALTER, VACUUM or ANALYZE of it waits.
    operations = [migrations.RunSQL(_each(_SET), _each(_RESET))]
