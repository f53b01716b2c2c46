"""Prometheus figures of what is told to the outside, summed over worker processes."""

from prometheus_client import Counter, Gauge, Histogram

WEBHOOK_DELIVERIES = Counter("flagship_webhook_deliveries", "Attempts to deliver an event, by outcome.", ["state"])
WEBHOOK_SECONDS = Histogram(
    "flagship_webhook_seconds",
    "Time of a call to a receiver.",
    buckets=(0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
)
NOTIFICATIONS = Counter(
    "flagship_notifications", "Messages to people that a channel took or did not take.", ["channel", "state"]
)
EXPORTS = Counter(
    "flagship_exports", "Pieces that a target outside took or did not take, by the kind of target.", ["target", "state"]
)
EXPORT_POSITION_SECONDS = Gauge(
    "flagship_export_behind_seconds",
    "How far an export is behind what there is, by the kind of target; 0 where it has all.",
    ["target"],
    multiprocess_mode="mostrecent",
)
