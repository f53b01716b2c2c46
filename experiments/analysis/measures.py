"""One metric in every arm: what the storage has summed up, as the statistics' frozen summaries."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from analytics import selectors as events
from experiments.models import Metric
from experiments.statistics.proportions import wilson_limits
from experiments.statistics.summaries import Moments, Proportion

DEFAULT_WINDOW = timedelta(days=7)


@dataclass(frozen=True, slots=True)
class Arm:
    """Either `proportion` (binary metrics) or only `moments`; both describe the same users."""

    key: str
    moments: Moments
    proportion: Proportion | None = None
    late: int = 0

    @property
    def users(self) -> int:
        return int(self.moments.n)

    @property
    def figure(self) -> float | None:
        """The rate or the mean, None without users."""
        return self.moments.mean if self.moments.n else None

    def as_resource(self, alpha: float) -> dict[str, Any]:
        resource: dict[str, Any] = {
            "key": self.key,
            "users": self.users,
            "conversions": None,
            "rate": None,
            "mean": None,
            "total": self.moments.total,
            "standardDeviation": None if self.moments.variance is None else self.moments.variance**0.5,
            "ci": None,
        }
        if self.proportion is not None:
            limits = wilson_limits(self.proportion, alpha)
            resource.update(
                conversions=int(self.proportion.conversions),
                rate=self.proportion.rate,
                ci=list(limits) if limits else None,
            )
        else:
            resource["mean"] = self.figure
        return resource


@dataclass(frozen=True, slots=True)
class Measure:
    """A metric's arms by variant, or the reason why it cannot be computed."""

    metric: Metric
    arms: Mapping[str, Arm]
    reason: str | None = None

    @property
    def late(self) -> int:
        return sum(arm.late for arm in self.arms.values())


def window_of_metric(metric: Metric) -> timedelta:
    """How long after its first exposure a user's events count."""
    return timedelta(hours=metric.window_hours) if metric.window_hours else DEFAULT_WINDOW


def why_not_computable(metric: Metric) -> str | None:
    if metric.type in {Metric.Type.RATIO, Metric.Type.QUANTILE}:
        return f"{metric.key}: the event storage does not sum up {metric.get_type_display().lower()} metrics yet"
    if metric.cap is not None:
        return f"{metric.key}: the event storage does not cap users' totals yet"
    return None


def measure(
    environment_id: int,
    experiment: str,
    metric: Metric,
    *,
    variants: list[str],
    since: datetime,
    until: datetime,
    deadline: datetime,
) -> Measure:
    """Sum the metric up for users first exposed in [since, until), from events before `deadline`.

    A variant that nobody saw is an arm without users.
    """
    reason = why_not_computable(metric)
    if reason is not None:
        return Measure(metric, {key: Arm(key, Moments(0, 0.0, 0.0)) for key in variants}, reason)
    window = window_of_metric(metric)
    grace = deadline - until
    if metric.type == Metric.Type.BINARY:
        found = events.binary_summary(environment_id, experiment, metric.event_name, since, until, window, grace)
        return Measure(metric, {key: _binary_arm(key, found.get(key)) for key in variants})
    values = events.value_summary(environment_id, experiment, metric.event_name, since, until, window, grace)
    is_count = metric.type == Metric.Type.COUNT
    return Measure(metric, {key: _value_arm(key, values.get(key), is_count=is_count) for key in variants})


def _binary_arm(key: str, found: events.BinarySummary | None) -> Arm:
    users, conversions, late = (found.users, found.conversions, found.late) if found else (0, 0, 0)
    return Arm(key, Moments.from_sums(users, conversions, conversions), Proportion(conversions, users), late)


def _value_arm(key: str, found: events.ValueSummary | None, *, is_count: bool) -> Arm:
    if found is None:
        return Arm(key, Moments(0, 0.0, 0.0))
    total, squares = (found.count, found.count_sum_of_squares) if is_count else (found.sum, found.sum_of_squares)
    return Arm(key, Moments.from_sums(found.n, total, squares), None, found.late)
