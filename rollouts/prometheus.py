"""What Prometheus sees of plans, set by the worker that looks at them."""

from prometheus_client import Counter, Gauge

ROLLOUTS = Gauge("flagship_rollouts", "Rollout plans by state.", ["state"], multiprocess_mode="mostrecent")
ROLLOUT_STEPS = Counter("flagship_rollout_looks", "Rollout plans that were due and looked at.")
ROLLOUTS_NEXT_DUE = Gauge(
    "flagship_rollouts_next_due_timestamp_seconds",
    "When the next rollout plan is due, as Unix time; 0: none is.",
    multiprocess_mode="mostrecent",
)
ROLLOUTS_LATE = Gauge(
    "flagship_rollouts_late_seconds",
    "How long the plan has been due that is due longest.",
    multiprocess_mode="mostrecent",
)
ROLLOUT_PROGRESS = Gauge(
    "flagship_rollouts_progress",
    "Share of their steps that running plans have taken, on average; 1: no plan is running.",
    multiprocess_mode="mostrecent",
)
