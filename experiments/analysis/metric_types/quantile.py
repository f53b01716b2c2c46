"""A quantile of the values of single events, such as the 95th percentile of latency."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from analytics.selectors import Aggregate, Distribution, Figure, Kind, Pairing, PairSummary, Scope
from experiments.analysis.arms import Arm, Measure
from experiments.analysis.effects import SHARE_ABOVE, Effect, effect_of_comparison
from experiments.analysis.event_quantiles import quantiles_of_rows, quantiles_of_units
from experiments.analysis.metric_types.base import MetricType, paired_moments
from experiments.analysis.metric_types.fields import QUANTILE_LEVEL, VALUE_PROPERTY
from experiments.analysis.window_data import WindowData
from experiments.statistics.estimates import Estimate
from experiments.statistics.quantiles import (
    QuantileSummary,
    is_tied,
    quantile_estimate,
    quantile_lift,
    quantile_test,
    share_above,
    tied_test,
)
from experiments.statistics.summaries import Moments


class Quantile(MetricType):
    """A quantile over events, with an interval that counts how much the events of one user resemble each other.

    Its arms have the users' totals beside it.
    """

    key = "quantile"
    label = "Quantile (of event values)"
    fields = frozenset({VALUE_PROPERTY, QUANTILE_LEVEL})
    required = frozenset({QUANTILE_LEVEL})
    uncapped = "not winsorised: extreme values do not move a quantile"
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
        rows = {key: found[key].rows if key in found else None for key in totals.arms}
        of_arm = quantiles_of_rows(rows, self.level)
        return replace(totals, arms={key: replace(arm, quantile=of_arm[key]) for key, arm in totals.arms.items()})

    def measure_units(self, data: WindowData, variants: Sequence[str], until: datetime) -> Measure:
        metric = self.metric
        found = self.unit_figures(data, metric.event_name, variants, until, value_property=metric.value_property)
        of_arm = quantiles_of_units({key: found.event_values[key] for key in variants}, self.level)
        arms = {
            key: Arm(
                key,
                Moments.from_values(found.sums[key]),
                quantile=of_arm[key],
                late=found.late[key],
            )
            for key in variants
        }
        return Measure(metric, arms, self.notes(data))

    def effect(self, control: Arm, treatment: Arm, alpha: float) -> Effect:
        if control.quantile is None or treatment.quantile is None:
            raise ValueError("both arms of a quantile metric have a quantile")
        if is_tied(control.quantile, treatment.quantile):
            tied, tied_lift = tied_test(control.quantile, treatment.quantile, self.level, alpha)
            return effect_of_comparison(tied, tied_lift, of=SHARE_ABOVE, note=_of_ties(control.quantile))
        test = quantile_test(control.quantile, treatment.quantile, self.level, alpha)
        lift = quantile_lift(control.quantile, treatment.quantile, self.level, alpha)
        return effect_of_comparison(test, lift)

    def estimate(self, arm: Arm) -> Estimate | None:
        has_values = arm.quantile is not None and arm.quantile.n > 1
        return quantile_estimate(arm.quantile, self.level) if has_values and arm.quantile else None

    def guarded(self, control: Arm, treatment: Arm) -> tuple[Estimate | None, Estimate | None, str | None]:
        before, after = control.quantile, treatment.quantile
        if before is None or after is None or not is_tied(before, after):
            return super().guarded(control, treatment)
        return share_above(before), share_above(after), _of_ties(before)


def _of_ties(arm: QuantileSummary) -> str | None:
    if arm.ties is None:
        return None
    value = f"{arm.ties.value:g}"
    return (
        f"{arm.ties.mass:.1%} of the events are exactly {value}, the quantile, so the share of events above {value} is "
        "compared in its place"
    )
