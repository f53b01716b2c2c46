"""Who asks for which flag, when it was asked for last, and how often by the hour."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

from django.db import connection
from django.db.models import QuerySet

from analytics.models import UnknownFlag
from analytics.usage.batches import Source

_LAST = """
SELECT DISTINCT ON (flag_key) flag_key, last_at, flag_usage.environment_id, kind, service, sdk FROM flag_usage
JOIN usage_sources ON usage_sources.id = source_id
WHERE flag_usage.environment_id = ANY(%s) AND flag_key = ANY(%s) ORDER BY flag_key, last_at DESC, source_id
"""
_BY_SOURCE = """
SELECT kind, service, sdk, max(last_at) FROM flag_usage JOIN usage_sources ON usage_sources.id = source_id
WHERE flag_usage.environment_id = %s AND flag_key = %s GROUP BY kind, service, sdk ORDER BY 4 DESC, 1, 2, 3
"""
# Days of a month are as many as it has; its array has 31 places.
_USAGE = """
SELECT began, length_hours, variant, reason, kind, service, sdk, evaluations FROM (
    SELECT usage_id, (day - 1 + make_interval(hours => place::int - 1)) AT TIME ZONE 'UTC' AS began, 1 AS length_hours,
           evaluations
    FROM flag_usage_hours, unnest(coalesce(large_hours, hours::bigint[])) WITH ORDINALITY AS each (evaluations, place)
    WHERE usage_id = ANY(%(ids)s) AND evaluations > 0
    UNION ALL
    SELECT usage_id, (month + make_interval(days => place::int - 1)) AT TIME ZONE 'UTC', 24, evaluations
    FROM flag_usage_months, unnest(days) WITH ORDINALITY AS each (evaluations, place)
    WHERE usage_id = ANY(%(ids)s) AND evaluations > 0
      AND month BETWEEN date_trunc('month', %(first)s::date) AND %(last)s
) AS found JOIN flag_usage ON flag_usage.id = usage_id JOIN usage_sources ON usage_sources.id = source_id
WHERE began < %(until)s AND began + make_interval(hours => length_hours) > %(since)s
ORDER BY began, variant, reason, kind, service, sdk
"""
_IDS = "SELECT id FROM flag_usage WHERE environment_id = %s AND flag_key = %s AND last_at >= %s"
_MINUTE = timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class LastUse:
    """When a flag was evaluated last, and by whom."""

    at: datetime
    source: Source


@dataclass(frozen=True, slots=True)
class UsageSpan:
    """Evaluations of one hour, or of one day where hours are kept no more."""

    since: datetime
    until: datetime
    variant: str
    reason: str
    source: Source
    evaluations: int


def last_uses(environment_ids: Sequence[int], flag_keys: Sequence[str]) -> dict[str, LastUse]:
    """The last evaluation of each of the flags that has one, in any of the environments."""
    if not flag_keys:
        return {}
    with connection.cursor() as cursor:
        cursor.execute(_LAST, [list(environment_ids), list(flag_keys)])
        return {key: LastUse(at, Source(*who)) for key, at, *who in cursor.fetchall()}


def uses_by_source(environment_id: int, flag_key: str) -> list[LastUse]:
    """The last evaluation by each source, the latest first."""
    with connection.cursor() as cursor:
        cursor.execute(_BY_SOURCE, [environment_id, flag_key])
        return [LastUse(at, Source(environment_id, *who)) for *who, at in cursor.fetchall()]


def usage(environment_id: int, flag_key: str, since: datetime, until: datetime) -> list[UsageSpan]:
    """The hours and days that reach into [since, until), in their order."""
    with connection.cursor() as cursor:
        cursor.execute(_IDS, [environment_id, flag_key, since - _MINUTE])
        ids = [pk for (pk,) in cursor.fetchall()]
        first, last = _day(since), _day(until)
        cursor.execute(_USAGE, {"ids": ids, "first": first, "last": last, "since": since, "until": until})
        return [
            UsageSpan(began, began + timedelta(hours=hours), variant, reason, Source(environment_id, *who), evaluations)
            for began, hours, variant, reason, *who, evaluations in cursor.fetchall()
        ]


def unknown_flags(environment_id: int) -> QuerySet[UnknownFlag]:
    """The keys that were asked for and that no flag had then, the latest first."""
    found = UnknownFlag.objects.filter(environment_id=environment_id).select_related("source")
    return found.order_by("-last_at", "flag_key", "source_id")


def _day(moment: datetime) -> date:
    return moment.astimezone(UTC).date()
