"""From computed figures to the evidence of a decision, and from the decision to the API's words."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from itertools import combinations

from analytics.selectors import GRACE
from experiments.analysis.comparisons import MetricAtLook
from experiments.analysis.effects import SHARE_ABOVE
from experiments.analysis.looks import users_at_look
from experiments.analysis.metric_types import metric_type
from experiments.analysis.window import Window
from experiments.decisions.decision import decide
from experiments.decisions.evidence import (
    DataCheck,
    DecidingEffect,
    Evidence,
    GuardrailEvidence,
    GuardrailStatus,
    Progress,
    Scale,
    Status,
)
from experiments.decisions.outcome import Act
from experiments.definitions import Plan
from experiments.models import Experiment, Metric
from experiments.payloads import ComparisonResult, GuardrailResult, Recommendation

_DAY = timedelta(days=1)
_NO_VERDICT = "a verdict is about the whole phase, not about a chosen window"


def recommend(
    *,
    experiment: Experiment,
    plan: Plan,
    window: Window,
    primary: MetricAtLook,
    comparisons: Sequence[ComparisonResult],
    guardrails: Sequence[GuardrailResult],
    checks: Sequence[DataCheck],
) -> Recommendation:
    """Return the decision about `comparisons`, the primary metric's among them, as the API names it."""
    control = experiment.control_variant
    arms = tuple(key for key in primary.measure.arms if key != control)
    found = decide(
        Evidence(
            status=_status(window),
            control=control,
            arms=arms,
            progress=_progress(experiment, window, primary),
            checks=tuple(checks),
            guardrails=tuple(_guardrail(item) for item in guardrails if not item.get("exploratory")),
            primary=tuple(_effect(plan, item) for item in comparisons if item["role"] == "primary"),
            secondary=tuple(_effect(plan, item) for item in comparisons if item["role"] == "secondary"),
            apart=_apart(experiment, primary, arms),
            minimum_effect=plan.minimum_effect,
            is_fixed_horizon=experiment.method == Experiment.Method.FIXED,
            has_verdict=window.is_whole_phase,
            why_no_verdict="" if window.is_whole_phase else _NO_VERDICT,
            ended_because=window.ended_because if window.is_whole_phase else "",
        )
    )
    return {
        "action": found.act.value,
        "reason": found.reason.value,
        "variant": found.arm if found.act in {Act.SHIP, Act.DROP_ARM} else None,
        "text": found.text,
        "reasons": list(found.reasons),
        "caveats": list(found.caveats),
    }


def _status(window: Window) -> Status:
    """As of the window's moment, from its phase: a result that is computed again later says the same."""
    phase = window.phase
    if phase.ended_at is not None:
        return Status.COMPLETED
    is_paused = any(
        datetime.fromisoformat(since) <= window.now and (until is None or datetime.fromisoformat(until) > window.now)
        for since, until in phase.pauses
    )
    return Status.PAUSED if is_paused else Status.RUNNING


def _progress(experiment: Experiment, window: Window, primary: MetricAtLook) -> Progress:
    ended = window.phase.ended_at
    users = sum(arm.users for arm in primary.measure.arms.values())
    return Progress(
        days=(window.until - window.phase.started_at) / _DAY,
        users=users,
        complete_users=users if window.is_frozen else users_at_look(primary.at_look),
        planned_users=experiment.planned_users,
        is_frozen=window.is_frozen,
        frozen_at=None if ended is None else ended + GRACE,
    )


def _guardrail(item: GuardrailResult) -> GuardrailEvidence:
    status = GuardrailStatus(item["status"])
    return GuardrailEvidence(
        item["metric"], item["variant"], status, item["marginPercent"] or 0.0, item["relativeLift"]
    )


def _effect(plan: Plan, item: ComparisonResult) -> DecidingEffect:
    metric = plan.metrics[item["metric"]]
    interval = item["lookCi"]
    is_share = metric_type(metric).is_rate or item.get("lookLiftOf") == SHARE_ABOVE
    return DecidingEffect(
        metric=item["metric"],
        variant=item["variant"],
        scale=Scale.RATE if is_share else Scale.VALUE,
        higher_is_better=metric.goal == Metric.Goal.INCREASE,
        difference=item["lookLift"],
        interval=None if interval is None else (interval[0], interval[1]),
        lift=item["lookRelativeLift"],
        control_figure=item["lookControl"],
        is_significant=item["significant"],
        is_constant=item["constant"] is not False,
    )


def _apart(experiment: Experiment, primary: MetricAtLook, arms: Sequence[str]) -> dict[tuple[str, str], bool]:
    """Whether two treatments differ from each other, each pair at the experiment's own alpha."""
    if primary.at_look is None:
        return {}
    kind, at_look = metric_type(primary.measure.metric), primary.at_look.arms
    found = {}
    for pair in combinations(arms, 2):
        p_value = kind.effect(at_look[pair[0]], at_look[pair[1]], experiment.alpha).p_value
        found[pair] = p_value is not None and p_value < experiment.alpha
    return found
