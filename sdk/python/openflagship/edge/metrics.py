"""The edge's metrics, in their own registry. Requests count in a dict, which is read only when it is scraped."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from openflagship.client import Status


class Metrics(Collector):
    """Counts requests and evaluations. The other figures come from each environment's client at a scrape."""

    def __init__(self, sources: Callable[[], Iterable[tuple[str, Status, int]]]) -> None:
        """`sources`: for each environment a name, its client's status and the number of its streams."""
        self._sources = sources
        self._registry = CollectorRegistry()
        self._evaluations: Counter[str] = Counter()
        self.requests: Counter[int] = Counter()
        self._registry.register(self)

    def count_evaluation(self, reason: str) -> None:
        self._evaluations[reason] += 1

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
