"""The answer of an evaluation, and the decisions it is made from."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final

from openflagship.engine.model import BucketBy

KILL_SWITCH: Final = "KILL_SWITCH"
DISABLED: Final = "DISABLED"
PREREQUISITE_FAILED: Final = "PREREQUISITE_FAILED"
TARGET_MATCH: Final = "TARGET_MATCH"
RULE_MATCH: Final = "RULE_MATCH"
EXPERIMENT: Final = "EXPERIMENT"
ROLLOUT: Final = "ROLLOUT"
DEFAULT: Final = "DEFAULT"
ERROR: Final = "ERROR"

FLAG_NOT_FOUND: Final = "FLAG_NOT_FOUND"
PARSE_ERROR: Final = "PARSE_ERROR"
GENERAL: Final = "GENERAL"
TYPE_MISMATCH: Final = "TYPE_MISMATCH"

NO_UNIT: Final = "no_unit"
NOT_IN_EXPERIMENT: Final = "not_in_experiment"
NOT_UNDERSTOOD: Final = "not_understood"

OPENFEATURE_REASONS: Final = {
    KILL_SWITCH: "DISABLED",
    DISABLED: "DISABLED",
    PREREQUISITE_FAILED: "DEFAULT",
    TARGET_MATCH: "TARGETING_MATCH",
    RULE_MATCH: "TARGETING_MATCH",
    EXPERIMENT: "SPLIT",
    ROLLOUT: "SPLIT",
    DEFAULT: "DEFAULT",
    ERROR: "ERROR",
}


class _Used:
    """A place for a client's counter. It is no field, so no comparison, no copy and no form of an answer has it."""

    __slots__ = ("uses",)

    uses: list[int]


@dataclass(frozen=True, slots=True)
class Answer(_Used):
    """The outcome of an evaluation. All evaluations that end alike share it, so it holds nothing about the user.

    `value` of a json flag is frozen: a copy of it may be changed. `config_version` is the environment's version.
    `is_exposure` says whether the evaluation has to be logged: it has a unit, and the flag logs evaluations like it.
    """

    value: Any
    variant: str | None
    reason: str
    rule_id: str | None
    experiment: str | None
    error_code: str | None
    detail: str | None
    config_version: int
    stale: bool
    openfeature_reason: str
    is_exposure: bool
    # Of the flag: what an exposure is recorded for.
    bucket_by: BucketBy = field(default="userId", compare=False, repr=False)

    def to_dict(self) -> dict[str, Any]:
        """The answer as JSON, by the names of the contract, without the members that do not apply."""
        body: dict[str, Any] = {"value": self.value, "variant": self.variant, "reason": self.reason}
        optional = {
            "errorCode": self.error_code,
            "ruleId": self.rule_id,
            "experiment": self.experiment,
            "detail": self.detail,
        }
        body.update((name, value) for name, value in optional.items() if value is not None)
        body["configVersion"] = self.config_version
        body["stale"] = self.stale
        return body


@dataclass(frozen=True, slots=True)
class Decision:
    """An answer without its configuration version; part of a compiled flag."""

    variant: str
    value: Any
    reason: str
    openfeature_reason: str
    rule_id: str | None = None
    experiment: str | None = None
    detail: str | None = None

    def stamp(
        self,
        version: int,
        stale: bool,
        detail: str | None = None,
        *,
        is_exposure: bool,
        bucket_by: BucketBy = "userId",
    ) -> Answer:
        """The answer at a configuration version; `detail` takes the place of the decision's own."""
        return Answer(
            self.value,
            self.variant,
            self.reason,
            self.rule_id,
            self.experiment,
            None,
            self.detail if detail is None else detail,
            version,
            stale,
            "STALE" if stale else self.openfeature_reason,
            is_exposure,
            bucket_by,
        )


def failure(default: Any, code: str, detail: str | None, version: int, stale: bool) -> Answer:
    """The caller's default with the reason ERROR."""
    return Answer(default, None, ERROR, None, None, code, detail, version, stale, "ERROR", False)
