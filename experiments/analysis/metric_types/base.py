"""What a metric type is: figure, summary, effect, planning, fields and validity, in one class."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import ClassVar

from analytics.selectors import Aggregate, Distribution, Figure, Kind, Pairing, PairSummary
from experiments.analysis.arms import Arm, Measure
from experiments.analysis.effects import Effect, Posterior, flat_posterior, posterior_of_lift
from experiments.analysis.metric_types.fields import TYPE_FIELDS, TypeField
from experiments.analysis.metric_types.power import PowerModel
from experiments.analysis.units import UnitFigures
from experiments.analysis.window_data import WindowData
from experiments.models import Metric
from experiments.statistics.estimates import Estimate
from experiments.statistics.summaries import PairedMoments
from tenancy.errors import Problem

DEFAULT_WINDOW = timedelta(days=7)
# A covariate is the same metric in this time before a user's first exposure.
COVARIATE_TIME = timedelta(days=14)


@dataclass(frozen=True, slots=True)
class Segment:
    """The users who carried one value of an attribute: their number in all variants, and the metric's arms."""

    users: int
    measure: Measure


class MetricType(ABC):
    """A type of metric, bound to one metric of it."""

    # Its name in the database and the API, and in the console.
    key: ClassVar[str]
    label: ClassVar[str]
    # The fields that this type takes, and those among them that it cannot do without.
    fields: ClassVar[frozenset[TypeField]] = frozenset()
    required: ClassVar[frozenset[TypeField]] = frozenset()
    # Whether its figure is a share of the users, so that differences are points of percent.
    is_rate: ClassVar[bool] = False
    # Why CUPED leaves its figure as it is; empty where CUPED adjusts it.
    unadjusted: ClassVar[str] = ""
    # Why winsorising leaves its figure as it is; empty where it caps it.
    uncapped: ClassVar[str] = ""
    # How sample sizes are worked out; None where they are not.
    power: ClassVar[PowerModel | None] = None

    def __init__(self, metric: Metric) -> None:
        self.metric = metric

    @property
    def window(self) -> timedelta:
        """How long after its first exposure a user's events count."""
        return timedelta(hours=self.metric.window_hours) if self.metric.window_hours else DEFAULT_WINDOW

    # Figure: what is asked of the event store.

    @abstractmethod
    def pairing(self, data: WindowData, until: datetime) -> Pairing:
        """The sums over users that the figure rests on."""

    def distribution(self, data: WindowData, until: datetime) -> Distribution | None:  # noqa: ARG002 - subclasses use them
        """The values it rests on, where a share of all users or events decides; None where sums will do."""
        return None

    def aggregates(self, data: WindowData) -> list[Aggregate]:
        """All that `measure` asks of the store, to be prepared for days that cannot change any more."""
        distribution = self.distribution(data, data.window.until)
        return [self.pairing(data, data.window.until) if distribution is None else distribution]

    def segment_pairing(self, data: WindowData) -> Pairing | None:
        """What `segments` asks of the store; None for a figure that sums do not answer."""
        until = data.window.until
        return self.pairing(data, until) if self.distribution(data, until) is None else None

    # Summary: what is made of the answer.

    def measure(self, data: WindowData, variants: Sequence[str], until: datetime | None = None) -> Measure:
        """Sum the metric up for users first exposed in the window, or before `until` if that is earlier.

        A variant without exposures is an arm without users.
        """
        end = until or data.window.until
        return self.measure_units(data, variants, end) if data.is_narrowed else self.measure_sums(data, variants, end)

    def measure_sums(self, data: WindowData, variants: Sequence[str], until: datetime) -> Measure:
        """From the store's sums."""
        pairing = self.pairing(data, until)
        found = data.pairs(pairing, until)
        arms = {key: self.arm(key, pairing, found.get(key)) for key in variants}
        return Measure(self.metric, arms, self.notes(data))

    def pre_period_pairing(self, data: WindowData) -> Pairing:
        """The sum over users of what they did before their first exposure (x), by which the arms should not differ."""
        pairing = self.pairing(data, data.window.until)
        plain = replace(pairing.y, cap=None)
        return pairing if pairing.before else replace(pairing, y=plain, x=plain, before=COVARIATE_TIME)

    def conversion_pairing(self, data: WindowData, until: datetime) -> Pairing:
        """The sum over users that counts those with at least one of the metric's events."""
        return Pairing(Figure(Kind.CONVERTED, self.metric.event_name), None, self.window, data.window.deadline - until)

    def conversions(self, data: WindowData, variants: Sequence[str], until: datetime) -> dict[str, float]:
        """Users first exposed before `until` who have at least one of the metric's events, by variant."""
        if data.is_narrowed:
            found = self.unit_figures(data, self.metric.event_name, variants, until)
            return {key: float((found.counts[key] > 0).sum()) for key in variants}
        sums = data.pairs(self.conversion_pairing(data, until), until)
        return {key: sums[key].sum_y if key in sums else 0.0 for key in variants}

    @abstractmethod
    def measure_units(self, data: WindowData, variants: Sequence[str], until: datetime) -> Measure:
        """From the users one by one, where the store's sums are about other users."""

    @abstractmethod
    def arm(self, key: str, pairing: Pairing, found: PairSummary | None) -> Arm:
        """One variant from the store's sums; None is a variant without users."""

    def segments(self, data: WindowData, attribute: str, variants: Sequence[str]) -> dict[str | None, Segment] | None:
        """The arms by the value of an attribute that users carried; None where sums do not answer the metric.

        Users of variants that are not asked for count in the number alone.
        """
        pairing = self.segment_pairing(data)
        if pairing is None:
            return None
        return {
            value: Segment(
                sum(summary.n for summary in sums.values()),
                Measure(self.metric, {key: self.arm(key, pairing, sums.get(key)) for key in variants}),
            )
            for value, sums in data.segments(pairing, attribute).items()
        }

    def notes(self, data: WindowData) -> tuple[str, ...]:
        """What the experiment asks for and this type does not do, with the reason."""
        is_winsorised = data.plan.winsorize_percent is not None
        asked = ((self.unadjusted, data.experiment.is_cuped), (self.uncapped, is_winsorised))
        return tuple(reason for reason, is_asked in asked if reason and is_asked)

    def unit_figures(
        self, data: WindowData, event_name: str, variants: Sequence[str], until: datetime, *, value_property: str = ""
    ) -> UnitFigures:
        return data.units(until).figures(
            event_name,
            variants=variants,
            window=self.window,
            deadline=data.window.deadline,
            before=COVARIATE_TIME if data.experiment.is_cuped else timedelta(0),
            value_property=value_property,
        )

    # Effect: how a treatment is compared with the control.

    @abstractmethod
    def effect(self, control: Arm, treatment: Arm, alpha: float) -> Effect: ...

    def posterior(
        self, control: Arm, treatment: Arm, found: Effect, *, alpha: float, prior_sd: float | None = None
    ) -> Posterior:
        """Of `found`, the effect of these arms; with `prior_sd` of the lift, by the same prior for every type."""
        flat_or_not = (
            self.flat_posterior(control, treatment, found, alpha)
            if prior_sd is None
            else posterior_of_lift(found, prior_sd, alpha)
        )
        return flat_or_not.with_goal_reversed() if self.metric.goal == Metric.Goal.DECREASE else flat_or_not

    def flat_posterior(self, control: Arm, treatment: Arm, found: Effect, alpha: float) -> Posterior:  # noqa: ARG002 - subclasses use them
        return flat_posterior(found, alpha)

    @abstractmethod
    def estimate(self, arm: Arm) -> Estimate | None:
        """An arm's figure with its variance, None where there is none."""

    def guarded(self, control: Arm, treatment: Arm) -> tuple[Estimate | None, Estimate | None, str | None]:
        """What a guardrail compares of the two, and a note where that is another figure than the metric's."""
        return self.estimate(control), self.estimate(treatment), None

    # Validity: what is refused for this type.

    def problems(self) -> list[Problem]:
        found = [
            field.problem_of(self.metric, is_allowed=field in self.fields, is_required=field in self.required)
            for field in TYPE_FIELDS
        ]
        return [problem for problem in found if problem is not None]


def paired_moments(found: PairSummary | None) -> PairedMoments:
    if found is None:
        return PairedMoments(0, 0.0, 0.0, 0.0, 0.0, 0.0)
    return PairedMoments(found.n, found.mean_y, found.mean_x, found.m2_y, found.m2_x, found.c_xy)
