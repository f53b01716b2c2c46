"""A tenant at size, written straight into the tables: flags in twenty environments, events, roll-ups and usage."""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

from benchmarks.many_flags import add_flags

DAYS, ENVIRONMENTS = 14, 20
# Half of the flags have not changed for long, and so may be stale.
_LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)
# One unit in a hundred is a bot; times are spread over the fortnight.
_EXPOSURES = """
INSERT INTO exposures (
    evaluation_id, environment_id, flag_key, unit_id, variant, reason, experiment, config_version,
    occurred_at, received_at, source, is_bot
)
SELECT uuidv7(moment - now()), %(environment)s, 'new-checkout', 'user-' || unit,
       CASE WHEN unit %% 2 = 0 THEN 'control' ELSE 'treatment' END,
       'SPLIT', %(experiment)s, 1, moment, moment, 'bench', unit %% 100 = 3
FROM (
    SELECT number, number %% %(units)s AS unit,
           %(start)s + (hashint8(number) & 2147483647) / 2147483647.0 * interval '14 days' AS moment
    FROM generate_series(%(first)s::bigint, %(last)s::bigint) AS number
) AS events ORDER BY moment
"""
_CONVERSIONS = """
INSERT INTO conversions (event_id, environment_id, unit_id, event_name, value, occurred_at, received_at, is_bot)
SELECT uuidv7(moment - now()), %(environment)s, 'user-' || unit, 'purchase', 10, moment, moment, unit %% 100 = 3
FROM (
    SELECT number, (hashint8(number * 31) & 2147483647) %% %(units)s AS unit,
           %(start)s + (hashint8(number + 1) & 2147483647) / 2147483647.0 * interval '14 days' AS moment
    FROM generate_series(1, %(conversions)s::bigint) AS number
) AS events ORDER BY moment
"""
_HOURS = """
INSERT INTO flag_exposure_hours (environment_id, flag_key, hour, variant, reason, exposures, bots)
SELECT environment_id, flag_key, date_trunc('hour', occurred_at, 'UTC') AS hour, variant, reason,
       count(*) FILTER (WHERE NOT is_bot), count(*) FILTER (WHERE is_bot)
FROM exposures GROUP BY environment_id, flag_key, hour, variant, reason
ON CONFLICT (environment_id, flag_key, hour, variant, reason) DO UPDATE SET exposures = excluded.exposures
"""
# The other flags: a third of them was exposed yesterday and today, and another third is asked for by two services.
_OTHER_HOURS = """
INSERT INTO flag_exposure_hours (environment_id, flag_key, hour, variant, reason, exposures, bots)
SELECT config.environment_id, flag.key, date_trunc('hour', now(), 'UTC') - ago * interval '1 hour', 'treatment',
       'SPLIT', 100, 1
FROM flags_flagconfig AS config JOIN flags_flag AS flag ON flag.id = config.flag_id, generate_series(1, 25, 8) AS ago
WHERE flag.id %% 3 = 0 ON CONFLICT DO NOTHING
"""
_SOURCES = """
INSERT INTO usage_sources (environment_id, kind, service, sdk)
SELECT environment.id, 'sdk', service, 'python/0.1.0'
FROM tenancy_environment AS environment, unnest(ARRAY['shop', 'till']) AS service
"""
_USAGE = """
INSERT INTO flag_usage (environment_id, flag_key, source_id, variant, reason, last_at)
SELECT config.environment_id, flag.key, source.id, 'treatment', 'SPLIT', now() - flag.id %% 60 * interval '1 day'
FROM flags_flagconfig AS config JOIN flags_flag AS flag ON flag.id = config.flag_id
JOIN usage_sources AS source ON source.environment_id = config.environment_id
WHERE flag.id %% 3 = 1 ON CONFLICT DO NOTHING
"""


def add_environments(project: Any) -> None:
    """Twenty in all."""
    from audit.actors import system  # noqa: PLC0415 - after setup
    from tenancy import services  # noqa: PLC0415 - likewise

    for number in range(project.environments.count(), ENVIRONMENTS):
        services.create_environment(
            actor=system("benchmark"), project=project, key=f"place-{number}", name=f"Place {number}"
        )


