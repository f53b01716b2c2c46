"""The rows that an analysis reads one by one on PostgreSQL: events, and what single exposures carried."""

import json
from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import UUID

from django.db import connection, transaction

from analytics.event_records import MAX_AHEAD
from analytics.stores.base import EventRow, Period
from analytics.stores.postgres.reads import DERIVED, parameters_of, source_of

_BEGINNING = datetime(1970, 1, 1, tzinfo=UTC)
_END = datetime(9000, 1, 1, tzinfo=UTC)
_ROWS_AT_A_TIME = 20_000

_SEEN = """
environment_id = %(environment_id)s AND experiment = %(experiment)s
AND occurred_at >= %(since)s AND occurred_at < %(until)s
"""
_ATTRIBUTE = f"""
SELECT DISTINCT ON (unit_id) unit_id, value::text FROM (
    SELECT unit_id, occurred_at, evaluation_id, jsonb_extract_path(attributes, %(name)s) AS value
    FROM exposures WHERE {_SEEN} AND NOT is_bot AND attributes IS NOT NULL
) AS carried
WHERE jsonb_typeof(value) IN ('string', 'number', 'boolean')
ORDER BY unit_id, occurred_at, evaluation_id
"""  # noqa: S608 - fixed text put together from fixed parts
# The primary key alone finds the rows, backwards. So the cost is bounded, however rarely this flag is evaluated.
_CARRIED = """
SELECT DISTINCT ON (unit_id) unit_id, attributes::text FROM (
    SELECT evaluation_id, environment_id, flag_key, unit_id, occurred_at, is_bot, attributes FROM exposures
    ORDER BY evaluation_id DESC LIMIT %(most)s
) AS latest
WHERE environment_id = %(environment_id)s AND flag_key = %(flag_key)s AND occurred_at >= %(since)s
  AND NOT is_bot AND attributes IS NOT NULL
ORDER BY unit_id, occurred_at DESC, evaluation_id DESC
"""
# Ids of exposures begin with their time, so the latest ones are at the index's end. The statement then picks those of
# the environment.
_LATEST_CARRIED = """
SELECT unit_id, attributes::text FROM (
    SELECT evaluation_id, environment_id, unit_id, attributes FROM exposures
    WHERE evaluation_id >= %(first)s ORDER BY evaluation_id DESC LIMIT %(most)s
) AS latest
WHERE environment_id = %(environment_id)s AND attributes IS NOT NULL ORDER BY evaluation_id DESC LIMIT %(limit)s
"""
_BOTS = f"""
SELECT (array_agg(variant ORDER BY occurred_at, variant))[1] AS variant, min(occurred_at) AS bot_at
FROM exposures WHERE {_SEEN} GROUP BY unit_id HAVING bool_and(is_bot)
"""  # noqa: S608 - likewise
# The same rows from the tables that the ingest maintains. An older release may have stored a unit's first exposure.
# Then its variant is missing, or is not that of `bot_at`, and the statement looks it up in the index by experiment and
# time.
_DERIVED_BOTS = """
SELECT bot_at, CASE WHEN bot_variant_at = bot_at THEN bot_variant ELSE (
    SELECT min(seen.variant) FROM exposures AS seen
    WHERE seen.environment_id = %(environment_id)s AND seen.experiment = %(experiment)s
      AND seen.occurred_at = known.bot_at AND seen.unit_id = known.unit_id AND seen.is_bot
) END AS variant
FROM first_exposures AS known
WHERE environment_id = %(environment_id)s AND experiment = %(experiment)s AND phase = %(phase)s
  AND bot_at < %(until)s AND (first_at < %(until)s) IS NOT TRUE
"""
# The variant of some units may be gone together with the raw events.
_BY_VARIANT = """
SELECT variant, count(*) FROM ({bots}) AS bots
WHERE variant IS NOT NULL AND (%(pauses)s::tstzmultirange IS NULL OR NOT bot_at <@ %(pauses)s::tstzmultirange)
GROUP BY variant ORDER BY variant
"""
_RECEIVED = (
    f"SELECT max(received_at) FROM exposures WHERE {_SEEN} AND received_at >= %(from)s AND received_at < %(deadline)s",  # noqa: S608 - likewise
    """
    SELECT max(received_at) FROM conversions
    WHERE environment_id = %(environment_id)s AND event_name = ANY (%(event_names)s)
      AND occurred_at >= %(since)s AND received_at >= %(from)s AND received_at < %(deadline)s
    """,
)
# The latest event nearly always came in the last hour or day. The indexes by arrival find it there without reading the
# rest.
_LOOK_BACK = [timedelta(hours=1), timedelta(days=1), timedelta(days=8), timedelta(days=64)]
# The largest value that every store's floats and sums hold.
_EVENTS = """
SELECT unit_id, occurred_at, received_at,
       CASE WHEN %(name)s = '' THEN value
            WHEN jsonb_typeof(jsonb_extract_path(properties, %(name)s)) = 'number' THEN
                CASE WHEN abs(jsonb_extract_path(properties, %(name)s)::numeric) <= 9e12
                     THEN jsonb_extract_path(properties, %(name)s)::float8 END
       END
FROM conversions
WHERE environment_id = %(environment_id)s AND event_name = %(event_name)s AND NOT is_bot
  AND occurred_at >= %(since)s AND occurred_at < %(until)s
ORDER BY event_id
"""
_FIRST_SEEN = """
SELECT unit_id, min(occurred_at) FROM exposures
WHERE environment_id = %(environment_id)s AND flag_key = %(flag_key)s AND NOT is_bot
  AND occurred_at >= %(since)s AND occurred_at < %(until)s
GROUP BY unit_id ORDER BY unit_id
"""
# Whoever saw two variants is in neither arm. By chance decided whom a rule's split, or the flag's own, gave a variant.
_ARMS = """
SELECT unit_id, min(variant), min(occurred_at) FROM exposures
WHERE environment_id = %(environment_id)s AND flag_key = %(flag_key)s AND NOT is_bot
  AND occurred_at >= %(since)s AND occurred_at < %(until)s
  AND CASE WHEN %(rule_id)s = '' THEN reason IN ('ROLLOUT', 'DEFAULT') ELSE rule_id = %(rule_id)s END
GROUP BY unit_id HAVING count(DISTINCT variant) = 1 ORDER BY unit_id
"""
_COUNT = """
SELECT count(*) FROM conversions
WHERE environment_id = %(environment_id)s AND event_name = %(event_name)s AND NOT is_bot AND occurred_at >= %(since)s
"""

