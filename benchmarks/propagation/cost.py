"""What open streams cost an evaluation: its rate, its latency and its CPU time, with none open and with 1,000."""

import time
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import psutil

from benchmarks.propagation.load import Streams, throughput

STREAMS = 1_000
TURN_SECONDS = 2
SETTLING_SECONDS = 0.5


@dataclass(frozen=True)
class Load:
    """Evaluations a second, how long they took, and what each cost the web worker and the stream process together."""

    per_second: float
    p50_milliseconds: float
    p99_milliseconds: float
    cpu_microseconds: float


def cost(cluster: Any, port: int, flag: str, version: int, *, pairs: int) -> tuple[list[Load], list[Load]]:
    """Evaluations with no stream open and with 1,000: short turns side by side, each pair the other way round.

    What the machine does besides is then the same for both turns of a pair, and a drift cancels out.
    """
    without: list[Load] = []
    beside: list[Load] = []
    _load(cluster, port, flag)
    for number in range(pairs):
        for has_streams in (False, True) if number % 2 else (True, False):
            with ExitStack() as stack:
                if has_streams:
                    streams = Streams(cluster.stream_port, cluster.server_key, STREAMS, last=version)
                    stack.callback(streams.close)
                # What opening and closing costs is none of this.
                time.sleep(SETTLING_SECONDS)
                (beside if has_streams else without).append(_load(cluster, port, flag))
    return without, beside


def _load(cluster: Any, port: int, flag: str) -> Load:
    before = _cpu_seconds(cluster, "web") + _cpu_seconds(cluster, "stream")
    took = throughput(port, cluster.server_key, flag, seconds=TURN_SECONDS)
    used = _cpu_seconds(cluster, "web") + _cpu_seconds(cluster, "stream") - before
    p50, p99 = (took[int(len(took) * percent / 100)] * 1000 for percent in (50, 99))
    return Load(len(took) / TURN_SECONDS, p50, p99, used / len(took) * 1e6)


def _cpu_seconds(cluster: Any, name: str) -> float:
    process = psutil.Process(cluster.pid(name))
    times = [each.cpu_times() for each in (process, *process.children(recursive=True))]
    return sum(each.user + each.system for each in times)


def median(values: list[float]) -> float:
    return sorted(values)[len(values) // 2]


def compared(without: list[Load], beside: list[Load], name: str, digits: int = 0) -> str:
    """Both medians, and the median of what changed within each pair."""
    pairs = [(getattr(one, name), getattr(other, name)) for one, other in zip(without, beside, strict=True)]
    change = median([other / one - 1 for one, other in pairs]) * 100
    before, after = (median(list(side)) for side in zip(*pairs, strict=True))
    return f"{before:,.{digits}f} and {after:,.{digits}f}; within a pair {change:+.1f} %"


def cost_rows(cluster: Any, port: int, flag: str, version: int, *, pairs: int) -> list[str]:
    without, beside = cost(cluster, port, flag, version, pairs=pairs)
    about = f"with 0 and with {STREAMS:,} streams open (medians of {len(without)} pairs of turns)"
    return [
        f"| evaluations a second, {about} | {compared(without, beside, 'per_second')} | less than 10 % fewer |",
        f"| latency p50 in ms, likewise | {compared(without, beside, 'p50_milliseconds', 2)} | |",
        f"| latency p99 in ms, likewise | {compared(without, beside, 'p99_milliseconds', 2)} | |",
        f"| CPU µs of web worker and stream process for an evaluation, likewise "
        f"| {compared(without, beside, 'cpu_microseconds')} | less than 10 % more |",
    ]
