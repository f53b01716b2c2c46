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
# A histogram takes fourteen lines of a scrape, so fewer keys have one of their own.
MOST_TIMED_KEYS: Final = 100
_OTHER: Final = "other"
_BOUNDS: Final = (0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0)

# What one process tells of itself; it can be written as JSON.
Figures: TypeAlias = dict[str, Any]


class Series:
    """The requests of one key in one environment: how many, how long they took, and what was refused by status."""

    __slots__ = ("counts", "refusals", "requests", "total")

    def __init__(self) -> None:
        self.requests = 0
        self.counts = [0] * (len(_BOUNDS) + 1)
        self.total = 0.0
        self.refusals: defaultdict[int, int] = defaultdict(int)

    def observe(self, seconds: float) -> None:
        self.requests += 1
        self.counts[bisect_left(_BOUNDS, seconds)] += 1
        self.total += seconds

    def refuse(self, status: int, *, is_counted: bool) -> None:
        """Note a refusal. It `is_counted` where its request is observed too, or is of no kind that is counted."""
        self.refusals[status] += 1
        if not is_counted:
            self.requests += 1

    def add(self, other: Series) -> None:
        """Take in what another series took, but for its refusals."""
        self.requests += other.requests
        self.counts = [sum(pair) for pair in zip(self.counts, other.counts, strict=True)]
        self.total += other.total


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
        self._by_key: dict[tuple[str, str], Series] = {}

    def series(self, environment: str, key: str) -> Series:
        """Where requests of the data plane are noted. `key` is the public name of a live key."""
        label = (environment, key)
        if label not in self._by_key and len(self._by_key) >= MOST_KEYS:
            label = (environment, _OTHER)
        if label not in self._by_key:
            self._by_key[label] = Series()
        return self._by_key[label]

    def figures(self) -> Figures:
        # Of copies, because a thread that answers gRPC counts meanwhile.
        by_key = list(self._by_key.items())
        environments: defaultdict[str, Series] = defaultdict(Series)
        timed: defaultdict[tuple[str, str], Series] = defaultdict(Series)
        for number, ((environment, key), series) in enumerate(by_key):
            environments[environment].add(series)
            timed[environment, key if number < MOST_TIMED_KEYS else _OTHER].add(series)
        return {
            "evaluations": list(self.evaluations.items()),
            "requests": [(str(status), count) for status, count in list(self.requests.items())],
            "grpc_calls": [(*label, count) for label, count in list(self.grpc_calls.items())],
            "keys": [(*label, series.requests) for label, series in by_key],
            "key_refusals": [
                (*label, str(status), count)
                for label, series in by_key
                for status, count in list(series.refusals.items())
            ],
            "latencies": [(name, series.counts, series.total) for name, series in environments.items()],
            "key_latencies": [(*label, series.counts, series.total) for label, series in timed.items()],
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
            ("key_refusals", "What a key was refused, by HTTP status.", ["environment", "key", "status"]),
        ):
            name = "flagship_edge_key_requests" if member == "keys" else f"flagship_edge_{member}"
            counter = CounterMetricFamily(name, text, labels=[*labels, *self._labels])
            for process, figures in self._told:
                for *values, count in figures[member]:
                    counter.add_metric([*values, *process], count)
            yield counter
        for member, name, labels in (
            ("latencies", "flagship_edge_request_seconds", ["environment"]),
            ("key_latencies", "flagship_edge_key_request_seconds", ["environment", "key"]),
        ):
            text = f"How long an answer took, by {' and '.join(labels)}."
            histogram = HistogramMetricFamily(name, text, labels=[*labels, *self._labels])
            for process, figures in self._told:
                for *values, counts, total in figures[member]:
                    histogram.add_metric([*values, *process], _buckets(counts), total)
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
