"""Guardrails: is it shown that nothing got worse by the margin, and is harm shown already.

To pass is to show that harm stays below the margin (one-sided, as planned before the start). To be violated is a
different claim, made while the experiment runs and read every ten minutes, so it rests on a confidence sequence.
"""

from typing import Any

from experiments.analysis.looks import tuned_users
from experiments.analysis.measures import Arm, Measure
from experiments.models import Experiment, ExperimentMetric, Metric
from experiments.statistics.always_valid import asymptotic_sequence
from experiments.statistics.guardrails import noninferiority_lift
from experiments.statistics.means import mean_lift

GUARDRAIL_ALPHA = 0.05


def judge(
    experiment: Experiment, use: ExperimentMetric, measure: Measure, *, control: str
) -> tuple[list[dict[str, Any]], list[str]]:
    """Return one judgement per variant; `status`: pass, violated or undecided."""
    judgements = []
    caveats: list[str] = []
    margin = (use.margin_percent or 0.0) / 100
    is_higher_better = use.metric.goal == Metric.Goal.INCREASE
    for key, arm in measure.arms.items():
        if key == control:
            continue
        found = noninferiority_lift(
            measure.arms[control].moments,
            arm.moments,
            margin,
            higher_is_better=is_higher_better,
            alpha=GUARDRAIL_ALPHA,
        )
        is_violated = _is_violated(experiment, measure.arms[control], arm, margin, is_higher_better)
        reason = measure.reason or found.reason
        if reason is not None:
            caveats.append(f"Guardrail {use.metric.key}, {key}: {reason}.")
        judgements.append(
            {
                "metric": use.metric.key,
                "variant": key,
                "marginPercent": use.margin_percent,
                "action": use.action,
                "control": measure.arms[control].figure,
                "treatment": arm.figure,
                "relativeLift": found.diff,
                "bound": found.bound,
                "pValue": found.p_value,
                "passed": found.passed,
                "violated": is_violated,
                "status": "violated" if is_violated else "pass" if found.passed else "undecided",
            }
        )
    return judgements, caveats


def _is_violated(experiment: Experiment, control: Arm, treatment: Arm, margin: float, is_higher_better: bool) -> bool:
    """Worse than the control beyond chance at every look together, and by more than the margin as it stands."""
    lift = mean_lift(control.moments, treatment.moments, GUARDRAIL_ALPHA, method="delta")
    if lift.lift is None or lift.se is None:
        return False
    users = control.users + treatment.users
    sequence = asymptotic_sequence(lift.lift, lift.se, users, tuned_users(experiment), alpha=GUARDRAIL_ALPHA, sides=1)
    if is_higher_better:
        return sequence.upper_bound is not None and sequence.upper_bound < 0 and lift.lift < -margin
    return sequence.lower_bound is not None and sequence.lower_bound > 0 and lift.lift > margin
