"""The planner: which step of a plan is due. It is pure: it reads no database and no clock.

Steps count from 1; a plan at 0 has not taken its first. A step begins once all that it asks for is true. What depends
on users who were exposed since a step (a minimum, a guardrail) is known only of the step that is written; so no plan
goes past such a step without having stood on it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

# So often a plan is looked at while it waits for users, a guardrail or another environment.
CHECK_EVERY: Final = timedelta(seconds=60)


class Wait(StrEnum):
    """What a plan waits for."""

    TIME = "time"
    APPROVAL = "approval"
    USERS = "users"
    GUARDRAIL = "guardrail"
    ENVIRONMENT = "environment"


class Outcome(StrEnum):
    """What the data say of a guardrail: no harm is shown, too little is known yet, no data came, or harm is shown."""

    HOLDS = "holds"
    WAITS = "waits"
    NO_DATA = "no_data"
    VIOLATED = "violated"


class Act(StrEnum):
    """What a guardrail does where it is violated, the mildest first."""

    HOLD = "hold"
    ROLLBACK = "rollback"
    KILL = "kill"


@dataclass(frozen=True, slots=True)
class Step:
    """What must be true before a step. `is_guarded`: while it stands, guardrails are read."""

    after: timedelta | None = None
    at: datetime | None = None
    needs_approval: bool = False
    minimum_users: int = 0
    is_guarded: bool = False
    # Whether it waits until another environment has had the variant for everybody, long enough.
    needs_environment: bool = False


@dataclass(frozen=True, slots=True)
class Plan:
    """`current` is the step that is written, and `entered_at` when it was due; at 0, when the plan was started.

    `not_before`: until then something kept the plan from the next step, which no step asks for, such as a hold.
    """

    steps: Sequence[Step]
    current: int
    entered_at: datetime
    not_before: datetime | None = None

    def needs_evidence(self, number: int) -> bool:
        """Whether step `number` waits for what only the time on the step before it can show."""
        step = self.steps[number - 1]
        # Before the first step nobody has the variant, so there is nothing to watch.
        is_watched = number > 1 and (step.is_guarded or self.steps[number - 2].is_guarded)
        return bool(step.minimum_users or step.needs_environment or is_watched)

    @property
    def is_watched(self) -> bool:
        """Whether guardrails are read on the step that is written: its own, and those of the step after it."""
        if not self.current:
            return False
        return any(step.is_guarded for step in self.steps[self.current - 1 : self.current + 1])


@dataclass(frozen=True, slots=True)
class Verdict:
    """What one guardrail says on the step that is written, and what it does where it is violated."""

    metric: str
    outcome: Outcome
    act: Act = Act.HOLD
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Verdicts:
    """What is known of the step that is written."""

    users: int = 0
    guardrails: Sequence[Verdict] = ()
    is_environment_ready: bool = False


@dataclass(frozen=True, slots=True)
class Passed:
    """A step that the plan takes now, and when it was due."""

    number: int
    at: datetime


@dataclass(frozen=True, slots=True)
class State:
    """Where the plan belongs now. `act` asks for a hold, a rollback or a kill instead, for the reason given."""

    step: int
    entered_at: datetime
    is_complete: bool
    passed: Sequence[Passed] = ()
    waits_for: Wait | None = None
    next_due_at: datetime | None = None
    act: Act | None = None
    reason: str = ""


def due(plan: Plan, now: datetime, approvals: Mapping[int, datetime], verdicts: Verdicts | None) -> State:
    """Return the state that the plan belongs in at `now`, however long nobody looked.

    `approvals` has the instant at which each step was approved, by its number. `verdicts` None: nobody has asked the
    data, so no step is passed that depends on them.
    """
    act, reason = _alarm(verdicts) if verdicts is not None else (None, "")
    if act is not None:
        return State(plan.current, plan.entered_at, is_complete=False, act=act, reason=reason)
    step, entered_at = plan.current, plan.entered_at
    passed: list[Passed] = []
    waits_for, next_due_at = None, None
    while step < len(plan.steps):
        is_written = step == plan.current
        approved_at = approvals.get(step + 1)
        standing = plan if is_written else Plan(plan.steps, step, entered_at)
        begins, waits_for, next_due_at = _next(standing, now, approved_at, verdicts if is_written else None)
        if begins is None:
            break
        step, entered_at = step + 1, begins
        passed.append(Passed(step, begins))
    is_complete = step == len(plan.steps)
    if is_complete:
        waits_for, next_due_at = None, None
    elif Plan(plan.steps, step, entered_at).is_watched:
        soon = now + CHECK_EVERY
        next_due_at = soon if next_due_at is None else min(soon, next_due_at)
    return State(step, entered_at, is_complete, passed, waits_for, next_due_at)


def earliest(plan: Plan) -> datetime:
    """When the step after the plan's begins by the clock; what else it asks for is not known before."""
    step = plan.steps[plan.current]
    begins = plan.entered_at + (step.after or timedelta())
    return max([begins, *(instant for instant in (step.at, plan.not_before) if instant is not None)])


