"""One metric in every arm, as the statistics' frozen summaries.

From the storage's sums, where a share decides from its distributions, and for some of the users from them one by one.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import numpy as np

from analytics import selectors as events
from analytics import services
from experiments.analysis.event_quantiles import quantile_of_rows, quantile_of_users
from experiments.analysis.units import Source, Values
from experiments.models import Experiment, Metric
from experiments.payloads import VariantFigures
from experiments.statistics.distributions import Floats
from experiments.statistics.proportions import wilson_limits
from experiments.statistics.quantiles import QuantileSummary
from experiments.statistics.ratios import ratio_of
from experiments.statistics.summaries import Moments, PairedMoments, Proportion
from experiments.statistics.winsorising import winsorise

DEFAULT_WINDOW = timedelta(days=7)
# A covariate is the same metric in this time before a user's first exposure.
COVARIATE_TIME = timedelta(days=14)
_KINDS = {
    Metric.Type.BINARY: events.Kind.CONVERTED,
    Metric.Type.COUNT: events.Kind.COUNT,
    Metric.Type.CONTINUOUS: events.Kind.TOTAL,
    # Beside the quantile itself, which is of events: what its users came to.
    Metric.Type.QUANTILE: events.Kind.TOTAL,
}
# Why CUPED leaves a metric as it is.
_NOT_ADJUSTED: dict[str, str] = {
    Metric.Type.RATIO: "not adjusted by CUPED, which is for means of users' figures: a ratio divides two sums",
    Metric.Type.QUANTILE: "not adjusted by CUPED, which is for means of users' figures: a quantile is none",
}


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
        """The rate, mean, ratio or quantile, None where there is nothing to take it from."""
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


def window_of_metric(metric: Metric) -> timedelta:
    """How long after its first exposure a user's events count."""
    return timedelta(hours=metric.window_hours) if metric.window_hours else DEFAULT_WINDOW


def measure(source: Source, metric: Metric, *, variants: list[str], until: datetime | None = None) -> Measure:
    """Sum the metric up for users first exposed in the window (or before `until`, if that is earlier).

    A variant that nobody saw is an arm without users.
    """
    end = until or source.window.until
    if source.is_narrowed:
        return _from_users(source, metric, variants, end)
    if metric.type == Metric.Type.QUANTILE:
        return _from_events(source, metric, variants, end)
    if _is_winsorised(source.experiment, metric):
        return _from_units(source, metric, variants, end)
    if _needs_pairs(source.experiment, metric):
        return _from_pairs(source, metric, variants, end)
    return _from_sums(source, metric, variants, end)


def measure_segments(
    source: Source, metric: Metric, attribute: str, *, variants: Sequence[str]
) -> dict[str | None, tuple[int, Measure]] | None:
    """By the value its users carried their number and the metric's arms; None for a metric that no sums answer.

    Users of variants that are not asked for count in the number alone.
    """
    until = source.window.until
    if _needs_distribution(source.experiment, metric):
        return None
    pairing = _pairing(source, metric, until)
    segments = events.segment_summary(*_place(source, until), pairing, attribute, pauses=source.pauses)
    return {
        value: (
            sum(summary.n for summary in sums.values()),
            Measure(metric, {key: _paired_arm(key, metric, pairing, sums.get(key)) for key in variants}),
        )
        for value, sums in segments.items()
    }


def keep_sums(source: Source, metric: Metric) -> int:
    """Keep what cannot change by tomorrow; return how many days that took."""
    experiment, window = source.experiment, source.window
    place, days = _place(source, window.until), 0
    if _needs_distribution(experiment, metric):
        distribution = _distribution(source, metric, window.until)
        days += services.keep_distribution(*place, distribution, pauses=source.pauses)
        if metric.type != Metric.Type.QUANTILE:
            return days
    if _needs_pairs(experiment, metric):
        pairing = _pairing(source, metric, window.until)
        return days + services.keep_pairs(*place, pairing, pauses=source.pauses)
    asked = (experiment.environment_id, experiment.key, metric.event_name, window.since, window.until)
    return services.keep_sums(*asked, window_of_metric(metric), pauses=source.pauses)


def keep_segments(source: Source, metric: Metric, attribute: str) -> int:
    """As `keep_sums`, for what `measure_segments` answers."""
    if _needs_distribution(source.experiment, metric):
        return 0
    until = source.window.until
    return services.keep_segments(
        *_place(source, until), _pairing(source, metric, until), attribute, pauses=source.pauses
    )


def _place(source: Source, until: datetime) -> tuple[int, str, datetime, datetime]:
    return source.experiment.environment_id, source.experiment.key, source.window.since, until


def _needs_distribution(experiment: Experiment, metric: Metric) -> bool:
    """Where a share of all users, or of all events, decides the figure, no sums do."""
    return metric.type == Metric.Type.QUANTILE or _is_winsorised(experiment, metric)


def _is_winsorised(experiment: Experiment, metric: Metric) -> bool:
    return experiment.winsorize_percent is not None and _has_totals(metric)


