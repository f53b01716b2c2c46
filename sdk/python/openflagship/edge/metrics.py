"""The edge's metrics, in their own registry. Requests count in a dict, which is read only when it is scraped."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterable
from itertools import accumulate
from typing import Final

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from openflagship.client import Status
from openflagship.engine import Answer

# Above so many keys the others count together.
MOST_KEYS: Final = 1_000
_BOUNDS: Final = (0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0)


class _Latency:
    __slots__ = ("counts", "total")

    def __init__(self) -> None:
        self.counts = [0] * (len(_BOUNDS) + 1)
        self.total = 0.0

    def buckets(self) -> list[tuple[str, float]]:
        """Each bound with the number of answers up to it."""
        bounds = (*(str(bound) for bound in _BOUNDS), "+Inf")
        return list(zip(bounds, accumulate(self.counts), strict=True))


class Metrics(Collector):
    """Counts requests and evaluations. The other figures come from each environment's client at a scrape."""

    def __init__(self, sources: Callable[[], Iterable[tuple[str, Status, int]]]) -> None:
        """`sources`: for each environment a name, its client's status and the number of its streams."""
        self._sources = sources
        self._registry = CollectorRegistry()
        self._evaluations: Counter[str] = Counter()
        self.requests: Counter[int] = Counter()
        self._latencies: dict[str, _Latency] = {}
        self._by_key: Counter[tuple[str, str]] = Counter()
        self._registry.register(self)

    def count_evaluation(self, _key: str, answer: Answer) -> None:
        self._evaluations[answer.reason] += 1

    def observe(self, environment: str, key: str, seconds: float) -> None:
        """Note an answered request of the data plane. `key` is the public name of a live key."""
        latency = self._latencies.get(environment)
        if latency is None:
            latency = self._latencies[environment] = _Latency()
        latency.counts[bisect_left(_BOUNDS, seconds)] += 1
        latency.total += seconds
        label = (environment, key)
        if label not in self._by_key and len(self._by_key) >= MOST_KEYS:
            label = (environment, "other")
        self._by_key[label] += 1

    def render(self) -> bytes:
        return generate_latest(self._registry)

    def collect(self) -> Iterable[Metric]:
        for name, text, label, counts in (
            ("flagship_edge_evaluations", "Evaluations answered, by reason.", "reason", self._evaluations),
            ("flagship_edge_requests", "Requests answered, by status.", "status", self.requests),
        ):
            counter = CounterMetricFamily(name, text, labels=[label])
            for value, count in counts.items():
                counter.add_metric([str(value)], count)
            yield counter
        by_key = CounterMetricFamily(
            "flagship_edge_key_requests",
            "Requests answered, by environment and key (its public prefix).",
            labels=["environment", "key"],
        )
        for (environment, key), count in self._by_key.items():
            by_key.add_metric([environment, key], count)
        yield by_key
        histogram = HistogramMetricFamily(
            "flagship_edge_request_seconds", "How long an answer took, by environment.", labels=["environment"]
        )
        for environment, latency in self._latencies.items():
            histogram.add_metric([environment], latency.buckets(), latency.total)
        yield histogram
        found = list(self._sources())
        for name, text, read in _GAUGES:
            gauge = GaugeMetricFamily(name, text, labels=["environment"])
            for environment, status, streams in found:
                gauge.add_metric([environment], float(read(status, streams)))
            yield gauge


_GAUGES: tuple[tuple[str, str, Callable[[Status, int], float]], ...] = (
    ("flagship_edge_config_version", "The configuration version applied.", lambda status, _: status.config_version),
    ("flagship_edge_ready", "Whether a configuration was had.", lambda status, _: status.is_ready),
    ("flagship_edge_stale", "Whether answers are marked stale.", lambda status, _: status.is_stale),
    ("flagship_edge_streams", "Streams served.", lambda _, streams: streams),
    ("flagship_edge_events_pending", "Events waiting to be sent.", lambda status, _: status.events_pending),
    ("flagship_edge_events_dropped", "Events dropped for want of room.", lambda status, _: status.events_dropped),
)
