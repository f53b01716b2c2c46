"""When a running experiment may be looked at for a decision, and whose data such a look may use.

The calendar sets the looks, one at each midnight (UTC); a look sees only users whose conversion window is complete.
"""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from analytics.selectors import ExposureSummary
from experiments.analysis.window import Window
from experiments.models import Experiment
from experiments.statistics.group_sequential import boundaries

# N* of the confidence sequence where no size was planned: where it is tightest. Fixed, so nobody tunes it later.
DEFAULT_TUNED_USERS = 10_000
_SPENDING = {Experiment.Method.POCOCK: "pocock", Experiment.Method.OBRIEN_FLEMING: "obf"}
_DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Look:
    """Users first exposed before `cutoff` count. `fractions` of the planned users at each look, this one last."""

    cutoff: datetime
    fractions: tuple[float, ...] = ()

    @property
    def number(self) -> int:
        return len(self.fractions)


def spending_of(experiment: Experiment) -> str | None:
    return _SPENDING.get(Experiment.Method(experiment.method))


def tuned_users(experiment: Experiment) -> int:
    return experiment.planned_users or DEFAULT_TUNED_USERS


def look_of(
    experiment: Experiment, window: Window, exposures: ExposureSummary, conversion_window: timedelta
) -> tuple[Look | None, str | None]:
    """Return this moment's look, or None with the reason why no sequential statement can be made."""
    if window.since != window.phase.started_at:
        return None, "sequential statements are about the phase from its start; leave the window out"
    if spending_of(experiment) is None:
        cutoff = min(window.until, window.now - conversion_window)
        if cutoff <= window.since:
            return None, "no user's conversion window is complete yet"
        return Look(cutoff), None
    planned = experiment.planned_users or 0
    found: Look | None = None
    for cutoff in _cutoffs(window, conversion_window):
        fraction = _users_before(exposures, cutoff, window) / planned
        if fraction <= (found.fractions[-1] if found else 0.0):
            continue
        found = Look(cutoff, (*(found.fractions if found else ()), fraction))
        if fraction >= 1:
            # The plan is fulfilled: this look spends what is left, and nothing after it may decide.
            break
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
