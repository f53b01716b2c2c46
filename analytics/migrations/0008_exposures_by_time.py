"""Find the exposures of an hour without reading weeks: rows lie nearly in the order in which they happened."""

from typing import Any

from django.db import migrations

# A partition that the ingest makes meanwhile has its part already.
PARTITIONS = """
SELECT part.inhrelid::regclass::text FROM pg_inherits AS part
WHERE part.inhparent = 'exposures'::regclass AND NOT EXISTS (
    SELECT FROM pg_index JOIN pg_inherits AS attached ON attached.inhrelid = indexrelid
    WHERE indrelid = part.inhrelid AND attached.inhparent = 'exposures_by_time'::regclass
)
ORDER BY 1
"""


def build(_apps: Any, editor: Any) -> None:
    """One partition at a time, while the ingest goes on; the whole is there once every part is attached."""
    with editor.connection.cursor() as cursor:
        cursor.execute(
            "CREATE INDEX IF NOT EXISTS exposures_by_time ON ONLY exposures USING brin (occurred_at) "
            "WITH (pages_per_range = 32, autosummarize = on)"
        )
        cursor.execute(PARTITIONS)
        for (partition,) in cursor.fetchall():
            cursor.execute(
                f"CREATE INDEX CONCURRENTLY IF NOT EXISTS {partition}_by_time ON {partition} USING brin (occurred_at) "
                "WITH (pages_per_range = 32, autosummarize = on)"
            )
            cursor.execute(f"ALTER INDEX exposures_by_time ATTACH PARTITION {partition}_by_time")


def drop(_apps: Any, editor: Any) -> None:
    with editor.connection.cursor() as cursor:
        cursor.execute("DROP INDEX exposures_by_time")


class Migration(migrations.Migration):
    atomic = False
    dependencies = [("analytics", "0007_cohort_sums")]
    operations = [migrations.RunPython(build, drop)]
