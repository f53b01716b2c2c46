"""What Prometheus sees of events on their way in; each figure adds up across the processes of one installation."""

from prometheus_client import Counter, Gauge, Histogram

EXPOSURE_BUFFER_DEPTH = Gauge(
    "flagship_exposure_buffer_depth", "Exposures in memory, not in the stream yet.", multiprocess_mode="livesum"
)
EXPOSURES_DROPPED = Counter("flagship_exposures_dropped", "Exposures dropped because the buffer was full.")
EVENTS_ACCEPTED = Counter(
    "flagship_events_accepted", "Events taken in by the API, by where they were made durable.", ["kind", "into"]
)
EVENTS_REJECTED = Counter("flagship_events_rejected", "Events refused by the API, by code.", ["code"])
EVENTS_WARNED = Counter("flagship_events_warned", "Warnings in the API's answers to events, by code.", ["code"])
EVENTS_INGESTED = Counter("flagship_events_ingested", "Events read from the stream, stored or known already.", ["kind"])
EVENTS_DUPLICATE = Counter("flagship_events_duplicate", "Events whose id was stored before.", ["kind"])
DEAD_LETTERS = Counter("flagship_dead_letters", "Events put aside because they could not be stored.")
INGEST_BATCH_SECONDS = Histogram(
    "flagship_ingest_batch_seconds",
    "Time to store one batch, commit included.",
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
)
