"""The same load and questions on ClickHouse's embedded engine, through the store and clickhouse-connect."""

import statistics
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from benchmarks.analysis.load import END, START

_CAME = "cityHash64(number % {units:UInt64}, 9) % {span:Int64}"
# As PostgreSQL's: units come on all days, and come back until the end.
_SEEN = f"toInt64({{start:Int64}} + {_CAME} + cityHash64(number, 1) % ({{span:Int64}} - {_CAME}))"
_DONE = "toInt64({start:Int64} + cityHash64(number, 2) % {span:Int64})"
# UUIDv7 of the moment, as the platform makes them, stored in the order in which events come.
_ID = """toUUID(concat(
    substring(lower(hex(moment)), 1, 8), '-', substring(lower(hex(moment)), 9, 4), '-7',
    substring(lower(hex(sipHash128(number))), 1, 3), '-8', substring(lower(hex(sipHash128(number))), 4, 3), '-',
    substring(lower(hex(sipHash128(number))), 7, 12)
))"""
_EXPOSURES = f"""
INSERT INTO exposures
SELECT toStartOfMonth(fromUnixTimestamp64Milli(moment, 'UTC')), 1, {_ID}, 1, 'new-checkout',
       concat('user-', toString(unit)),
       if((unit % 2 = 0) != (unit % 200 = 7 AND number % 3 = 1), 'control', 'treatment'), 'SPLIT', NULL,
       'checkout-test', 1, moment, moment, 'bench', NULL, NULL, unit % 100 = 3
FROM (
    SELECT number, number % {{units:UInt64}} AS unit, {_SEEN} AS moment FROM numbers({{count:UInt64}}) ORDER BY moment
)
"""
_CONVERSIONS = f"""
INSERT INTO conversions
SELECT toStartOfMonth(fromUnixTimestamp64Milli(moment, 'UTC')), 1, {_ID}, 1,
       concat('user-', toString(unit)), 'purchase', (cityHash64(number) % 65536) / 100, moment, moment, NULL,
       unit % 100 = 3
FROM (
    SELECT number, cityHash64(number, 5) % {{units:UInt64}} AS unit, {_DONE} AS moment FROM numbers({{count:UInt64}})
    ORDER BY moment
)
"""


def _settle(store: Any) -> None:
    """Wait until what the load left to be merged is: no server stores ten million events at once and is asked then."""
    deadline = time.monotonic() + 120
    with store._client() as client:  # noqa: SLF001 - as below
        while time.monotonic() < deadline and client.query("SELECT count() FROM system.merges").result_rows[0][0]:
            time.sleep(1)


def measure(exposures: int, units: int, conversions: int, rounds: int) -> list[str]:
    from analytics.stores.base import Period  # noqa: PLC0415 - after setup
    from analytics.stores.clickhouse.store import ClickHouseStore  # noqa: PLC0415 - likewise
    from analytics.stores.pairs import Figure, Kind, Pairing  # noqa: PLC0415 - likewise

    store = ClickHouseStore("chdb://memory")
    start = int(START.timestamp() * 1000)
    for statement, count, days in ((_EXPOSURES, exposures, 14), (_CONVERSIONS, conversions, 21)):
        parameters = {"start": start, "span": days * 86_400_000, "units": units, "count": count}
        with store._client() as client:  # noqa: SLF001 - a load that no client would send
            client.command(statement, parameters=parameters)
    _settle(store)
    period = Period(1, "checkout-test", START, END)
    week = timedelta(days=7)
    rate = Pairing(Figure(Kind.CONVERTED, "purchase"), None, week, week)
    amount, revenue = Figure(Kind.AMOUNT, "purchase"), Figure(Kind.TOTAL, "purchase")
    ratio = Pairing(amount, amount, week, week)
    cuped = Pairing(revenue, revenue, week, week, before=2 * week)
    calls: dict[str, Callable[[], Any]] = {
        "units by variant and day, crossovers, bots": lambda: store.exposure_summary(period),
        "binary metric: users and conversions": lambda: store.pair_summary(period, rate),
        "sum metric: n, sums, sums of squares": lambda: store.pair_summary(period, Pairing(revenue, None, week, week)),
        "ratio: means, variances, covariance of two figures": lambda: store.pair_summary(period, ratio),
        "CUPED: the same with the 14 days before": lambda: store.pair_summary(period, cuped),
        "part of a phase: units by variant and day": lambda: store.exposure_summary(
            Period(1, "checkout-test", START + timedelta(days=7), END)
        ),
        "exposures and users of a flag in ten whole days: exact": lambda: store.flag_exposures(
            1, "new-checkout", START + timedelta(days=3), START + timedelta(days=13)
        ),
        "the same in a window that cuts two days: a sketch, filled while it is read": lambda: store.flag_exposures(
            1, "new-checkout", START + timedelta(days=3, hours=5), START + timedelta(days=13, hours=5)
        ),
    }
    lines = ["| question | seconds | under 2 s |", "|---|---|---|"]
    for name, call in calls.items():
        call()
        times = []
        for _ in range(rounds):
            started = time.perf_counter()
            call()
            times.append(time.perf_counter() - started)
        median = statistics.median(times)
        lines.append(
            f"| {name} | {median:.3f} ({min(times):.3f} to {max(times):.3f}) | {'yes' if median < 2 else '**no**'} |"
        )
        print(lines[-1], flush=True)
    return lines
