"""Prometheus figures of evaluation and propagation, summed over worker processes."""

import atexit
import os
import threading
from collections.abc import Callable, Mapping

from openflagship.engine import CompiledEnvironment
from openflagship.engine.answer import OPENFEATURE_REASONS
from prometheus_client import Counter, Gauge, Histogram

from analytics.usage.tally import USAGE
from tenancy.process_memory import on_reset


class Tally:
    """Tells Prometheus what evaluations are counted as elsewhere, at `harvest`: shared memory would cost a tenth."""

    def __init__(self, counter: Counter, counted: Callable[[], Mapping[str, int]]) -> None:
        self._counters = {reason: counter.labels(reason) for reason in OPENFEATURE_REASONS}
        self._counted = counted
        self.reset()

    def reset(self) -> None:
        """Begin as what is counted does: with nothing, and in a child process too."""
        self._told = dict.fromkeys(self._counters, 0)
        self._harvesting = threading.Lock()

    def harvest(self) -> None:
        """Add what was counted since the last time to the Prometheus counters."""
        with self._harvesting:
            for reason, count in self._counted().items():
                self._counters[reason].inc(count - self._told[reason])
                self._told[reason] = count


EVALUATIONS = Tally(
    Counter("flagship_evaluations", "Evaluations answered, by the contract's reason.", ["reason"]), USAGE.by_reason
)
on_reset(EVALUATIONS.reset)
os.register_at_fork(after_in_child=EVALUATIONS.reset)
atexit.register(EVALUATIONS.harvest)
EVALUATION_SECONDS = Histogram(
    "flagship_evaluation_request_seconds",
    "Time to answer an evaluation; one in 16 on the fast lane is timed.",
    buckets=(0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.05, 0.25, 1),
)
SNAPSHOT_VERSION = Gauge(
    "flagship_snapshot_version",
    "Configuration version in memory, the oldest of all workers.",
    ["environment"],
    multiprocess_mode="livemin",
)
SNAPSHOT_AGE_SECONDS = Gauge(
    "flagship_snapshot_age_seconds",
    "Seconds since the configuration was last confirmed, the worst of all workers.",
    multiprocess_mode="livemax",
)
PROPAGATION_SECONDS = Histogram(
    "flagship_propagation_seconds",
    "From a change's write to this process serving it, for what was heard on the channel.",
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2, 5, 30),
)
STREAM_CLIENTS = Gauge(
    "flagship_stream_clients", "Open streams, over all stream processes.", multiprocess_mode="livesum"
)
STREAM_CLOSED = Counter(
    "flagship_stream_closed",
    "Streams that ended: the client left, was too slow, or was sent away by a deploy.",
    ["why"],
)
GRPC_CALLS = Counter("flagship_grpc_calls", "gRPC calls that ended, by method and status.", ["method", "status"])


def observe_runtime(age_seconds: float, environments: Mapping[int, CompiledEnvironment]) -> None:
    """Set this process's gauges; every process that serves sets its own, whichever of them is scraped."""
    SNAPSHOT_AGE_SECONDS.set(age_seconds)
    for environment_id, environment in environments.items():
        SNAPSHOT_VERSION.labels(str(environment_id)).set(environment.version)