def _needs_pairs(experiment: Experiment, metric: Metric) -> bool:
    is_capped = metric.cap is not None and _has_totals(metric)
    is_of_two = metric.type in {Metric.Type.RATIO, Metric.Type.QUANTILE}
    return is_capped or is_of_two or bool(metric.value_property) or experiment.is_cuped


def _has_totals(metric: Metric) -> bool:
    return metric.type in {Metric.Type.COUNT, Metric.Type.CONTINUOUS}


def _from_sums(source: Source, metric: Metric, variants: list[str], until: datetime) -> Measure:
    experiment, window = source.experiment, source.window
    asked = (experiment.environment_id, experiment.key, metric.event_name, window.since, until)
    length, grace = window_of_metric(metric), window.deadline - until
    if metric.type == Metric.Type.BINARY:
        rates = events.binary_summary(*asked, length, grace, pauses=source.pauses)
        return Measure(metric, {key: _binary_arm(key, rates.get(key)) for key in variants})
    values = events.value_summary(*asked, length, grace, pauses=source.pauses)
    is_count = metric.type == Metric.Type.COUNT
    return Measure(metric, {key: _value_arm(key, values.get(key), is_count=is_count) for key in variants})


def _binary_arm(key: str, found: events.BinarySummary | None) -> Arm:
    users, conversions, late = (found.users, found.conversions, found.late) if found else (0, 0, 0)
    return Arm(key, Moments.from_sums(users, conversions, conversions), Proportion(conversions, users), late=late)


def _value_arm(key: str, found: events.ValueSummary | None, *, is_count: bool) -> Arm:
    if found is None:
        return Arm(key, Moments(0, 0.0, 0.0))
    total, squares = (found.count, found.count_sum_of_squares) if is_count else (found.sum, found.sum_of_squares)
    return Arm(key, Moments.from_sums(found.n, total, squares), late=found.late)


def _pairing(source: Source, metric: Metric, until: datetime) -> events.Pairing:
    """The user's figure, beside the ratio's denominator or, for CUPED, the same figure from before."""
    window, grace = window_of_metric(metric), source.window.deadline - until
    if metric.type == Metric.Type.RATIO:
        above = events.Figure(events.Kind.AMOUNT, metric.event_name, metric.value_property)
        return events.Pairing(above, events.Figure(events.Kind.AMOUNT, metric.denominator_event_name), window, grace)
    plain = events.Figure(_KINDS[Metric.Type(metric.type)], metric.event_name, metric.value_property)
    figure = replace(plain, cap=metric.cap) if _has_totals(metric) else plain
    if source.experiment.is_cuped and metric.type != Metric.Type.QUANTILE:
        return events.Pairing(figure, plain, window, grace, COVARIATE_TIME)
    return events.Pairing(figure, None, window, grace)


def _from_pairs(source: Source, metric: Metric, variants: list[str], until: datetime) -> Measure:
    experiment = source.experiment
    pairing = _pairing(source, metric, until)
    sums = events.pair_summary(*_place(source, until), pairing, pauses=source.pauses)
    arms = {key: _paired_arm(key, metric, pairing, sums.get(key)) for key in variants}
    notes: tuple[str, ...] = ()
    if experiment.is_cuped and metric.type in _NOT_ADJUSTED:
        notes = (_NOT_ADJUSTED[metric.type],)
    if pairing.y.cap is not None:
        capped = sum(found.above_cap for key, found in sums.items() if key in arms)
        users = sum(arm.users for arm in arms.values())
        notes += (_note_of_cap(pairing.y.cap, capped / users if users else 0.0),)
    return Measure(metric, arms, notes)


def _paired_arm(key: str, metric: Metric, pairing: events.Pairing, found: events.PairSummary | None) -> Arm:
    if found is None:
        paired, total, late = PairedMoments(0, 0.0, 0.0, 0.0, 0.0, 0.0), 0.0, 0
    else:
        paired = PairedMoments(found.n, found.mean_y, found.mean_x, found.m2_y, found.m2_x, found.c_xy)
        total, late = found.sum_y, found.late
    return Arm(
        key,
        paired.y,
        Proportion(total, paired.n) if metric.type == Metric.Type.BINARY else None,
        ratio=paired if metric.type == Metric.Type.RATIO else None,
        covariate=paired if pairing.before else None,
        late=late,
    )


def _distribution(source: Source, metric: Metric, until: datetime) -> events.Distribution:
    """A quantile's single values; of users what a share of them caps, beside the same from before for CUPED."""
    pairing = _pairing(source, metric, until)
    if metric.type == Metric.Type.QUANTILE:
        return events.Distribution(events.Scope.EVENTS, pairing)
    return events.Distribution(events.Scope.UNITS, replace(pairing, y=replace(pairing.y, cap=None)))


def _from_events(source: Source, metric: Metric, variants: list[str], until: datetime) -> Measure:
    everybody = _from_pairs(source, metric, variants, until)
    asked = _distribution(source, metric, until)
    found = events.distribution(*_place(source, until), asked, pauses=source.pauses)
    level = metric.quantile or 0.5
    arms = {
        key: replace(arm, quantile=quantile_of_rows(found[key].rows if key in found else None, level))
        for key, arm in everybody.arms.items()
    }
    return Measure(metric, arms, everybody.notes)


