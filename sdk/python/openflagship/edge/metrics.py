"""The edge's metrics. Requests count in plain numbers, which are read only when they are scraped."""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from itertools import accumulate
from typing import Any, Final, TypeAlias

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from openflagship.client import Status

# Above so many keys the others count together.
MOST_KEYS: Final = 1_000
_BOUNDS: Final = (0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0)

# What one process tells of itself; it can be written as JSON.
Figures: TypeAlias = dict[str, Any]


class _Latency:
    __slots__ = ("counts", "total")

    def __init__(self) -> None:
        self.counts = [0] * (len(_BOUNDS) + 1)
        self.total = 0.0


class Series:
    """The answered requests of one key in one environment, whose latency the keys share."""

    __slots__ = ("_latency", "requests")

    def __init__(self, latency: _Latency) -> None:
        self.requests = 0
        self._latency = latency

    def observe(self, seconds: float) -> None:
        self.requests += 1
        latency = self._latency
        latency.counts[bisect_left(_BOUNDS, seconds)] += 1
        latency.total += seconds


class Metrics:
    """Counts requests and evaluations. The other figures come from each environment's client at a scrape."""

    def __init__(self, sources: Callable[[], Iterable[tuple[str, Status, int]]]) -> None:
        """`sources`: for each environment a name, its client's status and the number of its streams."""
        self._sources = sources
        # By reason and by status; cheaper to add to than a Counter.
        self.evaluations: defaultdict[str, int] = defaultdict(int)
        self.requests: defaultdict[int, int] = defaultdict(int)
        # By method and status.
        self.grpc_calls: defaultdict[tuple[str, str], int] = defaultdict(int)
        self._latencies: dict[str, _Latency] = {}
        self._by_key: dict[tuple[str, str], Series] = {}

    def series(self, environment: str, key: str) -> Series:
        """Where requests of the data plane are noted. `key` is the public name of a live key."""
        label = (environment, key)
        if label not in self._by_key and len(self._by_key) >= MOST_KEYS:
            label = (environment, "other")
        if label not in self._by_key:
            self._by_key[label] = Series(self._latencies.setdefault(environment, _Latency()))
        return self._by_key[label]

    def figures(self) -> Figures:
        # Of copies, because a thread that answers gRPC counts meanwhile.
        return {
            "evaluations": list(self.evaluations.items()),
            "requests": [(str(status), count) for status, count in list(self.requests.items())],
            "grpc_calls": [(*label, count) for label, count in list(self.grpc_calls.items())],
            "keys": [(*label, series.requests) for label, series in list(self._by_key.items())],
            "latencies": [(name, latency.counts, latency.total) for name, latency in list(self._latencies.items())],
            "environments": [
                (name, [float(read(status, streams)) for _, _, read in _GAUGES])
                for name, status, streams in self._sources()
            ],
        }


def render(told: Mapping[str, Figures]) -> bytes:
    """What is scraped: each process's figures by its number. One that is alone has no number, and no label."""
    registry = CollectorRegistry()
    registry.register(_Told(told))
    return generate_latest(registry)


class _Told(Collector):
    def __init__(self, told: Mapping[str, Figures]) -> None:
        # The value of the label `process`, in a list that is empty where there is one process only.
        self._told = [([number] if number else [], figures) for number, figures in told.items()]
        self._labels = ["process"] if self._told[0][0] else []

    def collect(self) -> Iterable[Metric]:
        for member, text, labels in (
            ("evaluations", "Evaluations answered, by reason.", ["reason"]),
            ("requests", "Requests answered, by status.", ["status"]),
            ("grpc_calls", "gRPC calls that ended, by method and status.", ["method", "status"]),
            ("keys", "Requests answered, by environment and key (its public prefix).", ["environment", "key"]),
        ):
            name = "flagship_edge_key_requests" if member == "keys" else f"flagship_edge_{member}"
            counter = CounterMetricFamily(name, text, labels=[*labels, *self._labels])
            for process, figures in self._told:
                for *values, count in figures[member]:
                    counter.add_metric([*values, *process], count)
            yield counter
        histogram = HistogramMetricFamily(
            "flagship_edge_request_seconds",
            "How long an answer took, by environment.",
            labels=["environment", *self._labels],
        )
        for process, figures in self._told:
            for environment, counts, total in figures["latencies"]:
                histogram.add_metric([environment, *process], _buckets(counts), total)
        yield histogram
        for index, (name, text, _) in enumerate(_GAUGES):
            gauge = GaugeMetricFamily(name, text, labels=["environment", *self._labels])
            for process, figures in self._told:
                for environment, values in figures["environments"]:
                    gauge.add_metric([environment, *process], values[index])
            yield gauge


def _buckets(counts: list[int]) -> list[tuple[str, float]]:
    """Each bound with the number of answers up to it."""
    bounds = (*(str(bound) for bound in _BOUNDS), "+Inf")
    return list(zip(bounds, accumulate(counts), strict=True))


_GAUGES: tuple[tuple[str, str, Callable[[Status, int], float]], ...] = (
    ("flagship_edge_config_version", "The configuration version applied.", lambda status, _: status.config_version),
    ("flagship_edge_ready", "Whether a configuration was had.", lambda status, _: status.is_ready),
    ("flagship_edge_stale", "Whether answers are marked stale.", lambda status, _: status.is_stale),
    ("flagship_edge_streams", "Streams served.", lambda _, streams: streams),
    ("flagship_edge_events_pending", "Events waiting to be sent.", lambda status, _: status.events_pending),
    ("flagship_edge_events_dropped", "Events dropped for want of room.", lambda status, _: status.events_dropped),
)
