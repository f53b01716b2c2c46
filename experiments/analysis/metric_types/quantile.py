"""A quantile of the values of single events, such as the 95th percentile of latency."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from analytics.selectors import Aggregate, Distribution, Figure, Kind, Pairing, PairSummary, Scope
from experiments.analysis.arms import Arm, Measure
from experiments.analysis.effects import Effect, effect_of_comparison
from experiments.analysis.event_quantiles import quantile_of_rows, quantile_of_units
from experiments.analysis.metric_types.base import MetricType, paired_moments
from experiments.analysis.metric_types.fields import QUANTILE_LEVEL, VALUE_PROPERTY
from experiments.analysis.window_data import WindowData
from experiments.statistics.estimates import Estimate
from experiments.statistics.quantiles import quantile_estimate, quantile_lift, quantile_test
from experiments.statistics.summaries import Moments


class Quantile(MetricType):
    """A quantile over events, with an interval that counts how much the events of one user resemble each other.

    Its arms have the users' totals beside it.
    """

    key = "quantile"
    label = "Quantile (of event values)"
    fields = frozenset({VALUE_PROPERTY, QUANTILE_LEVEL})
    required = frozenset({QUANTILE_LEVEL})
    unadjusted = "not adjusted by CUPED, which is for means of users' figures: a quantile is none"

    @property
    def level(self) -> float:
        return self.metric.quantile or 0.5

    def pairing(self, data: WindowData, until: datetime) -> Pairing:
        figure = Figure(Kind.TOTAL, self.metric.event_name, self.metric.value_property)
        return Pairing(figure, None, self.window, data.window.deadline - until)

    def distribution(self, data: WindowData, until: datetime) -> Distribution:
        return Distribution(Scope.EVENTS, self.pairing(data, until))

    def aggregates(self, data: WindowData) -> list[Aggregate]:
        until = data.window.until
        return [self.distribution(data, until), self.pairing(data, until)]

    def arm(self, key: str, pairing: Pairing, found: PairSummary | None) -> Arm:  # noqa: ARG002 - the interface's
        return Arm(key, paired_moments(found).y, late=found.late if found else 0)

    def measure_sums(self, data: WindowData, variants: Sequence[str], until: datetime) -> Measure:
        totals = super().measure_sums(data, variants, until)
        found = data.distribution(self.distribution(data, until), until)
        arms = {
            key: replace(arm, quantile=quantile_of_rows(found[key].rows if key in found else None, self.level))
            for key, arm in totals.arms.items()
        }
        return replace(totals, arms=arms)

    def measure_units(self, data: WindowData, variants: Sequence[str], until: datetime) -> Measure:
        metric = self.metric
        found = self.unit_figures(data, metric.event_name, variants, until, value_property=metric.value_property)
        arms = {
            key: Arm(
                key,
                Moments.from_values(found.sums[key]),
                quantile=quantile_of_units(found.event_values[key], self.level),
                late=found.late[key],
            )
            for key in variants
        }
        return Measure(metric, arms, self.notes(data))

    def compare(self, control: Arm, treatment: Arm, alpha: float) -> Effect:
        if control.quantile is None or treatment.quantile is None:
            raise ValueError("both arms of a quantile metric have a quantile")
        test = quantile_test(control.quantile, treatment.quantile, self.level, alpha)
        lift = quantile_lift(control.quantile, treatment.quantile, self.level, alpha)
        return effect_of_comparison(test, lift, alpha)

    def estimate(self, arm: Arm) -> Estimate | None:
        has_values = arm.quantile is not None and arm.quantile.n > 1
        return quantile_estimate(arm.quantile, self.level) if has_values and arm.quantile else None
