"""The recommendation, with reasons: keep running, ship, stop, or do not trust. The sample ratio comes first."""

from dataclasses import dataclass

from experiments.analysis.metric_types import metric_type
from experiments.analysis.sample_ratio import SampleRatio
from experiments.analysis.window import Window
from experiments.models import Experiment
from experiments.payloads import ComparisonResult, GuardrailResult, Recommendation

KEEP_RUNNING = "keep_running"
SHIP = "ship"
STOP = "stop"
DO_NOT_TRUST = "do_not_trust"


@dataclass(frozen=True, slots=True)
class Evidence:
    """The inputs of a recommendation."""

    experiment: Experiment
    window: Window
    ratio: SampleRatio
    primary: list[ComparisonResult]
    guardrails: list[GuardrailResult]
    users: int
    incomplete_users: int


def recommend(evidence: Evidence) -> Recommendation:
    ratio = evidence.ratio
    if not evidence.users:
        return _say(KEEP_RUNNING, "Keep running: no user has been seen yet.", [])
    if ratio.is_warning:
        p_value = ratio.payload["pValue"]
        return _say(
            DO_NOT_TRUST,
            "Do not trust these figures: users did not arrive in the split's proportions.",
            [
                f"Overall sample ratio mismatch (p = {p_value:.2g}): find out who is missing, fix it, and restart.",
                *_days(ratio),
            ],
        )
    said = _verdict(evidence)
    if (ratio.flagged_days or ratio.is_alarming) and said["action"] in {SHIP, STOP}:
        return _say(
            DO_NOT_TRUST,
            "Do not decide on these figures before the sample ratio alarm is explained.",
            [*_days(ratio), *said["reasons"]],
        )
    return {**said, "reasons": [*said["reasons"], *_days(ratio)]}


def _days(ratio: SampleRatio) -> list[str]:
    return [
        f"On {day.isoformat()} users did not arrive in the split's proportions: look into what happened that day."
        for day in ratio.flagged_days
    ]


def _verdict(evidence: Evidence) -> Recommendation:
    violated = [item for item in evidence.guardrails if item["violated"]]
    if violated:
        return _say(
            STOP,
            "Stop: a guardrail shows harm.",
            [
                f"{item['metric']} is worse for {item['variant']} ({100 * (item['relativeLift'] or 0.0):+.1f} %)."
                for item in violated
            ],
        )
    significant = [item for item in evidence.primary if item["significant"]]
    better = [item for item in significant if item["direction"] == "better"]
    if better:
        return _winner(evidence, max(better, key=lambda item: abs(item["absoluteLift"] or 0.0)))
    worse = [item for item in significant if item["direction"] == "worse"]
    if worse and len(worse) == len(evidence.primary):
        return _say(STOP, "Stop: the control is better.", [_words(evidence, item) for item in worse])
    if _is_at_end(evidence):
        return _say(
            STOP,
            "Stop: the experiment has come to its end without a difference it could show.",
            [_words(evidence, item) for item in evidence.primary],
        )
    return _say(KEEP_RUNNING, "Keep running: there is no clear difference yet.", _progress(evidence))


def _winner(evidence: Evidence, winner: ComparisonResult) -> Recommendation:
    mine = [item for item in evidence.guardrails if item["variant"] == winner["variant"]]
    undecided = [item["metric"] for item in mine if item["status"] != "pass"]
    if evidence.experiment.method == Experiment.Method.FIXED and not _is_at_end(evidence):
        return _say(
            KEEP_RUNNING,
            "Keep running: a fixed-horizon test is read once, at its planned end.",
            [_words(evidence, winner), *_progress(evidence)],
        )
    if undecided:
        return _say(
            KEEP_RUNNING,
            f"Keep running: {winner['variant']} is ahead, and not every guardrail has passed yet.",
            [_words(evidence, winner), f"Not shown to be safe yet: {', '.join(undecided)}."],
        )
    return _say(SHIP, f"Ship {winner['variant']}.", [_words(evidence, winner)], variant=winner["variant"])


def _is_at_end(evidence: Evidence) -> bool:
    planned = evidence.experiment.planned_users
    complete = evidence.users - evidence.incomplete_users
    return evidence.window.is_frozen or (planned is not None and complete >= planned)


def _words(evidence: Evidence, item: ComparisonResult) -> str:
    if item["absoluteLift"] is None:
        return f"{item['metric']}: {item['variant']} cannot be compared with {item['control']} yet."
    is_rate = metric_type(evidence.experiment.primary_metric).is_rate
    difference = f"{100 * item['absoluteLift']:+.2f} points" if is_rate else f"{item['absoluteLift']:+,.4g}"
    lift = "" if item["relativeLift"] is None else f" (lift {100 * item['relativeLift']:+.1f} %)"
    change = f"{item['variant']} {difference}{lift} against {item['control']}"
    return f"{item['metric']}: {change}, {_certainty(evidence, item)}."


def _certainty(evidence: Evidence, item: ComparisonResult) -> str:
    if item["significant"]:
        return "beyond chance"
    # The p-value of a single look may be small here by chance, because looking often makes that likely.
    is_fixed = evidence.experiment.method == Experiment.Method.FIXED
    return "not beyond chance" if is_fixed else "not beyond what chance gives where one looks more than once"


def _progress(evidence: Evidence) -> list[str]:
    reasons = [_words(evidence, item) for item in evidence.primary]
    planned = evidence.experiment.planned_users
    if planned:
        complete = evidence.users - evidence.incomplete_users
        reasons.append(f"{complete:,} of {planned:,} planned users have a complete conversion window.")
    return reasons


def _say(action: str, text: str, reasons: list[str], *, variant: str | None = None) -> Recommendation:
    return {"action": action, "variant": variant, "text": text, "reasons": reasons}
