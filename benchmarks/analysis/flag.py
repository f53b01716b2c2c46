"""`GET flags/{key}/exposures` over HTTP, up to now and of past windows, before and after days are aggregated."""

import argparse
import http.client
import statistics
import time
from datetime import UTC, datetime, timedelta

import orjson
from openflagship.ids import uuid7

from benchmarks.analysis.load import END, START
from benchmarks.processes import FLAG, web

_PORT = 8126
_DAY = timedelta(days=1)
_HOUR = timedelta(hours=1)
_NOON = timedelta(hours=12)
_WEEK = START + 3 * _DAY, START + 10 * _DAY
# The window, and whether its raw events are read even so.
_WINDOWS = {
    "up to now": (START, None, False),
    "a past day": (START + 3 * _DAY, START + 4 * _DAY, False),
    "7 past days": (*_WEEK, False),
    "14 past days": (START, END, False),
    "7 past days from noon to noon": (_WEEK[0] + _NOON, _WEEK[1] + _NOON, False),
    "a past day of Berlin": (_WEEK[0] - 2 * _HOUR, _WEEK[0] + _DAY - 2 * _HOUR, False),
    "12 hours of a past day": (_WEEK[0], _WEEK[0] + _NOON, False),
    "7 past days from noon to half past twelve": (_WEEK[0] + _NOON, _WEEK[1] + _NOON + _HOUR / 2, True),
}


def measure(options: argparse.Namespace, variables: dict[str, str]) -> list[str]:
    """Each answer is compared with the raw events, counted one by one; estimates may be off by four standard errors."""
    from analytics.event_records import Batch, ExposureEvent  # noqa: PLC0415 - after setup
    from analytics.services import store_events  # noqa: PLC0415 - likewise
    from analytics.stores import store  # noqa: PLC0415 - likewise

    lines = ["| window | exposures | users | off by at most | p50 ms | p99 ms |", "|---|---|---|---|---|---|"]

    def ask(name: str, since: datetime, until: datetime | None, requests: int) -> None:
        lines.append(f"| {name} | {_ask(options, since, until, requests)} |")
        print(lines[-1], flush=True)

    with web(variables, _PORT):
        ask("7 past days, nothing aggregated", *_WEEK, 2)
        started = time.perf_counter()
        days = store().aggregate_flags(None)
        seconds = time.perf_counter() - started
        for name, (since, until, reads_raw) in _WINDOWS.items():
            ask(name, since, until, 5 if reads_raw else 100)
        unix_ms = round((_WEEK[0] + _NOON).timestamp() * 1000)
        late = ExposureEvent(
            *(uuid7(unix_ms), options.tenant.environment_id, FLAG, "user-late", "control", "SPLIT", None),
            *("checkout-test", 1, unix_ms, unix_ms, "bench"),
        )
        store_events(Batch(exposures=[late]))
        ask("7 past days, a late exposure to one", *_WEEK, 5)
        started = time.perf_counter()
        assert store().aggregate_flags(None) == 1
        again = time.perf_counter() - started
    return [
        f"{options.exposures:,} raw rows; goal: under 50 ms. Exposures are those counted one by one, and so are users "
        "of whole UTC days; estimated users are off by as much as named.",
        "",
        *lines,
        "",
        f"Aggregating {days} days, with the sketches of their hours, took {seconds:.1f} s, "
        f"{seconds / options.exposures * 1e6:.2f} s a million exposures; "
        f"one day again for its late exposure {again:.1f} s. {_sizes()}",
    ]


def _ask(options: argparse.Namespace, since: datetime, until: datetime | None, requests: int) -> str:
    from analytics.stores.postgres.rollups.flag_days import count_one_by_one  # noqa: PLC0415 - after setup

    end = until or datetime.now(UTC)
    window = f"{since:%Y-%m-%dT%H:%M:%SZ}/{until:%Y-%m-%dT%H:%M:%SZ}" if until else "30d"
    path = f"/api/flags/{FLAG}/exposures?window={window}&environment=production&project=web"
    headers = {"Authorization": f"Bearer {options.tenant.token}", "X-Tenant-ID": options.tenant.organization}
    # The first ones meet workers that have just started; those that take seconds are not asked more often than needed.
    waits, answer, warm = [], {}, 4 if requests > 5 else 1
    for turn in range(warm + requests):
        client = http.client.HTTPConnection("127.0.0.1", _PORT, timeout=600)
        started = time.perf_counter()
        client.request("GET", path, headers=headers)
        response = client.getresponse()
        answer = orjson.loads(response.read())
        assert response.status == 200, answer
        waits += [(time.perf_counter() - started) * 1000] if turn >= warm else []
    given = {row["key"]: (row["exposures"], row["users"]) for row in answer["variants"]}
    counted = count_one_by_one(options.tenant.environment_id, FLAG, since, end)
    off = max(abs(row["users"] / counted[row["key"]].users - 1) for row in answer["variants"])
    assert {key: row.exposures for key, row in counted.items()} == {key: n for key, (n, _) in given.items()}
    assert off <= 4 * (answer["variants"][0]["usersRelativeError"] or 0), (given, counted)
    cuts = statistics.quantiles(waits, n=100, method="inclusive")
    exposures, users = (sum(column) for column in zip(*given.values(), strict=True))
    return f"{exposures:,} | {users:,} | {off:.2%} | {cuts[49]:.1f} | {cuts[98]:.1f}"


def _sizes() -> str:
    from django.db import connection  # noqa: PLC0415 - after setup

    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT name, pg_total_relation_size(name::regclass) FROM unnest(%s::text[]) AS name",
            [["flag_hour_sketches", "flag_unit_days", "flag_day_steps"]],
        )
        return ", ".join(f"`{name}` {size / 1e6:,.0f} MB" for name, size in cursor.fetchall()) + "."
