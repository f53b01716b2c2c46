"""Who saw a flag, on PostgreSQL: whole UTC days exactly, other windows by sketches of their hours."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from analytics.stores.base import FlagExposures
from analytics.stores.postgres.reads import NO_END, selected
from analytics.stores.postgres.rollups.flag_aggregation import aggregate_days
from analytics.stores.postgres.rollups.flag_days import count_days, count_one_by_one, rows_of, whole_days
from analytics.stores.postgres.rollups.flag_sketches import HOUR, estimate_users, full_hour, renew_sketches
from analytics.stores.postgres.unit_states import FIRST_PHASE

_DAY = timedelta(days=1)
# This many of the installation's latest exposures tell which units were seen since the last aggregated day.
_MOST_EXPOSURES = 300_000
# Ids of exposures begin with their time, so the latest ones are at an index's end. For days that are over, the
# aggregated days tell each unit's last one. A unit has a row for each variant that it saw.
_RECENT = """
SELECT unit_id, (array_agg(variant ORDER BY last_hour DESC, variant))[1] FROM (
    SELECT unit_id, variant, max(date_bin('1 hour', occurred_at, 'epoch')) AS last_hour FROM (
        SELECT environment_id, flag_key, unit_id, variant, occurred_at, is_bot FROM exposures
        WHERE evaluation_id >= %(first)s ORDER BY evaluation_id DESC LIMIT %(most)s
    ) AS latest
    WHERE environment_id = %(environment_id)s AND flag_key = %(flag_key)s AND NOT is_bot AND occurred_at >= %(since)s
    GROUP BY unit_id, variant
    UNION ALL
    (SELECT unit_id, variant, days[cardinality(days)]::timestamp AT TIME ZONE 'UTC' AS last_hour FROM flag_unit_days
     WHERE environment_id = %(environment_id)s AND flag_key = %(flag_key)s
       AND days[cardinality(days)] >= %(first_day)s
     ORDER BY last_hour DESC, unit_id, variant LIMIT 3 * %(limit)s)
) AS seen GROUP BY unit_id ORDER BY max(last_hour) DESC, unit_id LIMIT %(limit)s
"""
# The statement looks into the index once for each flag and environment, however many hours each has.
_LAST = """
SELECT DISTINCT ON (wanted.flag_key) wanted.flag_key, place.environment_id, last.hour
FROM unnest(%(flag_keys)s::text[]) AS wanted (flag_key),
unnest(%(environment_ids)s::bigint[]) WITH ORDINALITY AS place (environment_id, number),
LATERAL (SELECT max(hour) AS hour FROM flag_exposure_hours AS known
         WHERE known.environment_id = place.environment_id AND known.flag_key = wanted.flag_key) AS last
WHERE last.hour IS NOT NULL ORDER BY wanted.flag_key, last.hour DESC, place.number
"""


# The hours in which it was exposed: other flags may have most of a window's events.
_EXPOSED = """
SELECT min(hour), max(hour) + interval '1 hour' FROM flag_exposure_hours
WHERE environment_id = %(environment_id)s AND flag_key = %(flag_key)s
  AND hour >= %(first_hour)s AND hour < %(until)s
"""
# The users are few beside the events, so their first exposures are found once.
_CONVERTED = """
WITH seen AS MATERIALIZED (
    SELECT unit_id, min(occurred_at) AS first_at FROM exposures
    WHERE environment_id = %(environment_id)s AND flag_key = %(flag_key)s AND NOT is_bot
      AND occurred_at >= greatest(%(since)s, %(first)s) AND occurred_at < least(%(until)s, %(last)s)
    GROUP BY unit_id
)
SELECT (SELECT count(*) FROM seen), count(DISTINCT seen.unit_id)
FROM seen JOIN conversions AS event ON event.unit_id = seen.unit_id
 AND event.occurred_at >= seen.first_at AND event.occurred_at < seen.first_at + %(window)s
WHERE event.environment_id = %(environment_id)s AND event.event_name = %(event_name)s AND NOT event.is_bot
  AND event.occurred_at >= %(since)s AND event.occurred_at < %(until)s
