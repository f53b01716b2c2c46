"""The window of a result: a stretch of time in one phase."""

from dataclasses import dataclass
from datetime import UTC, datetime

from django.utils import timezone

from analytics.selectors import GRACE
from analytics.windows import bounds
from experiments.models import Experiment, Phase
from tenancy.errors import Conflict, Invalid


@dataclass(frozen=True, slots=True)
class Window:
    """Exposures in [since, until) of one phase. `now` is the moment of the analysis and decides which days are over.

    `following` is the phase that had begun after it by then.
    """

    phase: Phase
    since: datetime
    until: datetime
    now: datetime
    phases_touched: int = 1
    following: Phase | None = None

    @property
    def ended_because(self) -> str:
        """Why the next phase began; empty where there is none."""
        return "" if self.following is None else self.following.reason or "another phase began."

    @property
    def is_whole_phase(self) -> bool:
        return self.since == self.phase.started_at and self.until == (self.phase.ended_at or self.now)

    @property
    def is_frozen(self) -> bool:
        """Whether the phase has ended, and the time has passed in which its users' events count."""
        return self.phase.ended_at is not None and self.now >= self.phase.ended_at + GRACE

    @property
    def is_final(self) -> bool:
        """Whether it is about a whole phase, and its figures can change no more."""
        return self.is_whole_phase and self.is_frozen

    @property
    def deadline(self) -> datetime:
        """Events count that happened and were received before it: now, and at most 7 days after the phase's end."""
        return self.now if self.phase.ended_at is None else min(self.now, self.phase.ended_at + GRACE)

    @property
    def complete_days_until(self) -> datetime:
        """The last midnight (UTC) in the window. Days before it are over."""
        return self.until.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)


def window_of(
    experiment: Experiment, text: str | None = None, *, phase: str | int | None = None, now: datetime | None = None
) -> Window:
    """Read `?window=` or `?phase=` (neither: the whole of the latest phase).

    Raises Invalid, and Conflict before the start.
    A window that reaches over several phases is about the last of them: phases are never mixed.
    """
    moment = now or timezone.now()
    phases = list(experiment.phases.all())
    if not phases:
        raise Conflict(
            "The experiment has not started, so there is nothing to analyse.", code="not_started", attr="status"
        )
    if text and phase not in (None, ""):
        raise Invalid("Give a phase or a window, not both.", attr="phase", code="invalid")
    if not text:
        return whole_phase(phases[-1] if phase in (None, "") else _numbered(phases, str(phase)), moment)
    since, until = bounds(text, moment)
    touched = [row for row in phases if row.started_at < until and (row.ended_at is None or since < row.ended_at)]
    if not touched:
        raise Invalid("The experiment did not run in that window.", attr="window", code="out_of_range")
    last = touched[-1]
    return Window(
        last,
        max(since, last.started_at),
        min(until, last.ended_at or moment, moment),
        moment,
        len(touched),
        following_phase(last, moment),
    )


def whole_phase(phase: Phase, now: datetime) -> Window:
    """The whole of the phase, as far as it has come."""
    until = min(phase.ended_at or now, now)
    return Window(phase, phase.started_at, until, now, following=following_phase(phase, now))


def following_phase(phase: Phase, now: datetime) -> Phase | None:
    """The next phase, if it had begun by that moment."""
    return Phase.objects.filter(experiment=phase.experiment_id, number=phase.number + 1, started_at__lte=now).first()


def _numbered(phases: list[Phase], text: str) -> Phase:
    found = next((row for row in phases if str(row.number) == text), None)
    if found is None:
        known = "phase 1 alone" if len(phases) == 1 else f"phases 1 to {phases[-1].number}"
        raise Invalid(f"There is {known}.", attr="phase", code="unknown_phase")
    return found
