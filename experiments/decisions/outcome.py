"""What a decision says: the act, the step that decided, and the sentences."""

from dataclasses import dataclass
from enum import StrEnum


class Act(StrEnum):
    """What a person should do now."""

    KEEP_RUNNING = "keep_running"
    SHIP = "ship"
    STOP = "stop"
    HOLD = "hold"
    DROP_ARM = "drop_arm"
    DO_NOT_TRUST = "do_not_trust"


class Reason(StrEnum):
    """Which step of the order decided."""

    NO_USERS = "no_users"
    NO_VERDICT = "no_verdict"
    DATA = "data"
    GUARDRAIL = "guardrail"
    TIME = "time"
    EFFECT_CHANGED = "effect_changed"
    BETTER = "better"
    WORSE = "worse"
    EQUAL = "equal"
    INCONCLUSIVE = "inconclusive"
    NOT_SEPARABLE = "not_separable"


@dataclass(frozen=True, slots=True)
class Decision:
    """`text` is the one sentence every surface shows; `reasons` support it; `caveats` limit it."""

    act: Act
    reason: Reason
    text: str
    arm: str | None = None
    dropped: tuple[str, ...] = ()
    reasons: tuple[str, ...] = ()
    caveats: tuple[str, ...] = ()