_BY_ID = """
SELECT event_id, value, (extract(epoch FROM occurred_at) * 1000)::bigint, properties::text FROM conversions
WHERE event_id = ANY (%(ids)s) AND environment_id = %(environment_id)s
"""
# The events that the ingest counts for good.
_LAST_CONVERSIONS = """
SELECT event_name, max(day) FROM conversion_days
WHERE environment_id = %(environment_id)s AND event_name = ANY (%(event_names)s) AND events > 0 GROUP BY event_name
"""
# The columns follow the fields of `analytics.event_records`, then comes the flag. Instants are Unix milliseconds.
_RAW = {
    "exposures": """
    SELECT evaluation_id, environment_id, flag_key, unit_id, variant, reason, rule_id, experiment, config_version,
           (extract(epoch FROM occurred_at) * 1000)::bigint, (extract(epoch FROM received_at) * 1000)::bigint, source,
           user_agent, attributes::text, is_prefetched, is_bot
    FROM exposures
    WHERE environment_id = %(environment_id)s AND occurred_at >= %(since)s AND occurred_at < %(until)s
    """,
    "conversions": """
    SELECT event_id, environment_id, unit_id, event_name, value, (extract(epoch FROM occurred_at) * 1000)::bigint,
           (extract(epoch FROM received_at) * 1000)::bigint, properties::text, is_bot
    FROM conversions
    WHERE environment_id = %(environment_id)s AND occurred_at >= %(since)s AND occurred_at < %(until)s
    """,
}
_IN_RECEIVED = "received_at >= %(received_since)s AND received_at < %(received_until)s"
_RECEIVED_HOURS = f"""
SELECT environment_id, (extract(epoch FROM occurred_at) * 1000)::bigint / 3600000, count(*) FROM {{table}}
WHERE {_IN_RECEIVED} GROUP BY 1, 2 ORDER BY 1, 2
"""  # noqa: S608 - fixed text put together from fixed parts


