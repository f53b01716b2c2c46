"""What an analysis reads row by row on PostgreSQL: events one by one, and what single exposures carried."""

import json
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

from django.db import connection, transaction

from analytics.stores.base import EventRow, Period

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
# The primary key alone finds them, backwards: bounded, however rarely this flag is asked.
_CARRIED = """
SELECT DISTINCT ON (unit_id) unit_id, attributes::text FROM (
    SELECT evaluation_id, environment_id, flag_key, unit_id, occurred_at, is_bot, attributes FROM exposures
    ORDER BY evaluation_id DESC LIMIT %(most)s
) AS latest
WHERE environment_id = %(environment_id)s AND flag_key = %(flag_key)s AND occurred_at >= %(since)s
  AND NOT is_bot AND attributes IS NOT NULL
ORDER BY unit_id, occurred_at DESC, evaluation_id DESC
"""
_BOTS = f"""
SELECT (array_agg(variant ORDER BY occurred_at, variant))[1], min(occurred_at)
FROM exposures WHERE {_SEEN} GROUP BY unit_id HAVING bool_and(is_bot)
"""  # noqa: S608 - likewise
_RECEIVED = f"""
SELECT greatest(
    (SELECT max(received_at) FROM exposures WHERE {_SEEN} AND received_at < %(deadline)s),
    (SELECT max(received_at) FROM conversions
     WHERE environment_id = %(environment_id)s AND event_name = ANY (%(event_names)s)
       AND occurred_at >= %(since)s AND received_at < %(deadline)s)
)
"""  # noqa: S608 - likewise
# As large as a value may be, which every store's floats and sums hold.
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
_COUNTS = """
SELECT count(*), count(DISTINCT unit_id) FROM conversions
WHERE environment_id = %(environment_id)s AND event_name = %(event_name)s AND NOT is_bot AND occurred_at >= %(since)s
"""

# In the order of the fields of `analytics.events`, then the flag; instants as Unix milliseconds.
_RAW = {
    "exposures": """
    SELECT evaluation_id, environment_id, flag_key, unit_id, variant, reason, rule_id, experiment, config_version,
           (extract(epoch FROM occurred_at) * 1000)::bigint, (extract(epoch FROM received_at) * 1000)::bigint, source,
           user_agent, attributes::text, is_bot
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


class PostgresRows:
    """The part of the store whose answers grow with the users."""

    def events(
        self, environment_id: int, event_name: str, since: datetime, until: datetime | None, value_property: str
    ) -> Iterator[EventRow]:
        parameters = {"environment_id": environment_id, "event_name": event_name, "name": value_property}
        for row in _stream(_EVENTS, {**parameters, "since": since, "until": until or _END}):
            yield EventRow(*row)

    def event_counts(self, environment_id: int, event_name: str, since: datetime) -> tuple[int, int]:
        parameters = {"environment_id": environment_id, "event_name": event_name, "since": since}
        ((events, units),) = _stream(_COUNTS, parameters)
        return events, units

    def flag_units(
        self, environment_id: int, flag_key: str, since: datetime, until: datetime
    ) -> Iterator[tuple[str, datetime]]:
        parameters = {"environment_id": environment_id, "flag_key": flag_key, "since": since, "until": until}
        yield from _stream(_FIRST_SEEN, parameters)

    def recent_attributes(
        self, environment_id: int, flag_key: str, since: datetime, most_exposures: int
    ) -> dict[str, dict[str, Any]]:
        parameters: dict[str, Any] = {"environment_id": environment_id, "flag_key": flag_key, "since": since}
        parameters["most"] = most_exposures
        with connection.cursor() as cursor:
            cursor.execute(_CARRIED, parameters)
            return {unit_id: json.loads(text) for unit_id, text in cursor.fetchall()}

    def attribute_values(self, period: Period, name: str) -> Iterator[tuple[str, Any]]:
        for unit_id, text in _stream(_ATTRIBUTE, {**_of(period), "name": name}):
            yield unit_id, json.loads(text)

    def bots_first_seen(self, period: Period) -> Iterator[tuple[str, datetime]]:
        yield from _stream(_BOTS, _of(period))

    def raw_rows(
        self, table: str, environment_id: int, since: datetime | None, until: datetime | None
    ) -> Iterator[tuple[Any, ...]]:
        parameters = {"environment_id": environment_id, "since": since or _BEGINNING, "until": until or _END}
        yield from _stream(_RAW[table], parameters)

    def last_received(self, period: Period, event_names: Sequence[str], deadline: datetime) -> datetime | None:
        ((found,),) = _stream(_RECEIVED, {**_of(period), "event_names": list(event_names), "deadline": deadline})
        return found


def _of(period: Period) -> dict[str, Any]:
    return {
        "environment_id": period.environment_id,
        "experiment": period.experiment,
        "since": period.since,
        "until": period.until or _END,
    }


def _stream(statement: str, parameters: dict[str, Any]) -> Iterator[tuple[Any, ...]]:
    """Through a cursor of the server's, so that memory does not grow with the answer."""
    with transaction.atomic(), connection.chunked_cursor() as cursor:
        cursor.execute(statement, parameters)
        while rows := cursor.fetchmany(_ROWS_AT_A_TIME):
            yield from rows
