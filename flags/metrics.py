"""Prometheus figures of evaluation and propagation, summed over worker processes."""

from prometheus_client import Counter, Gauge, Histogram

EVALUATIONS = Counter("flagship_evaluations", "Evaluations answered, by the contract's reason.", ["reason"])
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
