"""Each variant against the control, for the metrics of one role: tests, intervals, posteriors and one correction."""

from collections.abc import Sequence
from dataclasses import dataclass

from experiments.analysis.arms import Measure
from experiments.analysis.looks import Look, PreviousLooks, bound_at, smallest_over_looks, tuned_users
from experiments.analysis.methods import METHODS
from experiments.analysis.metric_types import metric_type
from experiments.models import Experiment, Metric
from experiments.payloads import ComparisonResult
from experiments.statistics.always_valid import asymptotic_sequence
from experiments.statistics.group_sequential import repeated_interval
from experiments.statistics.multiplicity import adjust


@dataclass(frozen=True, slots=True)
class MetricAtLook:
    """A metric measured over all users, and over the users that the present look may use (None: there is no look)."""

    measure: Measure
    look: Look | None = None
    at_look: Measure | None = None
    why_no_look: str | None = None


@dataclass(slots=True)
class _Sequential:
    ci: list[float] | None
    p_value: float | None
    is_significant: bool | None
    reason: str | None


def compare_all(
    experiment: Experiment,
    metrics: Sequence[MetricAtLook],
    previous: PreviousLooks,
    *,
    control: str,
    role: str,
    correction: str,
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
    sequential = [_sequential(experiment, entry, control, key, alpha) for entry, key in pairs]
    own = [item.p_value for item in sequential]
    notes = []
    for (entry, key), once, often in zip(pairs, fixed, sequential, strict=True):
        looks = previous.get((entry.measure.metric.key, key), ())
        often.p_value, note = smallest_over_looks(looks, often.p_value, once.diff)
        notes.append(note)
    is_always_valid = experiment.method == Experiment.Method.ALWAYS_VALID
    raw = [item.p_value for item in (sequential if is_always_valid else fixed)]
    adjusted = tuple(raw) if correction == Experiment.Correction.NONE else adjust(raw, correction)
    comparisons: list[ComparisonResult] = []
    caveats: list[str] = []
    for (entry, key), once, often, p_value, at_look, note in zip(
        pairs, fixed, sequential, adjusted, own, notes, strict=True
    ):
        metric = entry.measure.metric
        significant = _significant(experiment, often, p_value)
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
                "sequentialCi": often.ci,
                "sequentialCiLevel": 1 - alpha,
                "sequentialPValue": often.p_value,
                "lookPValue": at_look,
                "adjustedPValue": p_value,
                "adjustedFrom": "sequentialPValue" if is_always_valid else "pValue",
                "correction": correction,
                "significant": significant,
                "direction": _direction(metric, once.diff),
                "probabilityToBeat": once.prob_beat,
                "expectedLoss": {"ship": once.losses[0], "keep": once.losses[1]},
                "credibleInterval": once.credible,
                "credibleIntervalOf": once.credible_of,
                "varianceReduction": once.variance_reduction,
            }
        )
        reasons = [*once.reasons, *(words for words in (often.reason, note) if words)]
        caveats += [f"{metric.key}, {key}: {reason}." for reason in dict.fromkeys(reasons)]
    caveats += [f"{item.measure.metric.key}: {note}." for item in metrics for note in item.measure.notes]
    return comparisons, caveats


def _significant(experiment: Experiment, often: _Sequential, adjusted: float | None) -> bool | None:
    if METHODS[experiment.method].spending is not None:
        if often.is_significant is None or adjusted is None:
            return None
        return often.is_significant and adjusted < experiment.alpha
    return None if adjusted is None else adjusted < experiment.alpha


def _direction(metric: Metric, diff: float | None) -> str | None:
    if diff is None or diff == 0:
        return None
    return "better" if (diff > 0) == (metric.goal == Metric.Goal.INCREASE) else "worse"


def _sequential(experiment: Experiment, entry: MetricAtLook, control: str, key: str, alpha: float) -> _Sequential:
    if experiment.method == Experiment.Method.FIXED:
        return _Sequential(None, None, None, None)
    if entry.look is None or entry.at_look is None:
        return _Sequential(None, None, None, entry.why_no_look)
    arm_c, arm_t = entry.at_look.arms[control], entry.at_look.arms[key]
    found = metric_type(entry.measure.metric).effect(arm_c, arm_t, alpha)
    diff, se = found.diff, found.se
    if diff is None or not se:
        return _Sequential(
            None, None, None, "too few users with a complete conversion window for a sequential interval"
        )
    spending = METHODS[experiment.method].spending
    if spending is None:
        weights = entry.at_look.arms
        pair, everybody = arm_c.users + arm_t.users, sum(arm.users for arm in weights.values())
        tuned = tuned_users(experiment) * pair / everybody
        sequence = asymptotic_sequence(diff, se, pair, tuned, alpha=alpha)
        # The p-value uses the whole alpha; the correction over arms follows later.
        whole = asymptotic_sequence(diff, se, pair, tuned, alpha=experiment.alpha)
        return _Sequential(_pair(sequence.ci_low, sequence.ci_high), whole.p_value, None, sequence.reason)
    interval = repeated_interval(diff, se, bound_at(entry.look, alpha=alpha, spending=spending))
    return _Sequential(_pair(interval.ci_low, interval.ci_high), None, interval.is_significant, interval.reason)


def _pair(low: float | None, high: float | None) -> list[float] | None:
    return None if low is None or high is None else [low, high]
