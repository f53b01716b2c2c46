"""One metric in every variant, as the statistics' frozen summaries."""

from collections.abc import Mapping
from dataclasses import dataclass

from experiments.models import Metric
from experiments.payloads import VariantFigures
from experiments.statistics.proportions import wilson_limits
from experiments.statistics.quantiles import QuantileSummary
from experiments.statistics.ratios import ratio_of
from experiments.statistics.summaries import Moments, PairedMoments, Proportion


@dataclass(frozen=True, slots=True)
class Arm:
    """One variant's users. `moments` are of the user's figure; a binary metric has a `proportion` as well.

    `ratio` (numerator and denominator per user), `quantile` and `covariate` (figure now and before) where they apply.
    """

    key: str
    moments: Moments
    proportion: Proportion | None = None
    ratio: PairedMoments | None = None
    quantile: QuantileSummary | None = None
    covariate: PairedMoments | None = None
    late: int = 0

    @property
    def users(self) -> int:
        return int(self.moments.n)

    @property
    def figure(self) -> float | None:
        """The rate, mean, ratio or quantile; None where there is nothing to take it from."""
        if self.ratio is not None:
            return ratio_of(self.ratio)
        if self.quantile is not None:
            return self.quantile.q_hat if self.quantile.n else None
        return self.moments.mean if self.moments.n else None

    def as_payload(self, alpha: float) -> VariantFigures:
        payload: VariantFigures = {
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
            payload["conversions"] = int(self.proportion.conversions)
            payload["rate"] = self.proportion.rate
            payload["ci"] = list(limits) if limits else None
        else:
            payload["mean"] = self.figure
        return payload


@dataclass(frozen=True, slots=True)
class Measure:
    """A metric's arms by variant; `notes` say what was done to the figures."""

    metric: Metric
    arms: Mapping[str, Arm]
    notes: tuple[str, ...] = ()

    @property
    def late(self) -> int:
        return sum(arm.late for arm in self.arms.values())