"""
# Flag by flag, since hours stand in the index behind the flag.
_VARIANTS_SEEN = """
WITH RECURSIVE named AS (
    SELECT min(flag_key) AS flag_key FROM flag_exposure_hours WHERE environment_id = %(environment_id)s
    UNION ALL
    SELECT (SELECT min(flag_key) FROM flag_exposure_hours
            WHERE environment_id = %(environment_id)s AND flag_key > named.flag_key)
    FROM named WHERE named.flag_key IS NOT NULL
)
SELECT named.flag_key, hours.variant, sum(hours.exposures)::bigint
FROM named CROSS JOIN LATERAL (
    SELECT variant, exposures FROM flag_exposure_hours AS known
    WHERE known.environment_id = %(environment_id)s AND known.flag_key = named.flag_key AND known.hour >= %(since)s
    OFFSET 0
) AS hours
GROUP BY named.flag_key, hours.variant ORDER BY named.flag_key, hours.variant
"""


def _hours_of(about: Mapping[str, Any]) -> dict[str, datetime] | None:
    """When its first exposed hour of the window begins and its last one ends; None where it has none."""
    ((first, last),) = selected(_EXPOSED, {**about, "first_hour": full_hour(about["since"])})
    return None if first is None else {"first": first, "last": last}


class PostgresFlags:
    """The part of the store that answers about flags."""

    def converted_units(
        self,
        environment_id: int,
        flag_key: str,
        since: datetime,
        until: datetime,
        *,
        event_name: str,
        window: timedelta,
    ) -> tuple[int, int]:
        about = {"environment_id": environment_id, "flag_key": flag_key, "since": since, "until": until}
        hours = _hours_of(about)
        if hours is None:
            return 0, 0
        ((users, converted),) = selected(_CONVERTED, {**about, **hours, "event_name": event_name, "window": window})
        return users, converted

    def variants_seen(self, environment_id: int, since: datetime) -> list[tuple[str, str, int]]:
        found = selected(_VARIANTS_SEEN, {"environment_id": environment_id, "since": full_hour(since)})
        return [(flag_key, variant, exposures) for flag_key, variant, exposures in found]

    def flag_exposures(
        self, environment_id: int, flag_key: str, since: datetime | None, until: datetime | None
    ) -> dict[str, FlagExposures]:
        start = since or FIRST_PHASE
        # The window has no full hour, or consists of whole days.
        is_short = until is not None and full_hour(start + HOUR - timedelta.resolution) >= full_hour(until)
        if until is None or not (is_short or whole_days(start, until)):
            found = estimate_users(environment_id, flag_key, start, until)
            if found is not None:
                return found
        return self.exact_flag_exposures(environment_id, flag_key, start, until or NO_END)

    def exact_flag_exposures(
        self, environment_id: int, flag_key: str, since: datetime, until: datetime
    ) -> dict[str, FlagExposures]:
        days = whole_days(since, until)
        found = count_days(environment_id, flag_key, *days) if days else None
        return count_one_by_one(environment_id, flag_key, since, until) if found is None else found

    def aggregate_flags(self, since: datetime | None = None, until: datetime | None = None) -> int:
        """Aggregate each flag's days that are over, and renew sketches that are gone; return the number of days."""
        renew_sketches(since, until)
        return aggregate_days(since, until)

    def recent_units(self, environment_id: int, flag_key: str, since: datetime, limit: int) -> list[tuple[str, str]]:
        start = since.astimezone(UTC)
        place = {"environment_id": environment_id, "flag_key": flag_key}
        if _hours_of({**place, "since": start, "until": NO_END}) is None:
            return []
        parameters: dict[str, Any] = {
            **place,
            "since": start,
            # Of a day that `since` cuts, only the day is known.
            "first_day": (start + _DAY - timedelta.resolution).date(),
            "first": UUID(int=max(int((start - _DAY).timestamp() * 1000), 0) << 80),
            "most": _MOST_EXPOSURES,
            "limit": limit,
        }
        return [(unit_id, variant) for unit_id, variant in rows_of(_RECENT, parameters)]

    def last_exposures(
        self, environment_ids: Sequence[int], flag_keys: Sequence[str]
    ) -> dict[str, tuple[datetime, int]]:
        rows = rows_of(_LAST, {"environment_ids": list(environment_ids), "flag_keys": list(flag_keys)})
        return {flag_key: (hour, environment_id) for flag_key, environment_id, hour in rows}
