"""A guardrail of a step: the sequential test of the experiments, on users who were exposed since the step.

Chance gave each of them the variant or another one. So the share that has the variant is compared with the rest. A
user's events count within the guardrail's window after the first exposure; users whose window is not over do not count.

That test needs conversions in both arms. Where nobody of one arm converts any more, or errors are new, the other arm's
alone tell: see `experiments.statistics.rare_events`. Each of the two gets half of the error.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from analytics import selectors as events
from experiments.analysis.guards import GUARDRAIL_ALPHA
from experiments.analysis.metric_types import metric_type
from experiments.analysis.metric_types.base import MetricType
from experiments.analysis.units import Units
from experiments.analysis.window import Window
from experiments.analysis.window_data import WindowData
from experiments.definitions import metric_resource
from experiments.models import Experiment, Metric, Phase
from experiments.statistics.always_valid import asymptotic_sequence
from experiments.statistics.guardrails import FEWEST_CONVERSIONS, FEWEST_USERS, GuardedArm, harm_shown
from experiments.statistics.rare_events import share_is_shown_above
from rollouts.documents import text_of
from rollouts.models import RolloutPart
from rollouts.planner import Act, Outcome, Verdict
from rollouts.planning.durations import duration_in_words, parse_duration
from rollouts.planning.plan_fields import GRACE, WINDOW

# The users at which the confidence sequence is tightest; fixed, because it must not follow the data.
TUNED_USERS: Final = 5_000
REST, TREATED = "rest", "treated"
Arms = Sequence[tuple[str, str, datetime]]


@dataclass(frozen=True, slots=True)
class Judged:
    """What the data say of harm. `is_shown` None: too little is known, for the reason."""

    is_shown: bool | None
    reason: str = ""


def judge(
    part: RolloutPart, guardrail: Mapping[str, Any], arms: Arms, *, since: datetime, now: datetime, judgements: int
) -> tuple[Verdict, dict[str, Any]]:
    """Return the verdict, and the line that the plan's page shows. `judgements` share the plan's error of 5 %."""
    key, act = guardrail["metric"], Act(guardrail["action"])
    metric = Metric.objects.filter(project=part.config.environment.project_id, key=key).first()
    line: dict[str, Any] = {
        "flagKey": part.config.flag.key,
        "metric": key,
        "marginPercent": guardrail["marginPercent"],
        "action": guardrail["action"],
        "at": text_of(now),
    }
    if metric is None:
        verdict = Verdict(key, Outcome.NO_DATA, act, f"The metric {key} is gone, so the guardrail has no verdict.")
        return verdict, {**line, "outcome": verdict.outcome, "detail": verdict.detail}
    pair = _guarded(part, metric, guardrail, arms, since=since, now=now)
    alpha = GUARDRAIL_ALPHA / judgements
    found = harm(metric, pair, guardrail["marginPercent"] / 100, alpha)
    outcome, detail = _outcome(
        key, found, parse_duration(guardrail["grace"]) or GRACE, _silent(part, arms, since, now), now - since
    )
    if pair is not None:
        line |= _figures(pair, alpha)
    return Verdict(key, outcome, act, detail), {**line, "outcome": outcome, "detail": detail}


def _silent(part: RolloutPart, arms: Arms, since: datetime, now: datetime) -> timedelta:
    """How long nobody was exposed; of those who had been before, the full hour is known."""
    key = part.config.flag.key
    found = events.last_exposures([part.config.environment_id], [key]).get(key)
    last_at = max([since, *(first_at for _, _, first_at in arms), *([found[0] + timedelta(hours=1)] if found else [])])
    return now - min(last_at, now)


def _outcome(key: str, found: Judged, grace: timedelta, silent: timedelta, stood: timedelta) -> tuple[Outcome, str]:
    if found.is_shown:
        return Outcome.VIOLATED, f"The guardrail {key} is violated: the data show harm beyond its margin."
    if silent > grace or (found.is_shown is None and stood > grace):
        why = "no data came" if silent > grace else found.reason
        return Outcome.NO_DATA, f"The guardrail {key} has no verdict after {duration_in_words(grace)}: {why}."
    if found.is_shown is None:
        return Outcome.WAITS, f"The guardrail {key} says nothing yet: {found.reason}."
    return Outcome.HOLDS, f"The guardrail {key} holds."


def harm(metric: Metric, pair: tuple[GuardedArm, GuardedArm] | None, margin: float, alpha: float) -> Judged:
    if pair is None:
        return Judged(None, "one of the two shares has no user whose window is over")
    rest, treated = pair
    if min(rest.users, treated.users) < FEWEST_USERS:
        return Judged(None, f"harm is judged from {FEWEST_USERS} users in each share on")
    is_increase = metric.goal == Metric.Goal.INCREASE
    if min(rest.conversions, treated.conversions) >= FEWEST_CONVERSIONS:
        harm = harm_shown(rest, treated, margin, TUNED_USERS, higher_is_better=is_increase, alpha=alpha / 2)
        return Judged(harm.is_shown, harm.reason or "")
    total = rest.conversions + treated.conversions
    if total < FEWEST_CONVERSIONS:
        # So few errors among so many users are no harm; so few purchases may be.
        return (
            Judged(None, f"fewer than {FEWEST_CONVERSIONS} users have such an event") if is_increase else Judged(False)
        )
    # Of those with an event, the part that each share has where the harm is just what the margin lets pass.
    if is_increase:
        expected = rest.users / (rest.users + treated.users * max(1 - margin, 0))
        return Judged(share_is_shown_above(rest.conversions, total, expected, alpha / 2))
    expected = treated.users * (1 + margin) / (rest.users + treated.users * (1 + margin))
    return Judged(share_is_shown_above(treated.conversions, total, expected, alpha / 2))


def _guarded(
    part: RolloutPart, metric: Metric, guardrail: Mapping[str, Any], arms: Arms, *, since: datetime, now: datetime
) -> tuple[GuardedArm, GuardedArm] | None:
    """The rest and the treated share as the test takes them."""
    window = parse_duration(guardrail["window"]) or WINDOW
    units = Units(part.config.environment_id, since)
    for unit_id, variant, first_at in arms:
        if first_at + window <= now:
            units.add(unit_id, TREATED if variant == part.variant else REST, first_at)
    if min(units.size.get(REST, 0), units.size.get(TREATED, 0)) == 0:
        return None
    kind = _kind(metric, window)
    data = _data(part, metric, units, since=since, now=now)
    measure = kind.measure(data, (REST, TREATED))
    conversions = kind.conversions(data, (REST, TREATED), now)
    rest, treated = measure.arms[REST], measure.arms[TREATED]
    base, other, _ = kind.guarded(rest, treated)
    if base is None or other is None:
        return None
    return (
        GuardedArm(base, rest.users, conversions[REST]),
        GuardedArm(other, treated.users, conversions[TREATED]),
    )


def _kind(metric: Metric, window: timedelta) -> MetricType:
    """The metric's type, with the guardrail's window in place of the metric's."""
    plain = type(metric_type(metric))
    found: MetricType = type(plain.__name__, (plain,), {"window": window})(metric)
    return found


