"""The ClickHouse store, through clickhouse-connect. It gives PostgreSQL's answers from the raw events alone."""

import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import UUID

import clickhouse_connect
import msgspec
from clickhouse_connect.driver import exceptions as clickhouse
from django.conf import settings
from django.db import DataError, OperationalError, transaction
from django.db import Error as DatabaseError

from analytics.enrichment.bots import flag_bots
from analytics.enrichment.enrichment import EnrichmentRules, announce_change, current_revision
from analytics.event_records import Batch
from analytics.stores.base import (
    Dropped,
    Erased,
    ExposureSummary,
    FirstExposure,
    FlagExposures,
    Period,
    Stored,
    Unit,
    summarise_exposures,
)
from analytics.stores.clickhouse import statements as sql
from analytics.stores.clickhouse.distributions import ClickHouseDistributions
from analytics.stores.clickhouse.moments import NO_END_MS, moment_of, period_of, unix_ms
from analytics.stores.clickhouse.pairs import ClickHousePairs
from analytics.stores.clickhouse.rows import ClickHouseRows
from analytics.stores.protocols import EventStore
from analytics.stores.sketches import RELATIVE_ERROR
from analytics.stores.time_limit import seconds_left

_NO_MONTH = date(1970, 1, 1)
_FIRST_DAY = date(1970, 1, 1)
_READ_AT_ONCE = 20_000
_HOUR_MS = 3_600_000
_DAY_MS = 24 * _HOUR_MS
# The event that came first has precedence, so the precedence counts down.
_PRECEDENCE_FROM = 2**63
_WAIT = {"mutations_sync": 2}
_TABLES = ("exposures", "conversions")


