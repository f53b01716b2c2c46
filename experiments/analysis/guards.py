"""Guardrails: whether the data show harm, and whether they show that harm is below the margin.

To pass is to show that harm stays below the margin (one-sided, as planned before the start). To be violated is a
different claim, made while the experiment runs and read every ten minutes. It rests on a confidence sequence over users
with complete conversion windows, and on enough of them.
"""

from collections.abc import Mapping, Sequence

from experiments.analysis.arms import Arm
from experiments.analysis.looks import tuned_users
from experiments.analysis.metric_types import metric_type
from experiments.analysis.metric_types.base import MetricType
from experiments.analysis.window_data import WindowData
from experiments.models import ExperimentMetric, Metric
from experiments.payloads import GuardrailResult
from experiments.statistics.estimates import Estimate
from experiments.statistics.guardrails import (
    GuardedArm,
    Harm,
    NonInferiority,
    harm_shown,
    noninferiority_contrast,
)

GUARDRAIL_ALPHA = 0.05
_NOTHING_YET = "an arm has nothing to compare yet"
_NO_COMPLETE_WINDOW = "no user's conversion window is complete yet"


def judge(
    use: ExperimentMetric, data: WindowData, variants: Sequence[str], *, control: str
) -> tuple[list[GuardrailResult], list[str]]:
    """Return one judgement per variant, and the caveats."""
    kind = metric_type(use.metric)
    measure = kind.measure(data, variants)
    complete, conversions = _complete_arms(kind, data, variants)
    judgements: list[GuardrailResult] = []
    caveats: list[str] = [f"Guardrail {use.metric.key}: {note}." for note in measure.notes]
    for key, arm in measure.arms.items():
        if key == control:
            continue
        base, other, note = kind.guarded(measure.arms[control], arm)
        safety = _safety(use, base, other)
        arms = _guarded_arms(kind, complete, conversions, (control, key))
        harm = _harm(use, arms, tuned_users(data.window.phase))
        for reason in (note, safety.reason, harm.reason):
            if reason is not None:
                caveats.append(f"Guardrail {use.metric.key}, {key}: {reason}.")
        found: GuardrailResult = {
            "metric": use.metric.key,
            "variant": key,
            "marginPercent": use.margin_percent,
            "action": use.action,
            "control": measure.arms[control].figure,
            "treatment": arm.figure,
            "relativeLift": safety.diff,
            "bound": safety.bound,
            "pValue": safety.p_value,
            "passed": safety.passed,
            "violated": bool(harm.is_shown),
            "status": "violated" if harm.is_shown else "pass" if safety.passed else "undecided",
        }
        if use.exploratory_since is not None:
            found["exploratory"], found["exploratorySince"] = True, use.exploratory_since.isoformat()
        judgements.append(found)
    return judgements, caveats


def _complete_arms(
    kind: MetricType, data: WindowData, variants: Sequence[str]
) -> tuple[Mapping[str, Arm], Mapping[str, float]]:
    """Each variant's users whose conversion window is complete, with conversions; empty where nobody's is."""
    window = data.window
    cutoff = min(window.until, window.now - kind.window)
    if cutoff <= window.since:
        return {}, {}
    return kind.measure(data, variants, until=cutoff).arms, kind.conversions(data, variants, cutoff)


def _guarded_arms(
    kind: MetricType, complete: Mapping[str, Arm], conversions: Mapping[str, float], pair: tuple[str, str]
) -> tuple[GuardedArm, GuardedArm] | None:
    if not complete:
        return None
    control, treatment = (complete[key] for key in pair)
    base, other, _ = kind.guarded(control, treatment)
    if base is None or other is None:
        return None
    return (
        GuardedArm(base, control.users, conversions[control.key]),
        GuardedArm(other, treatment.users, conversions[treatment.key]),
    )


def _safety(use: ExperimentMetric, control: Estimate | None, treatment: Estimate | None) -> NonInferiority:
    if control is None or treatment is None:
        return NonInferiority(None, None, None, None, None, _NOTHING_YET)
    return noninferiority_contrast(
        control, treatment, _margin(use), higher_is_better=_higher_is_better(use), alpha=GUARDRAIL_ALPHA
    )


def _harm(use: ExperimentMetric, arms: tuple[GuardedArm, GuardedArm] | None, tuned: int) -> Harm:
    if arms is None:
        return Harm(None, None, _NO_COMPLETE_WINDOW)
    return harm_shown(*arms, _margin(use), tuned, higher_is_better=_higher_is_better(use), alpha=GUARDRAIL_ALPHA)


def _margin(use: ExperimentMetric) -> float:
    return (use.margin_percent or 0.0) / 100


def _higher_is_better(use: ExperimentMetric) -> bool:
    return use.metric.goal == Metric.Goal.INCREASE
