"""The ratio of two sums, such as clicks per view or revenue per order."""

from collections.abc import Sequence
from datetime import datetime

from analytics.selectors import Figure, Kind, Pairing, PairSummary
from experiments.analysis.arms import Arm, Measure
from experiments.analysis.effects import Effect, effect_of_comparison
from experiments.analysis.metric_types.base import MetricType, paired_moments
from experiments.analysis.metric_types.fields import DENOMINATOR, VALUE_PROPERTY
from experiments.analysis.window_data import WindowData
from experiments.statistics.estimates import Comparison, Estimate, Lift
from experiments.statistics.ratios import ratio_estimate, ratio_test
from experiments.statistics.summaries import PairedMoments


class Ratio(MetricType):
    """Two sums per user, compared by the delta method with the user as unit.

    An event without a value counts as 1: clicks per view is a ratio of counts, revenue per order one of sums.
    """

    key = "ratio"
    label = "Ratio (of two sums)"
    fields = frozenset({DENOMINATOR, VALUE_PROPERTY})
    required = frozenset({DENOMINATOR})
    unadjusted = "not adjusted by CUPED, which is for means of users' figures: a ratio divides two sums"

    def pairing(self, data: WindowData, until: datetime) -> Pairing:
        above = Figure(Kind.AMOUNT, self.metric.event_name, self.metric.value_property)
        below = Figure(Kind.AMOUNT, self.metric.denominator_event_name)
        return Pairing(above, below, self.window, data.window.deadline - until)

    def arm(self, key: str, pairing: Pairing, found: PairSummary | None) -> Arm:  # noqa: ARG002 - the interface's
        paired = paired_moments(found)
        return Arm(key, paired.y, ratio=paired, late=found.late if found else 0)

    def measure_units(self, data: WindowData, variants: Sequence[str], until: datetime) -> Measure:
        metric = self.metric
        above = self.unit_figures(data, metric.event_name, variants, until, value_property=metric.value_property)
        below = self.unit_figures(data, metric.denominator_event_name, variants, until)
        arms = {}
        for key in variants:
            paired = PairedMoments.from_values(above.amounts[key], below.amounts[key])
            arms[key] = Arm(key, paired.y, ratio=paired, late=above.late[key] + below.late[key])
        return Measure(metric, arms, self.notes(data))

    def compare(self, control: Arm, treatment: Arm, alpha: float) -> Effect:
        if control.ratio is None or treatment.ratio is None:
            raise ValueError("both arms of a ratio metric have a numerator and a denominator")
        found = ratio_test(control.ratio, treatment.ratio, alpha)
        test = Comparison(
            found.diff, found.se, found.df, None, found.p_value, found.ci_low, found.ci_high, found.reason
        )
        lift = Lift(found.lift, found.lift_se, found.lift_p_value, found.lift_ci_low, found.lift_ci_high)
        return effect_of_comparison(test, lift, alpha)

    def estimate(self, arm: Arm) -> Estimate | None:
        return None if arm.ratio is None else ratio_estimate(arm.ratio)
