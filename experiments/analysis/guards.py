"""Guardrails: whether the data show harm, and whether they show that harm is below the margin.

To pass is to show that harm stays below the margin (one-sided, as planned before the start). To be violated is a
different claim, made while the experiment runs and read every ten minutes, so it rests on a confidence sequence.
"""

import math
from dataclasses import dataclass

from experiments.analysis.arms import Measure
from experiments.analysis.looks import tuned_users
from experiments.analysis.metric_types import metric_type
from experiments.models import Experiment, ExperimentMetric, Metric
from experiments.payloads import GuardrailResult
from experiments.statistics.always_valid import asymptotic_sequence
from experiments.statistics.distributions import t_critical, t_sf
from experiments.statistics.estimates import Estimate, Lift, delta_lift, welch_df

GUARDRAIL_ALPHA = 0.05
_NOTHING_YET = "an arm has nothing to compare yet"


def judge(
    experiment: Experiment, use: ExperimentMetric, measure: Measure, *, control: str
) -> tuple[list[GuardrailResult], list[str]]:
    """Return one judgement per variant, and the caveats."""
    judgements: list[GuardrailResult] = []
    caveats: list[str] = [f"Guardrail {use.metric.key}: {note}." for note in measure.notes]
    margin = (use.margin_percent or 0.0) / 100
    worse = -1 if use.metric.goal == Metric.Goal.INCREASE else 1
    kind = metric_type(use.metric)
    base = kind.estimate(measure.arms[control])
    for key, arm in measure.arms.items():
        if key == control:
            continue
        other = kind.estimate(arm)
        lift = _NO_LIFT if base is None or other is None else delta_lift(base, other, GUARDRAIL_ALPHA)
        verdict = _Verdict() if base is None or other is None else _verdict(base, other, lift, margin, worse)
        users = measure.arms[control].users + arm.users
        is_violated = _is_violated(experiment, lift, users, margin, worse)
        if verdict.passed is None:
            caveats.append(f"Guardrail {use.metric.key}, {key}: {lift.reason or _NOTHING_YET}.")
        judgements.append(
            {
                "metric": use.metric.key,
                "variant": key,
                "marginPercent": use.margin_percent,
                "action": use.action,
                "control": measure.arms[control].figure,
                "treatment": arm.figure,
                "relativeLift": lift.lift,
                "bound": verdict.bound,
                "pValue": verdict.p_value,
                "passed": verdict.passed,
                "violated": is_violated,
                "status": "violated" if is_violated else "pass" if verdict.passed else "undecided",
            }
        )
    return judgements, caveats


@dataclass(frozen=True, slots=True)
class _Verdict:
    p_value: float | None = None
    bound: float | None = None
    passed: bool | None = None


_NO_LIFT = Lift(None, None, None, None, None, reason=_NOTHING_YET)


def _verdict(base: Estimate, other: Estimate, lift: Lift, margin: float, worse: int) -> _Verdict:
    """`guardrails.noninferiority_lift` for an estimate of any kind: H0 is "worse by at least the margin"."""
    if lift.lift is None or lift.se is None or not math.isfinite(lift.se):
        return _Verdict()
    df = welch_df(base, other)
    p_value = t_sf((worse * margin - lift.lift) * worse / lift.se, df)
    bound = lift.lift + worse * t_critical(GUARDRAIL_ALPHA, df, sides=1) * lift.se
    return _Verdict(p_value, bound, p_value < GUARDRAIL_ALPHA)


def _is_violated(experiment: Experiment, lift: Lift, users: int, margin: float, worse: int) -> bool:
    """Whether it is worse than the control beyond chance over all looks, and by more than the margin now."""
    if lift.lift is None or lift.se is None:
        return False
    sequence = asymptotic_sequence(lift.lift, lift.se, users, tuned_users(experiment), alpha=GUARDRAIL_ALPHA, sides=1)
    if worse < 0:
        return sequence.upper_bound is not None and sequence.upper_bound < 0 and lift.lift < -margin
    return sequence.lower_bound is not None and sequence.lower_bound > 0 and lift.lift > margin