def _from_units(source: Source, metric: Metric, variants: list[str], until: datetime) -> Measure:
    asked = _distribution(source, metric, until)
    found = events.distribution(*_place(source, until), asked, pauses=source.pauses)
    figures, before = ({key: _of_each(found.get(key), name) for key in variants} for name in ("y", "x"))
    late = {key: found[key].late if key in found else 0 for key in variants}
    return _from_figures(source, metric, figures, before, late)


def _of_each(found: events.Distributed | None, name: str) -> Floats:
    """Each unit's figure, those of nothing first."""
    if found is None:
        return np.zeros(0)
    counts = found.rows["units"]
    return np.concatenate([np.zeros(found.units - int(counts.sum())), np.repeat(found.rows[name], counts)])


def _from_users(source: Source, metric: Metric, variants: list[str], until: datetime) -> Measure:
    values = _values(source, metric.event_name, metric, variants, until, value_property=metric.value_property)
    unadjusted = (_NOT_ADJUSTED[metric.type],) if source.experiment.is_cuped and metric.type in _NOT_ADJUSTED else ()
    if metric.type == Metric.Type.RATIO:
        below = _values(source, metric.denominator_event_name, metric, variants, until)
        return Measure(metric, {key: _ratio_arm(key, values, below) for key in variants}, unadjusted)
    if metric.type == Metric.Type.QUANTILE:
        level = metric.quantile or 0.5
        arms = {
            key: Arm(
                key,
                Moments.from_values(values.sums[key]),
                quantile=quantile_of_users(values.singles[key], level),
                late=values.late[key],
            )
            for key in variants
        }
        return Measure(metric, arms, unadjusted)
    figures = {key: _figure(metric, values.sums[key], values.counts[key]) for key in variants}
    before = {key: _figure(metric, values.sums_before[key], values.counts_before[key]) for key in variants}
    return _from_figures(source, metric, figures, before, values.late)


def _from_figures(
    source: Source, metric: Metric, figures: dict[str, Floats], before: dict[str, Floats], late: dict[str, int]
) -> Measure:
    """From each user's figure, beside the same from before."""
    figures, notes = _capped(source.experiment, metric, figures)
    is_cuped = source.experiment.is_cuped
    arms = {}
    for key in figures:
        moments = Moments.from_values(figures[key])
        arms[key] = Arm(
            key,
            moments,
            Proportion(float(figures[key].sum()), figures[key].size) if metric.type == Metric.Type.BINARY else None,
            covariate=PairedMoments.from_values(figures[key], before[key]) if is_cuped else None,
            late=late[key],
        )
    return Measure(metric, arms, notes)


def _values(
    source: Source,
    event_name: str,
    metric: Metric,
    variants: Sequence[str],
    until: datetime,
    *,
    value_property: str = "",
) -> Values:
    return source.people(until).values(
        event_name,
        variants=variants,
        window=window_of_metric(metric),
        deadline=source.window.deadline,
        before=COVARIATE_TIME if source.experiment.is_cuped else timedelta(0),
        value_property=value_property,
    )


def _figure(metric: Metric, sums: Floats, counts: Floats) -> Floats:
    if metric.type == Metric.Type.BINARY:
        return (counts > 0).astype(np.float64)
    return counts if metric.type == Metric.Type.COUNT else sums


def _capped(
    experiment: Experiment, metric: Metric, figures: dict[str, Floats]
) -> tuple[dict[str, Floats], tuple[str, ...]]:
    """The metric's own cap first, then the experiment's share of extreme users; the same cap in every arm."""
    notes = []
    if not _has_totals(metric):
        return figures, ()
    if metric.cap is not None:
        share = _share_above(figures, metric.cap)
        figures = {key: np.minimum(values, metric.cap) for key, values in figures.items()}
        notes.append(_note_of_cap(metric.cap, share))
    if experiment.winsorize_percent is not None:
        found = winsorise(list(figures.values()), upper_q=1 - experiment.winsorize_percent / 100)
        if found.cap_high is None:
            notes.append(found.reason or "nothing is capped")
        else:
            share, cap = _share_above(figures, found.cap_high), found.cap_high
            figures = {key: np.minimum(values, cap) for key, values in figures.items()}
            notes.append(f"winsorised at {cap:g}; {share:.2%} of the users were capped")
    return figures, tuple(notes)


def _note_of_cap(cap: float, share: float) -> str:
    return f"users count at most {cap:g}; {share:.2%} were capped"


def _share_above(figures: dict[str, Floats], cap: float) -> float:
    users = sum(values.size for values in figures.values())
    return sum(int(np.count_nonzero(values > cap)) for values in figures.values()) / users if users else 0.0


def _ratio_arm(key: str, above: Values, below: Values) -> Arm:
    """An event without a value counts as 1: clicks per view is a ratio of counts, revenue per order one of sums."""
    paired = PairedMoments.from_values(above.amounts[key], below.amounts[key])
    return Arm(key, paired.y, ratio=paired, late=above.late[key] + below.late[key])
