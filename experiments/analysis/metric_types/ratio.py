"""The ratio of two sums, such as clicks per view or revenue per order."""

from collections.abc import Mapping, Sequence
from datetime import datetime

from analytics.selectors import Distribution, Figure, Kind, Pairing, PairSummary, Scope
from experiments.analysis.arms import Arm, Measure
from experiments.analysis.capping import Figures, figures_of_each_user, winsorised
from experiments.analysis.effects import Effect, effect_of_comparison
from experiments.analysis.metric_types.base import MetricType, paired_moments
from experiments.analysis.metric_types.fields import DENOMINATOR, VALUE_PROPERTY
from experiments.analysis.window_data import WindowData
from experiments.statistics.estimates import Comparison, Estimate
from experiments.statistics.ratios import ratio_estimate, ratio_lift, ratio_test
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

    def distribution(self, data: WindowData, until: datetime) -> Distribution | None:
        return None if data.plan.winsorize_percent is None else Distribution(Scope.UNITS, self.pairing(data, until))

    def measure_sums(self, data: WindowData, variants: Sequence[str], until: datetime) -> Measure:
        asked = self.distribution(data, until)
        if asked is None:
            return super().measure_sums(data, variants, until)
        found = data.distribution(asked, until)
        above, below = (figures_of_each_user(found, variants, name) for name in ("y", "x"))
        late = {key: found[key].late if key in found else 0 for key in variants}
        return self._from_figures(data, above, below, late)

    def arm(self, key: str, pairing: Pairing, found: PairSummary | None) -> Arm:  # noqa: ARG002 - the interface's
        paired = paired_moments(found)
        return Arm(key, paired.y, ratio=paired, late=found.late if found else 0)

    def measure_units(self, data: WindowData, variants: Sequence[str], until: datetime) -> Measure:
        metric = self.metric
        above = self.unit_figures(data, metric.event_name, variants, until, value_property=metric.value_property)
        below = self.unit_figures(data, metric.denominator_event_name, variants, until)
        late = {key: above.late[key] + below.late[key] for key in variants}
        return self._from_figures(data, above.amounts, below.amounts, late)

    def _from_figures(self, data: WindowData, above: Figures, below: Figures, late: Mapping[str, int]) -> Measure:
        """From each user's numerator and denominator. Winsorising caps either by itself, as ratios of capped sums."""
        notes = self.notes(data)
        if data.plan.winsorize_percent is not None:
            above, of_above = winsorised(data.plan.winsorize_percent, above)
            below, of_below = winsorised(data.plan.winsorize_percent, below)
            notes += (f"numerator: {of_above}", f"denominator: {of_below}")
        arms = {}
        for key, values in above.items():
            paired = PairedMoments.from_values(values, below[key])
            arms[key] = Arm(key, paired.y, ratio=paired, late=late[key])
        return Measure(self.metric, arms, notes)

    def effect(self, control: Arm, treatment: Arm, alpha: float) -> Effect:
        if control.ratio is None or treatment.ratio is None:
            raise ValueError("both arms of a ratio metric have a numerator and a denominator")
        found = ratio_test(control.ratio, treatment.ratio, alpha)
        test = Comparison(
            found.diff, found.se, found.df, None, found.p_value, found.ci_low, found.ci_high, found.reason
        )
        return effect_of_comparison(test, ratio_lift(control.ratio, treatment.ratio, alpha))

    def estimate(self, arm: Arm) -> Estimate | None:
        return None if arm.ratio is None else ratio_estimate(arm.ratio)