def foreseen(plan: Plan, approvals: Mapping[int, datetime], *, most: int) -> list[Passed]:
    """Return the next steps and when each begins, up to the first that waits for more than time; `most` of them."""
    found: list[Passed] = []
    standing = plan
    while standing.current < len(plan.steps) and len(found) < most:
        number, begins = standing.current + 1, earliest(standing)
        needs_approval = plan.steps[number - 1].needs_approval
        if standing.needs_evidence(number) or (needs_approval and number not in approvals):
            break
        if needs_approval:
            begins = max(begins, approvals[number])
        found.append(Passed(number, begins))
        standing = Plan(plan.steps, number, begins)
    return found


def _alarm(verdicts: Verdicts) -> tuple[Act | None, str]:
    """The strictest act that a guardrail asks for; without data a plan holds."""
    order = list(Act)
    violated = [found for found in verdicts.guardrails if found.outcome is Outcome.VIOLATED]
    if violated:
        worst = max(violated, key=lambda found: order.index(found.act))
        return worst.act, worst.detail or f"The guardrail {worst.metric} is violated."
    silent = next((found for found in verdicts.guardrails if found.outcome is Outcome.NO_DATA), None)
    if silent is not None:
        return Act.HOLD, silent.detail or f"The guardrail {silent.metric} has no verdict: no data came."
    return None, ""


def _next(
    plan: Plan, now: datetime, approved_at: datetime | None, verdicts: Verdicts | None
) -> tuple[datetime | None, Wait | None, datetime | None]:
    """When the step after the plan's begins, at or before now; else None, what it waits for, and when to look again.

    `verdicts` None: nothing is known of the plan's step, as of one that is not written yet.
    """
    number = plan.current + 1
    step = plan.steps[number - 1]
    begins = earliest(plan)
    if step.needs_approval:
        if approved_at is None:
            return (None, Wait.TIME, begins) if begins > now else (None, Wait.APPROVAL, None)
        begins = max(begins, approved_at)
    if begins > now:
        return None, Wait.TIME, begins
    if not plan.needs_evidence(number):
        return begins, None, None
    waits_for = _missing(step, verdicts)
    if waits_for is not None:
        return None, waits_for, now + CHECK_EVERY
    return now, None, None


def _missing(step: Step, verdicts: Verdicts | None) -> Wait | None:
    if verdicts is None:
        if step.needs_environment:
            return Wait.ENVIRONMENT
        return Wait.USERS if step.minimum_users else Wait.GUARDRAIL
    if step.needs_environment and not verdicts.is_environment_ready:
        return Wait.ENVIRONMENT
    if verdicts.users < step.minimum_users:
        return Wait.USERS
    if any(found.outcome is not Outcome.HOLDS for found in verdicts.guardrails):
        return Wait.GUARDRAIL
    return None
