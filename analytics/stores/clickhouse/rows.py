"""The rows that an analysis reads one by one on ClickHouse, in the same order as on PostgreSQL."""

import json
from collections.abc import Iterator, Sequence
from datetime import date, datetime, timedelta
from typing import Any
from uuid import UUID

from analytics.stores.base import EventRow, Period
from analytics.stores.clickhouse import statements as sql
from analytics.stores.clickhouse.moments import NO_END_MS, moment_of, period_of, unix_ms

_EPOCH = date(1970, 1, 1)
_HOUR_MS = 3_600_000


class ClickHouseRows:
    """The part of the store whose answers grow with the users."""

    def _rows(self, statement: str, parameters: dict[str, Any]) -> list[tuple[Any, ...]]:
        raise NotImplementedError

    def _stream(self, statement: str, parameters: dict[str, Any]) -> Iterator[tuple[Any, ...]]:
        raise NotImplementedError

    def events(
        self, environment_id: int, event_name: str, since: datetime, until: datetime | None, value_property: str
    ) -> Iterator[EventRow]:
        parameters = {
            "environment_id": environment_id,
            "event_name": event_name,
            "since": unix_ms(since),
            "until": unix_ms(until) if until else NO_END_MS,
            "name": value_property,
        }
        rows = self._rows(sql.EVENTS, parameters)
        for unit_id, occurred_ms, received_ms, value in rows:
            yield EventRow(unit_id, moment_of(occurred_ms), moment_of(received_ms), value)

    def conversions_by_id(
        self, environment_id: int, ids: Sequence[UUID]
    ) -> list[tuple[UUID, float | None, int, str | None]]:
        if not ids:
            return []
        rows = self._rows(sql.BY_ID, {"environment_id": environment_id, "ids": [str(each) for each in ids]})
        return [(UUID(str(event_id)), value, int(at), properties) for event_id, value, at, properties in rows]

    def last_conversions(self, environment_id: int, event_names: Sequence[str]) -> dict[str, date]:
        parameters = {"environment_id": environment_id, "event_names": list(event_names)}
        rows = self._rows(sql.LAST_CONVERSIONS, parameters)
        return {event_name: _EPOCH + timedelta(days=int(day)) for event_name, day in rows}

    def event_count(self, environment_id: int, event_name: str, since: datetime) -> int:
        parameters = {"environment_id": environment_id, "event_name": event_name, "since": unix_ms(since)}
        ((events,),) = self._rows(sql.EVENT_COUNT, parameters)
        return int(events)

    def flag_units(
        self, environment_id: int, flag_key: str, since: datetime, until: datetime
    ) -> Iterator[tuple[str, datetime]]:
        parameters = {"environment_id": environment_id, "flag_key": flag_key}
        rows = self._rows(sql.FIRST_SEEN, {**parameters, "since": unix_ms(since), "until": unix_ms(until)})
        for unit_id, first_ms in rows:
            yield unit_id, moment_of(first_ms)

    def flag_arms(
        self, environment_id: int, flag_key: str, since: datetime, until: datetime, rule_id: str
    ) -> Iterator[tuple[str, str, datetime]]:
        parameters = {"environment_id": environment_id, "flag_key": flag_key, "rule_id": rule_id}
        rows = self._rows(sql.ARMS, {**parameters, "since": unix_ms(since), "until": unix_ms(until)})
        for unit_id, variant, first_ms in rows:
            yield unit_id, variant, moment_of(first_ms)

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
        names = {"environment_id": environment_id, "flag_key": flag_key, "event_name": event_name}
        times = {"since": unix_ms(since), "until": unix_ms(until), "window": window // timedelta(milliseconds=1)}
        ((users, converted),) = self._rows(sql.CONVERTED, {**names, **times})
        return int(users), int(converted)

    def variants_seen(self, environment_id: int, since: datetime) -> list[tuple[str, str, int]]:
        start = unix_ms(since) // _HOUR_MS * _HOUR_MS
        rows = self._rows(sql.VARIANTS_SEEN, {"environment_id": environment_id, "since": start})
        return [(flag_key, variant, int(exposures)) for flag_key, variant, exposures in rows]

    def recent_attributes(
        self, environment_id: int, flag_key: str, since: datetime, most_exposures: int
    ) -> dict[str, dict[str, Any]]:
        parameters = {"environment_id": environment_id, "flag_key": flag_key, "since": unix_ms(since)}
        rows = self._rows(sql.CARRIED, {**parameters, "most": most_exposures})
        return {unit_id: json.loads(text) for unit_id, text in rows}

    def latest_attributes(
        self,
        environment_id: int,
        since: datetime,
        most_exposures: int,  # noqa: ARG002 - the interface's
        limit: int,
    ) -> list[tuple[str, dict[str, Any]]]:
        parameters = {"environment_id": environment_id, "since": unix_ms(since), "limit": limit}
        return [(unit_id, json.loads(text)) for unit_id, text in self._rows(sql.LATEST_CARRIED, parameters)]

    def attribute_values(self, period: Period, name: str) -> Iterator[tuple[str, Any]]:
        for unit_id, text in self._rows(sql.ATTRIBUTE, {**period_of(period), "name": name}):
            yield unit_id, json.loads(text)

    def bots_first_seen(self, period: Period) -> dict[str, int]:
        rows = self._rows(sql.BOTS_FIRST_SEEN, period_of(period))
        return {variant: int(units) for variant, units in rows}

    def prefetched_exposures(self, period: Period) -> int:
        ((count,),) = self._rows(sql.PREFETCHED, period_of(period))
        return int(count)

    def raw_rows(
        self,
        table: str,
        environment_id: int,
        since: datetime | None,
        until: datetime | None,
        *,
        received: tuple[datetime, datetime] | None = None,
    ) -> Iterator[tuple[Any, ...]]:
        parameters = {
            "environment_id": environment_id,
            "since": unix_ms(since) if since else 0,
            "until": unix_ms(until) if until else NO_END_MS,
        }
        if received is None:
            yield from self._stream(sql.RAW[table], parameters)
        else:
            parameters |= {"received_since": unix_ms(received[0]), "received_until": unix_ms(received[1])}
            yield from self._stream(f"{sql.RAW[table]} AND {sql.IN_RECEIVED}", parameters)

    def received_hours(self, table: str, since: datetime, until: datetime) -> list[tuple[int, int, int]]:
        parameters = {"received_since": unix_ms(since), "received_until": unix_ms(until)}
        return [(row[0], row[1], row[2]) for row in self._rows(sql.RECEIVED_HOURS[table], parameters)]

    def last_received(self, period: Period, event_names: Sequence[str], deadline: datetime) -> datetime | None:
        parameters = {**period_of(period), "event_names": list(event_names), "deadline": unix_ms(deadline)}
        ((last_ms,),) = self._rows(sql.LAST_RECEIVED, parameters)
        # ClickHouse gives 0 as the largest value of no rows.
        return moment_of(last_ms) if last_ms else None
