"""A month of usage in PostgreSQL: 10,000 flags with three variants each, asked for in every hour."""

from datetime import UTC, datetime, timedelta
from typing import Any

from django.db import connection

FLAGS, VARIANTS, DAYS = 10_000, ("control", "treatment", "other"), 31
# Days whose every hour goes through `fold`, as processes send them; the days before are written as they then were.
_FOLDED_DAYS, _ROWS_AT_ONCE = 3, 5_000
_TABLES = ("flag_usage", "flag_usage_days", "flag_usage_months", "usage_receipts", "usage_sources")
_ONE_DAY = """
INSERT INTO flag_usage_days (usage_id, day, hours)
SELECT id, %s::date, ARRAY(SELECT (random() * 100000)::bigint FROM generate_series(1, 24) WHERE id IS NOT NULL)
FROM flag_usage ORDER BY id
"""


def lines() -> list[str]:
    """The section's lines; the servers are empty and migrated."""
    from analytics.usage import retention  # noqa: PLC0415 - after setup

    source = _source()
    start = datetime(2026, 3, 1, tzinfo=UTC)
    _fold_hour(source, start)
    for day in range(DAYS):
        morning = start + timedelta(days=day)
        if day >= DAYS - _FOLDED_DAYS:
            for hour in range(24):
                _fold_hour(source, morning + timedelta(hours=hour))
        elif day:
            with connection.cursor() as cursor:
                cursor.execute(_ONE_DAY, [morning.date()])
        retention.apply_retention(now=morning + timedelta(hours=23, minutes=50))
    rows, sizes = _measured()
    total = sum(sizes.values())
    listed = ", ".join(f"`{table}` {size / 1e6:.1f} MB" for table, size in sizes.items())
    return [
        f"{FLAGS:,} flags with {len(VARIANTS)} variants, each asked for in every hour of {DAYS} days, by one source. "
        f"The last {_FOLDED_DAYS} days come hour by hour through `fold`, and each day ends with the folding of old "
        "hours. Tables with their indexes, dead rows included. At most 50 MB is promised.",
        "",
        f"**{total / 1e6:.1f} MB** for {rows:,} rows of usage: {listed}.",
    ]


def _source() -> Any:
    from analytics.usage.batches import SDK, Source  # noqa: PLC0415 - after setup
    from audit.actors import system  # noqa: PLC0415 - likewise
    from tenancy import services  # noqa: PLC0415 - likewise

    actor = system("benchmark")
    organization = services.create_organization(actor=actor, slug="acme", name="Acme")
    project = services.create_project(actor=actor, organization=organization, key="web", name="Web")
    environment = services.create_environment(actor=actor, project=project, key="production", name="Production")
    return Source(environment.pk, SDK, "checkout-service", "python/0.1.0")


def _fold_hour(source: Any, at: datetime) -> None:
    from analytics.usage.batches import Counted, UsageBatch  # noqa: PLC0415 - after setup
    from analytics.usage.folding import fold  # noqa: PLC0415 - likewise

    keys = [(f"checkout-step-{number:05d}", variant) for number in range(FLAGS) for variant in VARIANTS]
    for first in range(0, len(keys), _ROWS_AT_ONCE):
        part = keys[first : first + _ROWS_AT_ONCE]
        counted = {Counted(source, key, variant, "TARGETING_MATCH"): 1_234 for key, variant in part}
        fold(UsageBatch(f"{at.isoformat()} {first}", at, counted, environment_id=source.environment_id))


def _measured() -> tuple[int, dict[str, int]]:
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM flag_usage")
        (rows,) = cursor.fetchone()
        sizes = {}
        for table in _TABLES:
            cursor.execute("SELECT pg_total_relation_size(%s)", [table])
            (sizes[table],) = cursor.fetchone()
    return rows, sizes
