"""Each variant against the control, for one role's metrics together: tests, intervals, posteriors, one correction."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from experiments.analysis.looks import Look, bound_at, spending_of, tuned_users
from experiments.analysis.measures import Arm, Measure
from experiments.models import Experiment, Metric
from experiments.statistics.always_valid import asymptotic_sequence
from experiments.statistics.bayes import lift_posterior, proportion_posterior
from experiments.statistics.group_sequential import repeated_interval
from experiments.statistics.means import mean_lift, welch_test
from experiments.statistics.multiplicity import adjust
from experiments.statistics.proportions import (
    proportion_interval,
    proportion_lift,
    proportion_test,
    unpooled_se,
)


@dataclass(frozen=True, slots=True)
class Question:
    """A metric's measure over everybody, and over those whom this moment's look may use (None: there is no look)."""

    measure: Measure
    look: Look | None = None
    at_look: Measure | None = None
    why_no_look: str | None = None


@dataclass(slots=True)
class _Fixed:
    """One comparison as if one looked once; every figure may be None, `reasons` say why."""

    diff: float | None
    p_value: float | None
    ci: list[float] | None
    lift: float | None
    lift_ci: list[float] | None
    prob_beat: float | None
    losses: tuple[float | None, float | None]
    credible: list[float] | None
    credible_unit: str
    reasons: list[str]


@dataclass(slots=True)
class _Sequential:
    ci: list[float] | None
    p_value: float | None
    is_significant: bool | None
    reason: str | None


def compare_all(
    experiment: Experiment, questions: Sequence[Question], *, control: str, role: str, correction: str
) -> tuple[list[dict[str, Any]], list[str]]:
    """Return a comparison per metric and variant, and the caveats; `correction` is over all of them together."""
    pairs = [(question, key) for question in questions for key in question.measure.arms if key != control]
    # Decisions on the primary metric split alpha between the arms; secondary ones go by corrected p-values alone.
    is_split = role == "primary" and correction != Experiment.Correction.NONE
    alpha = experiment.alpha / max(1, len(pairs)) if is_split else experiment.alpha
    fixed = [_fixed(question.measure, control, key, experiment.alpha) for question, key in pairs]
    sequential = [_sequential(experiment, question, control, key, alpha) for question, key in pairs]
    is_always_valid = experiment.method == Experiment.Method.ALWAYS_VALID
    raw = [item.p_value for item in (sequential if is_always_valid else fixed)]
    adjusted = tuple(raw) if correction == Experiment.Correction.NONE else adjust(raw, correction)
    comparisons = []
    caveats: list[str] = []
    for (question, key), once, often, p_value in zip(pairs, fixed, sequential, adjusted, strict=True):
        metric = question.measure.metric
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
                "adjustedPValue": p_value,
                "adjustedFrom": "sequentialPValue" if is_always_valid else "pValue",
                "correction": correction,
                "significant": significant,
                "direction": _direction(metric, once.diff),
                "probabilityToBeat": once.prob_beat,
                "expectedLoss": {"ship": once.losses[0], "keep": once.losses[1]},
                "credibleInterval": once.credible,
                "credibleIntervalOf": once.credible_unit,
            }
        )
        reasons = [*once.reasons, *([often.reason] if often.reason else [])]
        caveats += [f"{metric.key}, {key}: {reason}." for reason in dict.fromkeys(reasons)]
    return comparisons, caveats


def _significant(experiment: Experiment, often: _Sequential, adjusted: float | None) -> bool | None:
    if experiment.method in {Experiment.Method.POCOCK, Experiment.Method.OBRIEN_FLEMING}:
        if often.is_significant is None or adjusted is None:
            return None
        return often.is_significant and adjusted < experiment.alpha
    return None if adjusted is None else adjusted < experiment.alpha


def _direction(metric: Metric, diff: float | None) -> str | None:
    if diff is None or diff == 0:
        return None
    return "better" if (diff > 0) == (metric.goal == Metric.Goal.INCREASE) else "worse"


def _fixed(measure: Measure, control: str, key: str, alpha: float) -> _Fixed:
    if measure.reason is not None:
        return _Fixed(None, None, None, None, None, None, (None, None), None, "lift", [measure.reason])
    arm_c, arm_t = measure.arms[control], measure.arms[key]
    is_decrease = measure.metric.goal == Metric.Goal.DECREASE
    found = _fixed_proportions(arm_c, arm_t, alpha) if arm_c.proportion else _fixed_means(arm_c, arm_t, alpha)
    if is_decrease:
        # To beat the control is to be lower here, and shipping loses where the treatment is higher.
        found.prob_beat = None if found.prob_beat is None else 1 - found.prob_beat
        found.losses = (found.losses[1], found.losses[0])
    return found


def _fixed_proportions(arm_c: Arm, arm_t: Arm, alpha: float) -> _Fixed:
    control, treatment = arm_c.proportion, arm_t.proportion
    if control is None or treatment is None:
        raise ValueError("both arms of a binary metric are proportions")
    test = proportion_test(control, treatment)
    interval = proportion_interval(control, treatment, alpha)
    lift = proportion_lift(control, treatment, alpha)
    posterior = proportion_posterior(control, treatment, alpha=alpha)
    return _Fixed(
        diff=interval.diff,
        p_value=test.p_value,
        ci=_pair(interval.ci_low, interval.ci_high),
        lift=lift.lift,
        lift_ci=_pair(lift.ci_low, lift.ci_high),
        prob_beat=posterior.prob_beat,
        losses=(posterior.loss_treatment, posterior.loss_control),
        credible=_pair(posterior.ci_low, posterior.ci_high),
        credible_unit="absoluteLift",
        reasons=[reason for reason in (test.reason, interval.reason, lift.reason, posterior.reason) if reason],
    )


def _fixed_means(arm_c: Arm, arm_t: Arm, alpha: float) -> _Fixed:
    test = welch_test(arm_c.moments, arm_t.moments, alpha)
    lift = mean_lift(arm_c.moments, arm_t.moments, alpha)
    posterior = lift_posterior(lift, alpha)
    return _Fixed(
        diff=test.diff,
        p_value=test.p_value,
        ci=_pair(test.ci_low, test.ci_high),
        lift=lift.lift,
        lift_ci=_pair(lift.ci_low, lift.ci_high),
        prob_beat=posterior.prob_beat,
        losses=(posterior.loss_treatment, posterior.loss_control),
        credible=_pair(posterior.ci_low, posterior.ci_high),
        credible_unit="relativeLift",
        reasons=[reason for reason in (test.reason, lift.reason, posterior.reason) if reason],
    )


def _sequential(experiment: Experiment, question: Question, control: str, key: str, alpha: float) -> _Sequential:
    if question.measure.reason is not None:
        return _Sequential(None, None, None, None)
    if experiment.method == Experiment.Method.FIXED:
        return _Sequential(None, None, None, None)
    if question.look is None or question.at_look is None:
        return _Sequential(None, None, None, question.why_no_look)
    arm_c, arm_t = question.at_look.arms[control], question.at_look.arms[key]
    diff, se = _difference(arm_c, arm_t)
    if diff is None or not se:
        return _Sequential(
            None, None, None, "too few users with a complete conversion window for a sequential interval"
        )
    spending = spending_of(experiment)
    if spending is None:
        weights = question.at_look.arms
        pair, everybody = arm_c.users + arm_t.users, sum(arm.users for arm in weights.values())
        tuned = tuned_users(experiment) * pair / everybody
        sequence = asymptotic_sequence(diff, se, pair, tuned, alpha=alpha)
        # The p-value is for the whole alpha; the correction over arms comes after.
        whole = asymptotic_sequence(diff, se, pair, tuned, alpha=experiment.alpha)
        return _Sequential(_pair(sequence.ci_low, sequence.ci_high), whole.p_value, None, sequence.reason)
    interval = repeated_interval(diff, se, bound_at(question.look, alpha=alpha, spending=spending))
    return _Sequential(_pair(interval.ci_low, interval.ci_high), None, interval.is_significant, interval.reason)


def _difference(arm_c: Arm, arm_t: Arm) -> tuple[float | None, float | None]:
    if arm_c.proportion and arm_t.proportion:
        if not arm_c.users or not arm_t.users:
            return None, None
        return arm_t.moments.mean - arm_c.moments.mean, unpooled_se(arm_c.proportion, arm_t.proportion)
    test = welch_test(arm_c.moments, arm_t.moments)
    return test.diff, test.se


def _pair(low: float | None, high: float | None) -> list[float] | None:
    return None if low is None or high is None else [low, high]