class PostgresRows:
    """The part of the store whose answers grow with the users."""

    def events(
        self, environment_id: int, event_name: str, since: datetime, until: datetime | None, value_property: str
    ) -> Iterator[EventRow]:
        parameters = {"environment_id": environment_id, "event_name": event_name, "name": value_property}
        for row in _stream(_EVENTS, {**parameters, "since": since, "until": until or _END}):
            yield EventRow(*row)

    def conversions_by_id(
        self, environment_id: int, ids: Sequence[UUID]
    ) -> list[tuple[UUID, float | None, int, str | None]]:
        if not ids:
            return []
        with connection.cursor() as cursor:
            cursor.execute(_BY_ID, {"environment_id": environment_id, "ids": list(ids)})
            return list(cursor.fetchall())

    def last_conversions(self, environment_id: int, event_names: Sequence[str]) -> dict[str, date]:
        with connection.cursor() as cursor:
            cursor.execute(_LAST_CONVERSIONS, {"environment_id": environment_id, "event_names": list(event_names)})
            return dict(cursor.fetchall())

    def event_count(self, environment_id: int, event_name: str, since: datetime) -> int:
        parameters = {"environment_id": environment_id, "event_name": event_name, "since": since}
        ((events,),) = _stream(_COUNT, parameters)
        return int(events)

    def flag_units(
        self, environment_id: int, flag_key: str, since: datetime, until: datetime
    ) -> Iterator[tuple[str, datetime]]:
        parameters = {"environment_id": environment_id, "flag_key": flag_key, "since": since, "until": until}
        yield from _stream(_FIRST_SEEN, parameters)

    def flag_arms(
        self, environment_id: int, flag_key: str, since: datetime, until: datetime, rule_id: str
    ) -> Iterator[tuple[str, str, datetime]]:
        parameters = {"environment_id": environment_id, "flag_key": flag_key, "since": since, "until": until}
        yield from _stream(_ARMS, {**parameters, "rule_id": rule_id})

    def recent_attributes(
        self, environment_id: int, flag_key: str, since: datetime, most_exposures: int
    ) -> dict[str, dict[str, Any]]:
        parameters: dict[str, Any] = {"environment_id": environment_id, "flag_key": flag_key, "since": since}
        parameters["most"] = most_exposures
        with connection.cursor() as cursor:
            cursor.execute(_CARRIED, parameters)
            return {unit_id: json.loads(text) for unit_id, text in cursor.fetchall()}

    def latest_attributes(
        self, environment_id: int, since: datetime, most_exposures: int, limit: int
    ) -> list[tuple[str, dict[str, Any]]]:
        first = UUID(int=int(since.timestamp() * 1000) << 80)
        parameters: dict[str, Any] = {"environment_id": environment_id, "first": first}
        parameters |= {"most": most_exposures, "limit": limit}
        with connection.cursor() as cursor:
            cursor.execute(_LATEST_CARRIED, parameters)
            return [(unit_id, json.loads(text)) for unit_id, text in cursor.fetchall()]

    def attribute_values(self, period: Period, name: str) -> Iterator[tuple[str, Any]]:
        for unit_id, text in _stream(_ATTRIBUTE, {**_of(period), "name": name}):
            yield unit_id, json.loads(text)

    def bots_first_seen(self, period: Period) -> dict[str, int]:
        parameters = parameters_of(period)
        bots = _DERIVED_BOTS if source_of(parameters) is DERIVED else _BOTS
        with connection.cursor() as cursor:
            cursor.execute(_BY_VARIANT.format(bots=bots), parameters)
            return dict(cursor.fetchall())

    def raw_rows(
        self,
        table: str,
        environment_id: int,
        since: datetime | None,
        until: datetime | None,
        *,
        received: tuple[datetime, datetime] | None = None,
    ) -> Iterator[tuple[Any, ...]]:
        parameters = {"environment_id": environment_id, "since": since or _BEGINNING, "until": until or _END}
        if received is None:
            yield from _stream(_RAW[table], parameters)
        else:
            parameters |= {"received_since": received[0], "received_until": received[1]}
            yield from _stream(f"{_RAW[table]} AND {_IN_RECEIVED}", parameters)

    def received_hours(self, table: str, since: datetime, until: datetime) -> list[tuple[int, int, int]]:
        statement = _RECEIVED_HOURS.format(table=table)
        return [
            (environment_id, hour, count)
            for environment_id, hour, count in _stream(statement, {"received_since": since, "received_until": until})
        ]

    def last_received(self, period: Period, event_names: Sequence[str], deadline: datetime) -> datetime | None:
        parameters = {**_of(period), "event_names": list(event_names), "deadline": deadline}
        found, first = [], period.since - MAX_AHEAD
        for statement in _RECEIVED:
            for since in [*(deadline - length for length in _LOOK_BACK if deadline - length > first), first]:
                ((youngest,),) = _stream(statement, {**parameters, "from": since})
                if youngest is not None:
                    found.append(youngest)
                    break
        return max(found, default=None)


def _of(period: Period) -> dict[str, Any]:
    return {
        "environment_id": period.environment_id,
        "experiment": period.experiment,
        "since": period.since,
        "until": period.until or _END,
    }


def _stream(statement: str, parameters: dict[str, Any]) -> Iterator[tuple[Any, ...]]:
    """Read through a cursor of the server, so that memory does not grow with the answer."""
    with transaction.atomic(), connection.chunked_cursor() as cursor:
        cursor.execute(statement, parameters)
        while rows := cursor.fetchmany(_ROWS_AT_A_TIME):
            yield from rows
