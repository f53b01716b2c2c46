"""Looks at a running experiment for a decision: their times, the users they may use, and what earlier ones showed.

The calendar sets the looks, one at each midnight (UTC). A look sees only users whose conversion window is complete.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from analytics.selectors import ExposureSummary
from experiments.analysis.arms import Measure
from experiments.analysis.effects import FIGURE
from experiments.analysis.methods import METHODS
from experiments.analysis.stored import is_intact
from experiments.analysis.window import Window
from experiments.models import Experiment, ExperimentResult, Phase
from experiments.payloads import ComparisonResult
from experiments.statistics.group_sequential import boundaries

# N* of the confidence sequence where neither a plan nor traffic says how many users to expect.
DEFAULT_TUNED_USERS = 10_000
_DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Look:
    """Users first exposed before `cutoff` count. `fractions` of the planned users at each look, this one last.

    Confidence sequences are tightest at `tuned_users`.
    """

    cutoff: datetime
    fractions: tuple[float, ...] = ()
    tuned_users: int = DEFAULT_TUNED_USERS

    @property
    def number(self) -> int:
        return len(self.fractions)


def tuned_users(phase: Phase) -> int:
    """N*: what the start has stored; phases that are older than the field go by the plan."""
    return phase.tuned_users or phase.experiment.planned_users or DEFAULT_TUNED_USERS


def look_of(
    experiment: Experiment, window: Window, exposures: ExposureSummary, conversion_window: timedelta
) -> tuple[Look | None, str | None]:
    """Return the present look, or None with the reason why no sequential statement is possible."""
    if window.since != window.phase.started_at:
        return None, "sequential statements are about the phase from its start; leave the window out"
    is_fixed = experiment.method == Experiment.Method.FIXED
    if METHODS[experiment.method].spending is None and not (is_fixed and experiment.planned_users):
        if is_fixed and window.phase.ended_at is None:
            return None, "a fixed-horizon test without a planned size is read once, after the end"
        cutoff = min(window.until, window.now - conversion_window)
        if cutoff <= window.since:
            return None, "no user's conversion window is complete yet"
        return Look(cutoff, tuned_users=tuned_users(window.phase)), None
    planned = experiment.planned_users or 0
    found: Look | None = None
    for cutoff in _cutoffs(window, conversion_window):
        fraction = _users_before(exposures, cutoff, window) / planned
        if fraction <= (found.fractions[-1] if found else 0.0):
            continue
        found = Look(cutoff, (*(found.fractions if found else ()), fraction))
        if fraction >= 1:
            # The planned users are there. This look spends the rest of alpha, and later looks decide nothing.
            break
    if is_fixed and not window.is_frozen and (found is None or found.fractions[-1] < 1):
        return None, "a fixed-horizon test is read once, when the planned users are complete"
    return found, None if found else "no user's conversion window was complete at the last midnight"


def bound_at(look: Look, *, alpha: float, spending: str) -> float | None:
    """|Z| needed at this look."""
    return boundaries(look.fractions, alpha, spending=spending).z[-1]


def _cutoffs(window: Window, conversion_window: timedelta) -> list[datetime]:
    """For each midnight since the start, the last midnight before which everybody's window is complete by then."""
    midnight = _floor(window.since) + _DAY
    cutoffs: list[datetime] = []
    while midnight <= window.now:
        cutoff = min(_floor(midnight - conversion_window), window.until)
        if cutoff > window.since and (not cutoffs or cutoff > cutoffs[-1]):
            cutoffs.append(cutoff)
        midnight += _DAY
    return cutoffs


def _users_before(exposures: ExposureSummary, cutoff: datetime, window: Window) -> int:
    return sum(sum(row.values()) for day, row in exposures.daily if cutoff == window.until or day < cutoff.date())


def _floor(moment: datetime) -> datetime:
    return moment.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)


@dataclass(frozen=True, slots=True)
class PreviousLook:
    """One comparison at a stored look: its own p-value and its difference."""

    at: datetime
    p_value: float
    diff: float
    ci: list[float] | None = None
    of: str = FIGURE


PreviousLooks = Mapping[tuple[str, str], Sequence[PreviousLook]]


def previous_looks(experiment: Experiment, window: Window) -> PreviousLooks:
    """The stored looks of the phase before the window's end, by metric and variant; none for the other methods.

    Only stored looks count, so a result that is computed again finds the same ones.
    """
    found: dict[tuple[str, str], list[PreviousLook]] = defaultdict(list)
    if experiment.method != Experiment.Method.ALWAYS_VALID or window.since != window.phase.started_at:
        return found
    rows = ExperimentResult.objects.filter(phase=window.phase, since=window.since, until__lt=window.until)
    for row in rows.order_by("until", "computed_at"):
        # A row that was changed is no look that anybody took.
        stored: list[ComparisonResult] = row.payload["comparisons"] if is_intact(row) else []
        for item in stored:
            # Results stored before `lookPValue` existed carry their own p-value under the other name.
            own = item.get("lookPValue", item["sequentialPValue"])
            # Likewise, older rows have the difference over all users alone.
            diff = item.get("lookLift", item["absoluteLift"])
            if own is not None and diff is not None:
                ci = item["sequentialCi"]
                of = item.get("lookLiftOf", FIGURE)
                found[item["metric"], item["variant"]].append(PreviousLook(row.until, own, diff, ci, of))
    return found


def intersection(intervals: Sequence[list[float]]) -> list[float] | None:
    """What all intervals hold; None where that is nothing, so that no single effect explains them."""
    low, high = max(found[0] for found in intervals), min(found[1] for found in intervals)
    return [low, high] if low <= high else None


def users_at_look(at_look: Measure | None) -> int:
    """The users whose figures decide; none where there is no look."""
    return 0 if at_look is None else sum(arm.users for arm in at_look.arms.values())


def smallest_over_looks(
    looks: Sequence[PreviousLook], p_value: float | None, diff: float | None
) -> tuple[float | None, str | None]:
    """The running minimum, and a note where a previous look made it.

    Looks with the opposite direction of the difference are left out, because a claim has a direction. Leaving looks
    out can only make the minimum larger.
    """
    if p_value is None or diff is None:
        return p_value, None
    same = [look for look in looks if look.diff * diff > 0 and look.p_value < p_value]
    if not same:
        return p_value, None
    best = min(same, key=lambda look: (look.p_value, look.at))
    return best.p_value, f"the smallest sequential p-value is that of {best.at:%Y-%m-%d %H:%M} (now {p_value:.2g})"