class ClickHouseStore(ClickHouseRows, ClickHousePairs, ClickHouseDistributions, EventStore):
    """Each thread has a client. The tables are made on first use, with ANALYTICS_CLICKHOUSE_ENGINE."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._local = threading.local()
        self._lock = threading.Lock()
        self._rules = EnrichmentRules()
        self._revision: int | None = None
        self._has_tables = False

    def write(self, batch: Batch) -> Stored:
        """Store rows. ClickHouse drops a row whose id is stored already when it merges, and no query sees it before."""
        rules = self._current_rules()
        precedence = _PRECEDENCE_FROM - time.time_ns()
        exposures = {
            (event.environment_id, event.evaluation_id): (
                *(_month_of(event.evaluation_id), precedence),
                *msgspec.structs.astuple(event),
                is_bot,
            )
            for event, is_bot in reversed(rules.exposures(batch.exposures))
        }
        conversions = {
            (event.environment_id, event.event_id): (
                *(_month_of(event.event_id), precedence),
                *msgspec.structs.astuple(event),
                is_bot,
            )
            for event, is_bot in reversed(rules.conversions(batch.conversions))
        }
        with self._client() as client:
            if exposures:
                client.insert("exposures", list(exposures.values()), column_names=sql.EXPOSURE_COLUMNS)
            if conversions:
                client.insert("conversions", list(conversions.values()), column_names=sql.CONVERSION_COLUMNS)
        return Stored(len(exposures), len(conversions))

    def forget(self) -> None:
        with self._lock:
            self._revision = None

    def drop_tables(self) -> None:
        """Delete everything that is stored here, for good."""
        for table in _TABLES:
            self._change(f"DROP TABLE IF EXISTS {table}", {})
        self._has_tables = False

    def first_exposures(self, period: Period) -> Iterator[FirstExposure]:
        for unit_id, variant, first_ms, is_crossover in self._rows(sql.UNITS, period_of(period)):
            yield FirstExposure(unit_id, variant, moment_of(first_ms), bool(is_crossover))

    def exposure_summary(self, period: Period) -> ExposureSummary:
        rows = self._rows(sql.SUMMARY, period_of(period))
        bots = sum(int(units) for is_bot, *_, units in rows if is_bot)
        seen = [(_FIRST_DAY + timedelta(days=int(day)), *rest) for is_bot, day, *rest in rows if not is_bot]
        return summarise_exposures(seen, bots)

    def flag_exposures(
        self, environment_id: int, flag_key: str, since: datetime | None, until: datetime | None
    ) -> dict[str, FlagExposures]:
        bounds = (unix_ms(since) if since else 0, unix_ms(until) if until else NO_END_MS)
        # As on PostgreSQL, windows of whole days and windows without a full hour are exact.
        is_exact = all(bound % _DAY_MS == 0 for bound in bounds) or -(-bounds[0] // _HOUR_MS) >= bounds[1] // _HOUR_MS
        return self._flag_exposures(environment_id, flag_key, bounds, is_exact=is_exact)

    def exact_flag_exposures(
        self, environment_id: int, flag_key: str, since: datetime, until: datetime
    ) -> dict[str, FlagExposures]:
        return self._flag_exposures(environment_id, flag_key, (unix_ms(since), unix_ms(until)), is_exact=True)

    def _flag_exposures(
        self, environment_id: int, flag_key: str, bounds: tuple[int, int], *, is_exact: bool
    ) -> dict[str, FlagExposures]:
        parameters = {"environment_id": environment_id, "flag_key": flag_key, "since": bounds[0], "until": bounds[1]}
        statement = sql.FLAG.format(users="uniqExact" if is_exact else "uniqCombined64")
        error = None if is_exact else RELATIVE_ERROR
        return {
            variant: FlagExposures(int(n), int(users), error) for variant, n, users in self._rows(statement, parameters)
        }

    def recent_units(self, environment_id: int, flag_key: str, since: datetime, limit: int) -> list[tuple[str, str]]:
        parameters = {"environment_id": environment_id, "flag_key": flag_key, "since": unix_ms(since), "limit": limit}
        return [(unit_id, variant) for unit_id, variant in self._rows(sql.RECENT, parameters)]

    def last_exposures(
        self, environment_ids: Sequence[int], flag_keys: Sequence[str]
    ) -> dict[str, tuple[datetime, int]]:
        rows = self._rows(sql.LAST, {"environment_ids": list(environment_ids), "flag_keys": list(flag_keys)})
        return {flag_key: (moment_of(last_ms), environment_id) for flag_key, last_ms, environment_id in rows}

    def fast_units(self, since: datetime, exposures_per_hour: int) -> list[tuple[Unit, int]]:
        rows = self._rows(sql.FAST, {"since": unix_ms(since), "limit": exposures_per_hour})
        return [(Unit(environment_id, unit_id), int(most)) for environment_id, unit_id, most in rows]

    def raw_events(self, units: Sequence[Unit]) -> Iterator[dict[str, Any]]:
        for table in _TABLES:
            with self._client() as client:
                found = client.query(
                    f"SELECT * FROM {table} FINAL WHERE {sql.IS_WANTED} ORDER BY occurred_ms",  # noqa: S608 - names are ours
                    parameters=_these(units),
                )
            for row in found.named_results():
                moments = {name: moment_of(row.pop(f"{name[:-3]}_ms")) for name in ("occurred_at", "received_at")}
                plain = {name: value for name, value in row.items() if name not in {"month", "precedence"}}
                yield {"table": table, **plain, **moments}

    def erase_units(self, erased: Sequence[Unit]) -> Erased:
        counts = []
        for table in _TABLES:
            where = f"FROM {table} FINAL WHERE {sql.IS_WANTED}"
            counts.append(int(self._rows(f"SELECT count() {where}", _these(erased))[0][0]))
            self._change(f"ALTER TABLE {table} DELETE WHERE {sql.IS_WANTED}", _these(erased))
        return Erased(*counts)

    def reclassify(self, rules: EnrichmentRules, progress: Callable[[int, int], None]) -> tuple[int, int]:
        announce_change()
        flagged = unflagged = 0
        for done, table in enumerate(_TABLES):
            progress(done, len(_TABLES))
            agent = "user_agent" if table == "exposures" else "NULL"
            rows = self._rows(f"SELECT DISTINCT environment_id, unit_id, {agent}, is_bot FROM {table} FINAL", {})  # noqa: S608 - names are ours
            for start in range(0, len(rows), _READ_AT_ONCE):
                piece = rows[start : start + _READ_AT_ONCE]
                flags = flag_bots([row[1] for row in piece], [row[2] for row in piece])
                for is_bot in (True, False):
                    changed = [
                        (environment_id, unit_id, user_agent)
                        for (environment_id, unit_id, user_agent, was), flag in zip(piece, flags, strict=True)
                        if rules.wants(environment_id, unit_id, flag=flag, was=bool(was)) is is_bot
                        and bool(was) is not is_bot
                    ]
                    count = self._reflag(table, changed, is_bot=is_bot)
                    flagged, unflagged = flagged + count * is_bot, unflagged + count * (not is_bot)
        progress(len(_TABLES), len(_TABLES))
        return flagged, unflagged

    def reflag_units(self, found: Sequence[Unit]) -> int:
        announce_change()
        count = 0
        for table in _TABLES:
            where = f"{sql.IS_WANTED} AND NOT is_bot"
            count += int(self._rows(f"SELECT count() FROM {table} FINAL WHERE {where}", _these(found))[0][0])  # noqa: S608 - names are ours
            self._change(f"ALTER TABLE {table} UPDATE is_bot = true WHERE {where}", _these(found))
        return count

    def make_pseudonymous(self, environment_id: int, key: bytes) -> None:
        """Replace the units' ids once the key is committed. No event that is stored later has a replaced id."""
        announce_change()
        inner, outer = (bytes(byte ^ pad for byte in key.ljust(64, b"\x00")).hex() for pad in (0x36, 0x5C))
        digest = "SHA256(concat(unhex({outer:String}), SHA256(concat(unhex({inner:String}), unit_id))))"
        parameters = {"environment_id": environment_id, "inner": inner, "outer": outer}

        def convert() -> None:
            for table in _TABLES:
                self._change(
                    f"ALTER TABLE {table} UPDATE unit_id = lower(hex({digest})) "
                    "WHERE environment_id = {environment_id:Int64} "
                    "AND NOT (length(unit_id) = 64 AND match(unit_id, '^[0-9a-f]+$'))",
                    parameters,
                )

        transaction.on_commit(convert)

    def drop_before(self, cuts: Mapping[int, datetime], *, dry_run: bool) -> Iterator[Dropped]:
        if not cuts:
            return
        everybody = min(cuts.values())
        for table in _TABLES:
            for (month,) in self._rows(f"SELECT DISTINCT month FROM {table} ORDER BY month", {}):  # noqa: S608 - names are ours
                following = (month.replace(day=28) + timedelta(days=4)).replace(day=1)
                if month == _NO_MONTH or _day_ms(following) > unix_ms(everybody):
                    continue
                where = "WHERE month = {month:Date}"
                rows = self._rows(f"SELECT count() FROM {table} FINAL {where}", {"month": month})[0][0]  # noqa: S608 - names are ours
                yield Dropped(f"{table} of {month}", "all", int(rows))
                if not dry_run:
                    self._change(f"ALTER TABLE {table} DROP PARTITION '{month}'", {})
            for environment_id, cut in sorted(cuts.items()):
                where = "WHERE environment_id = {environment_id:Int64} AND occurred_ms < {cut:Int64}"
                parameters = {"environment_id": environment_id, "cut": unix_ms(cut)}
                rows = int(self._rows(f"SELECT count() FROM {table} FINAL {where}", parameters)[0][0])  # noqa: S608 - names are ours
                if rows:
                    yield Dropped(table, f"environment {environment_id}", rows)
                    if not dry_run:
                        self._change(f"ALTER TABLE {table} DELETE {where}", parameters)

    def _reflag(self, table: str, changed: list[tuple[int, str, str | None]], *, is_bot: bool) -> int:
        if not changed:
            return 0
        match = "has({changed:Array(Tuple(Int64, String, String))}, (environment_id, unit_id, ifNull({agent}, '')))"
        where = match.replace("{agent}", "user_agent" if table == "exposures" else "NULL") + f" AND is_bot <> {is_bot}"
        parameters = {"changed": [(environment_id, unit, agent or "") for environment_id, unit, agent in changed]}
        count = int(self._rows(f"SELECT count() FROM {table} FINAL WHERE {where}", parameters)[0][0])  # noqa: S608 - names are ours
        self._change(f"ALTER TABLE {table} UPDATE is_bot = {str(is_bot).lower()} WHERE {where}", parameters)
        return count

    def _current_rules(self) -> EnrichmentRules:
        """Return the current rules. With PostgreSQL away, the last known ones let the ingest go on storing events."""
        try:
            revision = current_revision()
            if revision != self._revision:
                rules = EnrichmentRules.load()
                with self._lock:
                    self._rules, self._revision = rules, revision
        except DatabaseError:
            if self._revision is None:
                raise
        return self._rules

    def _rows(self, statement: str, parameters: dict[str, Any]) -> list[tuple[Any, ...]]:
        with self._client() as client:
            found = client.query(statement, parameters=parameters, settings=_read_settings())
        return [tuple(row) for row in found.result_rows]

    def _stream(self, statement: str, parameters: dict[str, Any]) -> Iterator[tuple[Any, ...]]:
        with self._client() as client:
            found = client.query_rows_stream(statement, parameters=parameters, settings=_read_settings())
            with found as rows:
                for row in rows:
                    yield tuple(row)

    def _change(self, statement: str, parameters: dict[str, Any]) -> None:
        with self._client() as client:
            client.command(statement, parameters=parameters, settings=_WAIT)

    @contextmanager
    def _client(self) -> Iterator[Any]:
        """Return this thread's client. Its errors become Django's.

        By them the ingest tells bad data from an outage.
        """
        try:
            client = getattr(self._local, "client", None)
            if client is None:
                client = clickhouse_connect.get_client(dsn=self._url, autogenerate_session_id=False)
                self._local.client = client
            if not self._has_tables:
                for statement in sql.create_tables(
                    engine=settings.ANALYTICS_CLICKHOUSE_ENGINE, days=settings.ANALYTICS_CLICKHOUSE_TTL_DAYS
                ):
                    client.command(statement)
                self._has_tables = True
            yield client
        except clickhouse.DataError as error:
            raise DataError(str(error)) from error
        except (clickhouse.Error, OSError) as error:
            self._local.client = None
            raise OperationalError(f"ClickHouse: {error}") from error


def _read_settings() -> dict[str, Any]:
    # Duplicates share a partition, so FINAL need not look across partitions.
    settings: dict[str, Any] = {"do_not_merge_across_partitions_select_final": 1}
    left = seconds_left()
    return settings if left is None else {**settings, "max_execution_time": left}


def _these(units: Sequence[Unit]) -> dict[str, Any]:
    return {
        "environment_ids": [unit.environment_id for unit in units],
        "unit_ids": [unit.unit_id for unit in units],
    }


def _month_of(event_id: UUID) -> date:
    """Return the partition, which follows from the id alone. Both copies of an event must reach the same one."""
    milliseconds = event_id.int >> 80
    if event_id.version != 7 or not _FIRST_MS <= milliseconds < _LAST_MS:
        return _NO_MONTH
    return moment_of(milliseconds).date().replace(day=1)


def _day_ms(day: date) -> int:
    return unix_ms(datetime(day.year, day.month, day.day, tzinfo=UTC))


# Ids from outside share a partition of their own. A client's clock must not make any number of partitions.
_FIRST_MS = _day_ms(date(2020, 1, 1))
_LAST_MS = _day_ms(date(2050, 1, 1))
