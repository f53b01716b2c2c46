"""A month of usage in PostgreSQL: 10,000 flags with three variants each, asked for in every hour."""

from datetime import UTC, datetime, timedelta
from typing import Any

from django.db import connection

FLAGS, VARIANTS, DAYS = 10_000, ("control", "treatment", "other"), 31
_ROWS_AT_ONCE = 5_000
# Of the days before the last ones only so many hours come, since each of them is a change of every row.
_FOLDED_DAYS, _HOURS_BEFORE = 3, (0, 12)
_TABLES = ("flag_usage", "flag_usage_hours", "flag_usage_months", "usage_receipts", "usage_sources")


def lines() -> list[str]:
    """The section's lines; the servers are empty and migrated."""
    from analytics.usage import retention  # noqa: PLC0415 - after setup

    source = _source()
    start = datetime(2026, 3, 1, tzinfo=UTC)
    with connection.cursor() as cursor:
        cursor.execute("ALTER SYSTEM SET autovacuum = off")
        cursor.execute("SELECT pg_reload_conf()")
    for day in range(DAYS):
        morning = start + timedelta(days=day)
        for hour in range(24) if day >= DAYS - _FOLDED_DAYS else _HOURS_BEFORE:
            _fold_hour(source, morning + timedelta(hours=hour))
        retention.apply_retention(now=morning + timedelta(hours=23, minutes=50))
    rows, sizes = _measured()
    total = sum(sizes.values())
    listed = ", ".join(f"`{table}` {size / 1e6:.1f} MB" for table, size in sizes.items())
    return [
        f"{FLAGS:,} flags with {len(VARIANTS)} variants, each asked for on each of {DAYS} days, by one source: "
        f"in every hour of the last {_FOLDED_DAYS} days, and {len(_HOURS_BEFORE)} times a day before. All comes by "
        "`fold`, and each day ends with retention. Tables with their indexes and dead rows, while autovacuum is off. "
        "At most 50 MB is promised.",
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
