"""What Prometheus sees of the broker: how much is not stored yet, and for how long it has waited."""

from prometheus_client import Gauge

from analytics.pipeline.brokers import broker
from analytics.pipeline.brokers.base import BrokerAwayError

STREAM_LENGTH = Gauge(
    "flagship_event_stream_length", "Batches in the stream that are not stored yet.", multiprocess_mode="mostrecent"
)
INGEST_LAG_SECONDS = Gauge(
    "flagship_ingest_lag_seconds", "Age of the oldest batch that is not stored yet.", multiprocess_mode="mostrecent"
)


def observe_stream() -> None:
    """Read length and lag for a scrape. The broker tells them, so they are right even while no ingest process runs."""
    try:
        STREAM_LENGTH.set(broker().length())
        INGEST_LAG_SECONDS.set(broker().lag_seconds())
    except BrokerAwayError:
        # Unknown, which is not zero; readyz says that the broker is away.
        STREAM_LENGTH.set(float("nan"))
        INGEST_LAG_SECONDS.set(float("nan"))