def _data(part: RolloutPart, metric: Metric, units: Units, *, since: datetime, now: datetime) -> WindowData:
    """The units as the metric types read them. The experiment and its phase are of this judgement alone."""
    experiment = Experiment(environment_id=part.config.environment_id, config=part.config, primary_metric=metric)
    definitions: Any = {
        "primaryMetric": metric_resource(metric),
        "secondaryMetrics": [],
        "guardrails": [],
        "winsorizePercent": None,
    }
    phase = Phase(experiment=experiment, number=1, started_at=since, definitions=definitions)
    window = Window(phase, since, now, now)
    return WindowData(experiment, window, _units={now: units}, is_narrowed=True)


def _figures(pair: tuple[GuardedArm, GuardedArm], alpha: float) -> dict[str, Any]:
    """What the chart shows: both figures, and the interval of their difference that holds at every look."""
    rest, treated = pair
    diff = treated.estimate.value - rest.estimate.value
    error = (rest.estimate.variance + treated.estimate.variance) ** 0.5
    found = asymptotic_sequence(diff, error, rest.users + treated.users, TUNED_USERS, alpha=alpha, sides=2)
    return {
        "rest": {"users": int(rest.users), "figure": rest.estimate.value},
        "treated": {"users": int(treated.users), "figure": treated.estimate.value},
        "difference": diff,
        "interval": [found.ci_low, found.ci_high],
    }
