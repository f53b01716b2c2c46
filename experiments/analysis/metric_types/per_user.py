"""What binary, count and continuous metrics share: one figure a user, whose mean is compared."""

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import ClassVar

from analytics.selectors import Distribution, Figure, Kind, Pairing, PairSummary, Scope
from experiments.analysis.arms import Arm, Measure
from experiments.analysis.capping import capped, figures_of_each_user, note_of_cap
from experiments.analysis.effects import Effect, effect_of_comparison
from experiments.analysis.metric_types.base import COVARIATE_TIME, MetricType, paired_moments
from experiments.analysis.metric_types.fields import CAP
from experiments.analysis.window_data import WindowData
from experiments.payloads import CupedHealth
from experiments.statistics.cuped import cuped_lift, cuped_test, pooled_correlation
from experiments.statistics.distributions import Floats
from experiments.statistics.estimates import Comparison, Estimate
from experiments.statistics.means import mean_estimate, mean_lift, welch_test
from experiments.statistics.summaries import Moments, PairedMoments


class PerUserType(MetricType):
    """The mean over users of one figure each. CUPED adjusts it by the same figure from before."""

    # The user's figure, as the event store names it.
    kind: ClassVar[Kind]

    @property
    def has_caps(self) -> bool:
        """Whether a cap may limit what one user counts."""
        return CAP in self.fields

    @abstractmethod
    def user_figures(self, sums: Floats, counts: Floats) -> Floats:
        """Each user's figure from the sum of values and the number of events."""

    def pairing(self, data: WindowData, until: datetime) -> Pairing:
        plain = Figure(self.kind, self.metric.event_name, self.metric.value_property)
        figure = replace(plain, cap=self.metric.cap) if self.has_caps else plain
        grace = data.window.deadline - until
        if data.experiment.is_cuped:
            return Pairing(figure, plain, self.window, grace, COVARIATE_TIME)
        return Pairing(figure, None, self.window, grace)

    def distribution(self, data: WindowData, until: datetime) -> Distribution | None:
        if data.plan.winsorize_percent is None or not self.has_caps:
            return None
        pairing = self.pairing(data, until)
        return Distribution(Scope.UNITS, replace(pairing, y=replace(pairing.y, cap=None)))

    def measure_sums(self, data: WindowData, variants: Sequence[str], until: datetime) -> Measure:
        asked = self.distribution(data, until)
        if asked is not None:
            found = data.distribution(asked, until)
            now, before = (figures_of_each_user(found, variants, name) for name in ("y", "x"))
            late = {key: found[key].late if key in found else 0 for key in variants}
            return self._from_figures(data, now, before, late)
        pairing = self.pairing(data, until)
        sums = data.pairs(pairing, until)
        arms = {key: self.arm(key, pairing, sums.get(key)) for key in variants}
        if pairing.y.cap is None:
            return Measure(self.metric, arms, self.notes(data))
        above = sum(summary.above_cap for key, summary in sums.items() if key in arms)
        users = sum(arm.users for arm in arms.values())
        return Measure(self.metric, arms, (note_of_cap(pairing.y.cap, above / users if users else 0.0),))

    def measure_units(self, data: WindowData, variants: Sequence[str], until: datetime) -> Measure:
        metric = self.metric
        found = self.unit_figures(data, metric.event_name, variants, until, value_property=metric.value_property)
        now = {key: self.user_figures(found.sums[key], found.counts[key]) for key in variants}
        before = {key: self.user_figures(found.sums_before[key], found.counts_before[key]) for key in variants}
        return self._from_figures(data, now, before, found.late)

    def _from_figures(
        self, data: WindowData, figures: Mapping[str, Floats], before: Mapping[str, Floats], late: Mapping[str, int]
    ) -> Measure:
        """From each user's figure, beside the same from before."""
        counted, notes = figures, self.notes(data)
        if self.has_caps:
            counted, notes = capped(data.plan.winsorize_percent, self.metric, figures)
        arms = {
            key: self.arm_of_users(
                Arm(
                    key,
                    Moments.from_values(values),
                    covariate=PairedMoments.from_values(values, before[key]) if data.experiment.is_cuped else None,
                    late=late[key],
                ),
                float(values.sum()),
            )
            for key, values in counted.items()
        }
        return Measure(self.metric, arms, notes)

    def arm(self, key: str, pairing: Pairing, found: PairSummary | None) -> Arm:
        paired = paired_moments(found)
        arm = Arm(key, paired.y, covariate=paired if pairing.before else None, late=found.late if found else 0)
        return self.arm_of_users(arm, found.sum_y if found else 0.0)

    def arm_of_users(self, arm: Arm, total: float) -> Arm:  # noqa: ARG002 - subclasses use it
        """The arm with what the type adds to it; `total` is the sum of the users' figures."""
        return arm

    def effect(self, control: Arm, treatment: Arm, alpha: float) -> Effect:
        adjusted = None
        if control.covariate is not None and treatment.covariate is not None:
            adjusted = _adjusted_effect(control.covariate, treatment.covariate, alpha)
        return self.compare_unadjusted(control, treatment, alpha) if adjusted is None else adjusted

    def compare_unadjusted(self, control: Arm, treatment: Arm, alpha: float) -> Effect:
        test = welch_test(control.moments, treatment.moments, alpha)
        return effect_of_comparison(test, mean_lift(control.moments, treatment.moments, alpha))

    def p_value(self, control: Moments, treatment: Moments) -> float | None:
        """Of the test alone; None where it cannot be made."""
        return welch_test(control, treatment).p_value

    def estimate(self, arm: Arm) -> Estimate | None:
        return mean_estimate(arm.moments) if arm.users else None


def _adjusted_effect(control: PairedMoments, treatment: PairedMoments, alpha: float) -> Effect | None:
    """By CUPED; None where the adjustment has no error to test with."""
    found = cuped_test(control, treatment, alpha)
    if found.se is None or found.theta is None:
        return None
    test = Comparison(found.diff, found.se, found.df, found.t, found.p_value, found.ci_low, found.ci_high)
    health: CupedHealth = {
        "theta": found.theta,
        "correlation": pooled_correlation(control, treatment),
        "varianceRemoved": found.variance_reduction,
    }
    return effect_of_comparison(test, cuped_lift(control, treatment, alpha), cuped=health)
