"""Exposures and conversions by the million, made by PostgreSQL itself, with what the ingest would have kept up."""

import time
from datetime import UTC, datetime, timedelta

DAYS = 14
# Whole days, the last of which ended a week ago: every metric window is over.
END = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0) - timedelta(days=8)
START = END - timedelta(days=DAYS)

# One unit in a hundred is a bot, one in two hundred sees both variants, one in ten carries no country; units come on
# all days of the fortnight, and come back until its end.
_EXPOSURES = """
INSERT INTO exposures (
    evaluation_id, environment_id, flag_key, unit_id, variant, reason, experiment, config_version,
    occurred_at, received_at, source, is_bot, attributes
)
SELECT uuidv7(moment - now()), %(environment_id)s, 'new-checkout', 'user-' || unit,
       CASE WHEN (unit %% 2 = 0) <> (unit %% 200 = 7 AND number %% 3 = 1) THEN 'control' ELSE 'treatment' END,
       'SPLIT', 'checkout-test', 1, moment, moment, 'bench', unit %% 100 = 3,
       CASE WHEN unit %% 10 <> 7 THEN jsonb_build_object('country', 'C' || unit %% 27) END
FROM (
    SELECT number, unit, %(start)s + (came + (1 - came) * share) * interval '14 days' AS moment
    FROM generate_series(%(first)s::bigint, %(last)s::bigint) AS number,
         LATERAL (SELECT number %% %(units)s AS unit) AS units,
         LATERAL (SELECT (hashint8(unit * 17 + 3) & 2147483647) / 2147483648.0::float8 AS came,
                         (hashint8(number) & 2147483647) / 2147483648.0::float8 AS share) AS shares
) AS events ORDER BY moment
"""
_CONVERSIONS = """
INSERT INTO conversions (event_id, environment_id, unit_id, event_name, value, occurred_at, received_at, is_bot)
SELECT uuidv7(moment - now()), %(environment_id)s, 'user-' || unit, 'purchase', (hashint8(number + 7) & 65535) / 100.0,
       moment, moment, unit %% 100 = 3
FROM (
    SELECT number, (hashint8(number * 31) & 2147483647) %% %(units)s AS unit,
           %(start)s + (hashint8(number + 1) & 2147483647) / 2147483647.0 * interval '21 days' AS moment
    FROM generate_series(1, %(conversions)s::bigint) AS number
) AS events ORDER BY moment
"""
_HOURS = """
INSERT INTO flag_exposure_hours (environment_id, flag_key, hour, variant, reason, exposures, bots)
SELECT environment_id, flag_key, date_trunc('hour', occurred_at, 'UTC') AS hour, variant, reason,
       count(*) FILTER (WHERE NOT is_bot), count(*) FILTER (WHERE is_bot)
FROM exposures GROUP BY environment_id, flag_key, hour, variant, reason
"""


def fill(*, exposures: int, units: int, conversions: int, environment_id: int = 1) -> None:
    from django.db import connection  # noqa: PLC0415 - after setup

    from analytics.services import open_phase  # noqa: PLC0415 - likewise
    from analytics.stores.postgres import partitions  # noqa: PLC0415 - likewise
    from analytics.stores.postgres.partitions import Week  # noqa: PLC0415 - likewise

    first, last = (Week.of_ms(int(moment.timestamp() * 1000)).number for moment in (START, END + timedelta(days=7)))
    for table in partitions.TABLES:
        for number in range(first, last + 1):
            partitions.create(table, Week(number))
    values = {"start": START, "environment_id": environment_id, "units": units, "conversions": conversions}
    step = 1_000_000
    with connection.cursor() as cursor:
        cursor.execute("SET work_mem = '512MB'")
        for begin in range(1, exposures + 1, step):
            cursor.execute(_EXPOSURES, {**values, "first": begin, "last": min(begin + step - 1, exposures)})
            print(f"{begin + step - 1:,} exposures", flush=True)
        cursor.execute(_CONVERSIONS, values)
        cursor.execute(_HOURS)
    started = time.perf_counter()
    open_phase(environment_id=environment_id, experiment="checkout-test", started_at=START)
    print(f"first exposures filled in {time.perf_counter() - started:.1f} s", flush=True)
    with connection.cursor() as cursor:
        cursor.execute("VACUUM ANALYZE")