def add_many_flags(project: Any, numbers: range) -> None:
    """Flags like those a shop has, each with a rule in each environment, without a log of their own."""
    from django.db import connection  # noqa: PLC0415 - after setup

    from flags.models import Flag, FlagConfig, Rule  # noqa: PLC0415 - likewise

    first, *others = project.environments.order_by("pk")
    flags, configs = add_flags(project, [first], numbers)
    condition = {"attribute": "plan", "operator": "in", "value": ["pro", "team"]}
    # A third has no rule, and so one variant for everybody where its split is whole.
    with_rule = [config for number, config in enumerate(configs) if number % 3]
    Rule.objects.bulk_create(
        Rule(config=config, priority=10, variant="treatment", conditions=[condition]) for config in with_rule
    )
    pks = [flag.pk for flag in flags]
    Flag.objects.filter(pk__in=pks[::2]).update(updated_at=_LONG_AGO, created_at=_LONG_AGO)
    FlagConfig.objects.filter(flag__in=pks[::2]).update(updated_at=_LONG_AGO)
    Flag.objects.filter(pk__in=pks[::6]).update(kind="release", owner="olga", team="checkout")
    FlagConfig.objects.filter(flag__in=pks[::12]).update(allocation=[[0, 10_000, "treatment"]])
    with connection.cursor() as cursor:
        for environment in others:
            cursor.execute(
                f"INSERT INTO flags_flagconfig (environment_id, {_columns(FlagConfig, 'environment_id')}) "
                f"SELECT %s, {_columns(FlagConfig, 'environment_id')} FROM flags_flagconfig "
                "WHERE environment_id = %s AND flag_id = ANY(%s)",
                [environment.pk, first.pk, pks],
            )
        cursor.execute(
            f"INSERT INTO flags_rule (id, config_id, {_columns(Rule, 'config_id')}) "
            f"SELECT gen_random_uuid(), copy.id, {_columns(Rule, 'config_id', of='rule')} "
            "FROM flags_rule AS rule JOIN flags_flagconfig AS config ON config.id = rule.config_id "
            "JOIN flags_flagconfig AS copy ON copy.flag_id = config.flag_id AND copy.environment_id <> %s "
            "WHERE config.environment_id = %s AND config.flag_id = ANY(%s)",
            [first.pk, first.pk, pks],
        )
        # As autovacuum would, within a minute of so many rows.
        cursor.execute("ANALYZE")


def _columns(model: Any, *without: str, of: str = "") -> str:
    names: Iterable[str] = (field.column for field in model._meta.local_concrete_fields if not field.primary_key)  # noqa: SLF001 - Django's own
    return ", ".join(f"{of}.{name}" if of else name for name in names if name not in without)


def add_events(experiment: Any, start: datetime, *, events: int, units: int) -> None:
    """Four exposures to each conversion, in partitions and roll-ups as the ingest leaves them; usage of other flags."""
    from django.db import connection  # noqa: PLC0415 - after setup

    from analytics.services import aggregate_flags, open_phase  # noqa: PLC0415 - likewise

    exposures = events * 4 // 5
    values = {
        "start": start, "units": units, "conversions": events - exposures,
        "environment": experiment.environment_id, "experiment": experiment.key,
    }  # fmt: skip
    step = 1_000_000
    with connection.cursor() as cursor:
        cursor.execute("SET work_mem = '512MB'")
        for begin in range(1, exposures + 1, step):
            cursor.execute(_EXPOSURES, {**values, "first": begin, "last": min(begin + step - 1, exposures)})
            print(f"{min(begin + step - 1, exposures):,} exposures", flush=True)
        cursor.execute(_CONVERSIONS, values)
        for statement in (_HOURS, _OTHER_HOURS, _SOURCES, _USAGE):
            cursor.execute(statement, {})
        cursor.execute("RESET work_mem")
        # The phase was opened over few events, and asking again would change nothing: these came past the ingest.
        for table in ("exposure_phases", "first_exposures", "cohort_changes", "cohort_sizes"):
            cursor.execute(f"DELETE FROM {table} WHERE experiment = %s", [experiment.key])
        # An installation whose usage has been counted for years.
        cursor.execute("UPDATE django_migrations SET applied = %s WHERE app = 'analytics'", [_LONG_AGO])
    open_phase(environment_id=experiment.environment_id, experiment=experiment.key, started_at=start)
    with connection.cursor() as cursor:
        # In the order they came in, as the ingest leaves them: the index by time is about places in the table.
        cursor.execute("CREATE TEMPORARY TABLE arrived AS TABLE first_exposures")
        cursor.execute("TRUNCATE first_exposures")
        cursor.execute("INSERT INTO first_exposures SELECT * FROM arrived ORDER BY least(first_at, bot_at)")
        cursor.execute("VACUUM ANALYZE")
        cursor.execute("SELECT count(*) FROM first_exposures WHERE unit_id LIKE 'user-%%'")
        (found,) = cursor.fetchone()
    if found != units:
        raise RuntimeError(f"The experiment has {found} units; {units} were exposed to it.")
    aggregate_flags(days=DAYS + 1)


def make_partitions(start: datetime) -> None:
    """For each week of the events."""
    from analytics.stores.postgres import partitions  # noqa: PLC0415 - after setup

    first, last = (
        partitions.Week.of_ms(int(at.timestamp() * 1000)).number for at in (start, start + timedelta(days=DAYS + 7))
    )
    for table in partitions.TABLES:
        for number in range(first, last + 1):
            partitions.create(table, partitions.Week(number))


def store_nightly(experiment: Any) -> None:
    """What the clock has done by the second day: last night's results, and the sums they were worked out from."""
    from experiments.jobs import runs  # noqa: PLC0415 - after setup

    outcome = runs.store_nightly(experiment.pk)
    if not outcome.startswith("stored"):
        raise RuntimeError(f"The nightly job says: {outcome}")
