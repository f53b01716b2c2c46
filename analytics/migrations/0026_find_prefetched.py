"""Count an experiment's prefetched exposures without reading the others."""

from typing import Any

from django.db import migrations

# A partition that the ingest makes meanwhile has its part already.
PARTITIONS = """
SELECT part.inhrelid::regclass::text FROM pg_inherits AS part
WHERE part.inhparent = 'exposures'::regclass AND NOT EXISTS (
    SELECT FROM pg_index JOIN pg_inherits AS attached ON attached.inhrelid = indexrelid
    WHERE indrelid = part.inhrelid AND attached.inhparent = 'exposures_prefetched'::regclass
)
ORDER BY 1
"""
INDEX = "(environment_id, experiment, occurred_at) WHERE is_prefetched AND NOT is_bot"


def build(_apps: Any, editor: Any) -> None:
    """One partition at a time, while the ingest goes on; the whole is there once every part is attached."""
    with editor.connection.cursor() as cursor:
        cursor.execute(f"CREATE INDEX IF NOT EXISTS exposures_prefetched ON ONLY exposures {INDEX}")
        cursor.execute(PARTITIONS)
        for (partition,) in cursor.fetchall():
            name = f"{partition}_prefetched"
            # A build that broke off leaves an index that is never used.
            cursor.execute(f"DROP INDEX CONCURRENTLY IF EXISTS {name}")
            cursor.execute(f"CREATE INDEX CONCURRENTLY {name} ON {partition} {INDEX}")
            cursor.execute(f"ALTER INDEX exposures_prefetched ATTACH PARTITION {name}")


def drop(_apps: Any, editor: Any) -> None:
    with editor.connection.cursor() as cursor:
        cursor.execute("DROP INDEX exposures_prefetched")


class Migration(migrations.Migration):
    atomic = False
    dependencies = [("analytics", "0025_mark_prefetched_exposures")]
    operations = [migrations.RunPython(build, drop)]
