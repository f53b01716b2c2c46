"""Each variant against the control, for the metrics of one role: tests, intervals, posteriors and one correction."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from experiments.analysis.arms import Arm, Measure
from experiments.analysis.balance import Balances
from experiments.analysis.effects import FIGURE, Effect
from experiments.analysis.looks import (
    Look,
    PreviousLook,
    PreviousLooks,
    bound_at,
    intersection,
    smallest_over_looks,
)
from experiments.analysis.methods import METHODS, AnalysisMethod
from experiments.analysis.metric_types import metric_type
from experiments.models import Experiment, Metric
from experiments.payloads import ComparisonResult
from experiments.statistics.always_valid import asymptotic_sequence
from experiments.statistics.group_sequential import repeated_interval
from experiments.statistics.multiplicity import adjust
from experiments.statistics.quantiles import share_above


@dataclass(frozen=True, slots=True)
class MetricAtLook:
    """A metric measured over all users, and over the users that the present look may use (None: there is no look)."""

    measure: Measure
    look: Look | None = None
    at_look: Measure | None = None
    why_no_look: str | None = None


@dataclass(slots=True)
class _AtLook:
    """One comparison over the users who decide. `ci` is this look's interval at the level that decides.

    `p_value` is a sequential method's; `once` is that of a single look.
    """

    diff: float | None = None
    lift: float | None = None
    control: float | None = None
    of: str = FIGURE
    once: float | None = None
    ci: list[float] | None = None
    p_value: float | None = None
    is_significant: bool | None = None
    reason: str | None = None


def compare_all(
    experiment: Experiment,
    metrics: Sequence[MetricAtLook],
    previous: PreviousLooks,
    *,
    control: str,
    role: str,
    correction: str,
    balances: Balances,
) -> tuple[list[ComparisonResult], list[str]]:
    """Return a comparison per metric and variant, and the caveats; `correction` covers all of them together.

    Always-valid p-values are the smallest of this look and the `previous` ones; intervals are this look's.
    """
    pairs = [(entry, key) for entry in metrics for key in entry.measure.arms if key != control]
    # The primary metric splits alpha between the arms. Secondary metrics use corrected p-values alone.
    is_split = role == "primary" and correction != Experiment.Correction.NONE
    alpha = experiment.alpha / max(1, len(pairs)) if is_split else experiment.alpha
    fixed = [
        metric_type(entry.measure.metric).effect(entry.measure.arms[control], entry.measure.arms[key], experiment.alpha)
        for entry, key in pairs
    ]
    at_looks = [_at_look(experiment, entry, control, key, alpha) for entry, key in pairs]
    own = [item.p_value for item in at_looks]
    looks = [
        [look for look in previous.get((entry.measure.metric.key, key), ()) if look.of == item.of]
        for (entry, key), item in zip(pairs, at_looks, strict=True)
    ]
    notes = []
    for earlier, item in zip(looks, at_looks, strict=True):
        item.p_value, note = smallest_over_looks(earlier, item.p_value, item.diff)
        notes.append(note)
    method = METHODS[experiment.method]
    # Alpha spending decides by its interval; its corrected p-values are those of the look's users, for one look.
    raw = [item.p_value if method.spending is None else item.once for item in at_looks]
    adjusted = tuple(raw) if correction == Experiment.Correction.NONE else adjust(raw, correction)
    comparisons: list[ComparisonResult] = []
    caveats: list[str] = []
    for (entry, key), once, item, earlier, p_value, own_p_value, note in zip(
        pairs, fixed, at_looks, looks, adjusted, own, notes, strict=True
    ):
        metric = entry.measure.metric
        arms = entry.measure.arms
        posterior = metric_type(metric).posterior(
            arms[control], arms[key], once, alpha=experiment.alpha, prior_sd=experiment.lift_prior_sd
        )
        deciding, is_constant = _over_looks(item, earlier, p_value, experiment.alpha)
        is_sequential = experiment.method != Experiment.Method.FIXED
        significant = _significant(experiment, item, p_value, is_constant=is_constant)
        comparisons.append(
            {
                "metric": metric.key,
                "role": role,
                "variant": key,
                "control": control,
                "absoluteLift": once.diff,
                "relativeLift": once.lift,
                "ci": once.ci,
                "relativeCi": once.lift_ci,
                "ciLevel": 1 - experiment.alpha,
                "pValue": once.p_value,
                "sequentialCi": item.ci if is_sequential else None,
                "sequentialCiLevel": 1 - alpha,
                "sequentialPValue": item.p_value if is_sequential else None,
                "lookPValue": own_p_value if method.spending is None else item.once,
                "lookLift": item.diff,
                "lookRelativeLift": item.lift,
                "lookControl": item.control,
                "lookCi": deciding,
                "constant": is_constant,
                "adjustedPValue": p_value,
                "adjustedFrom": _adjusted_from(method),
                "correction": correction,
                "significant": significant,
                "direction": _direction(metric, once.diff if item.diff is None else item.diff),
                "probabilityToBeat": posterior.prob_beat,
                "expectedLoss": {"ship": posterior.ship_loss, "keep": posterior.keep_loss},
                "expectedLossOf": posterior.unit,
                "credibleInterval": posterior.credible,
                "credibleIntervalOf": posterior.unit,
                "prior": posterior.prior,
                "varianceReduction": None if once.cuped is None else once.cuped["varianceRemoved"],
                "cuped": once.cuped,
                "prePeriod": balances.get((metric.key, key)),
                "liftOf": once.of,
                "lookLiftOf": item.of,
            }
        )
        reasons = [*once.reasons, *(words for words in (posterior.reason, item.reason, note) if words)]
        caveats += [f"{metric.key}, {key}: {reason}." for reason in dict.fromkeys(reasons)]
    caveats += [f"{item.measure.metric.key}: {note}." for item in metrics for note in item.measure.notes]
    return comparisons, caveats


def _over_looks(
    item: _AtLook, earlier: Sequence[PreviousLook], p_value: float | None, alpha: float
) -> tuple[list[float] | None, bool | None]:
    """The deciding interval, and whether the effect was the same over time; None where nothing can be said."""
    if item.ci is None:
        return None, None
    common = intersection([item.ci, *(look.ci for look in earlier if look.ci is not None)])
    if common is None:
        return item.ci, False
    was_significant = bool(earlier) and p_value is not None and p_value < alpha
    return common, not (was_significant and item.ci[0] <= 0 <= item.ci[1])


def _significant(
    experiment: Experiment, item: _AtLook, adjusted: float | None, *, is_constant: bool | None
) -> bool | None:
    if item.diff is None or adjusted is None:
        return None
    if METHODS[experiment.method].spending is not None:
        return None if item.is_significant is None else item.is_significant and adjusted < experiment.alpha
    # A claim rests on the present interval as well: a running minimum alone never ships.
    holds_zero = item.ci is not None and item.ci[0] <= 0 <= item.ci[1]
    return adjusted < experiment.alpha and not holds_zero and is_constant is not False


def _direction(metric: Metric, diff: float | None) -> str | None:
    if diff is None or diff == 0:
        return None
    return "better" if (diff > 0) == (metric.goal == Metric.Goal.INCREASE) else "worse"


def _at_look(experiment: Experiment, entry: MetricAtLook, control: str, key: str, alpha: float) -> _AtLook:
    if entry.look is None or entry.at_look is None:
        return _AtLook(reason=entry.why_no_look)
    arm_c, arm_t = entry.at_look.arms[control], entry.at_look.arms[key]
    found = metric_type(entry.measure.metric).effect(arm_c, arm_t, alpha)
    diff, se = found.diff, found.se
    here = _AtLook(diff, found.lift, _control_figure(found, arm_c), found.of, found.p_value)
    if experiment.method == Experiment.Method.FIXED:
        return replace(here, ci=found.ci, p_value=found.p_value)
    if diff is None or not se:
        reason = "too few users with a complete conversion window for a sequential interval"
        return replace(here, diff=None, reason=reason)
    spending = METHODS[experiment.method].spending
    if spending is None:
        weights = entry.at_look.arms
        pair, everybody = arm_c.users + arm_t.users, sum(arm.users for arm in weights.values())
        tuned = entry.look.tuned_users * pair / everybody
        sequence = asymptotic_sequence(diff, se, pair, tuned, alpha=alpha)
        # The p-value uses the whole alpha; the correction over arms follows later.
        whole = asymptotic_sequence(diff, se, pair, tuned, alpha=experiment.alpha)
        ci = _pair(sequence.ci_low, sequence.ci_high)
        return replace(here, ci=ci, p_value=whole.p_value, reason=sequence.reason)
    interval = repeated_interval(diff, se, bound_at(entry.look, alpha=alpha, spending=spending))
    ci = _pair(interval.ci_low, interval.ci_high)
    return replace(here, ci=ci, is_significant=interval.is_significant, reason=interval.reason)


def _control_figure(found: Effect, control: Arm) -> float | None:
    """What the difference is relative to."""
    if found.of == FIGURE:
        return control.figure
    share = None if control.quantile is None else share_above(control.quantile)
    return None if share is None else share.value


def _adjusted_from(method: AnalysisMethod) -> str:
    if method.is_always_valid:
        return "sequentialPValue"
    return "pValue" if method.spending is None else "lookPValue"


def _pair(low: float | None, high: float | None) -> list[float] | None:
    return None if low is None or high is None else [low, high]
