"""What a decision rests on: plain frozen values that the analysis fills in."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

Interval = tuple[float, float]


class Status(StrEnum):
    """Where the experiment stands. A draft has no evidence."""

    RUNNING = "running"
    PAUSED = "paused"
    COMPLETED = "completed"


class Scale(StrEnum):
    """How a metric's difference is written: rates in percentage points, everything else in the metric's own unit."""

    RATE = "rate"
    VALUE = "value"


@dataclass(frozen=True, slots=True)
class DataCheck:
    """One check of the data that did not pass.

    `code` names the check: sample_ratio, silent_arm, crossovers, pre_period. `text` is one sentence that says what was
    seen. A blocking check forbids every other conclusion; another one becomes a caveat.
    """

    code: str
    text: str
    is_blocking: bool = True


@dataclass(frozen=True, slots=True)
class DecidingEffect:
    """One metric, one treatment against the control.

    Every figure comes from the users whose p-value decides: for sequential methods those with complete windows, for a
    fixed horizon the planned users. `difference` is treatment minus control; `interval` belongs to it, at the level
    that decides. `lift` is a fraction of the control's figure, None where that is 0. `is_significant` is None where no
    test can be made; `reason` then says why. `is_constant` is False where the intersection of the sequential intervals
    is empty, or where the present interval holds 0 although an earlier look was significant.
    """

    metric: str
    variant: str
    scale: Scale
    higher_is_better: bool
    difference: float | None
    interval: Interval | None
    lift: float | None
    control_figure: float | None
    is_significant: bool | None
    is_constant: bool = True
    reason: str = ""

    @property
    def is_better(self) -> bool:
        return bool(self.is_significant) and self._favours_treatment

    @property
    def is_worse(self) -> bool:
        return bool(self.is_significant) and self.difference not in (None, 0) and not self._favours_treatment

    @property
    def _favours_treatment(self) -> bool:
        return self.difference is not None and self.difference != 0 and (self.difference > 0) == self.higher_is_better


class GuardrailStatus(StrEnum):
    PASS = "pass"  # noqa: S105 - a status, no password
    VIOLATED = "violated"
    UNDECIDED = "undecided"


@dataclass(frozen=True, slots=True)
class GuardrailEvidence:
    """One guardrail of one arm. `margin_percent` is the harm that is tolerated, in percent of the control's figure."""

    metric: str
    variant: str
    status: GuardrailStatus
    margin_percent: float
    lift: float | None


@dataclass(frozen=True, slots=True)
class Progress:
    """Time and size. `days` since the phase started; `complete_users` have a closed conversion window.

    `is_planned_size_reached` is about `planned_users`, and False without a plan. `is_frozen`: the phase has ended and
    no event can change its figures any more; `frozen_at` is when that is, or was, for a phase that has ended.
    """

    days: float
    users: int
    complete_users: int
    planned_users: int | None = None
    is_frozen: bool = False
    frozen_at: datetime | None = None

    @property
    def is_planned_size_reached(self) -> bool:
        return self.planned_users is not None and self.complete_users >= self.planned_users


@dataclass(frozen=True, slots=True)
class Evidence:
    """All that `decide` looks at.

    `arms` are the treatments in the flag's order, `primary` has one effect an arm, `secondary` any number. `apart`
    holds, for a pair of treatments in the order of `arms`, whether their primary figures differ beyond chance.
    `minimum_effect` is the smallest lift worth shipping, a fraction; None: nobody named one. `ended_because` is why the
    next phase began; empty for the latest phase.
    """

    status: Status
    control: str
    arms: tuple[str, ...]
    progress: Progress
    checks: tuple[DataCheck, ...] = ()
    guardrails: tuple[GuardrailEvidence, ...] = ()
    primary: tuple[DecidingEffect, ...] = ()
    secondary: tuple[DecidingEffect, ...] = ()
    apart: Mapping[tuple[str, str], bool] = field(default_factory=dict)
    minimum_effect: float | None = None
    is_fixed_horizon: bool = False
    has_verdict: bool = True
    why_no_verdict: str = ""
    ended_because: str = ""

    def primary_of(self, variant: str) -> DecidingEffect | None:
        return next((effect for effect in self.primary if effect.variant == variant), None)

    def guardrails_of(self, variant: str) -> tuple[GuardrailEvidence, ...]:
        return tuple(item for item in self.guardrails if item.variant == variant)
