"""The fields of a metric that only some types have, and what is said where one is missing or out of place."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from experiments.models import Metric
from tenancy.errors import Problem


@dataclass(frozen=True, slots=True)
class TypeField:
    """`name` is the API's, `attribute` the model's. `noun` is what a type without the field does not have."""

    name: str
    attribute: str
    noun: str
    missing: str
    is_valid: Callable[[Any], bool] = bool

    def problem_of(self, metric: Metric, *, is_allowed: bool, is_required: bool) -> Problem | None:
        value = getattr(metric, self.attribute)
        if is_required and not self.is_valid(value):
            return Problem(self.name, "required", self.missing)
        if not is_allowed and value not in {"", None}:
            detail = f"A {metric.type} metric has no {self.noun}; leave it out."
            return Problem(self.name, "not_applicable", detail)
        return None


def _is_level(value: float | None) -> bool:
    return value is not None and 0 < value < 1


DENOMINATOR = TypeField(
    "denominatorEventName",
    "denominator_event_name",
    noun="denominator",
    missing="Name the events a ratio divides by.",
)
VALUE_PROPERTY = TypeField(
    "valueProperty",
    "value_property",
    noun="values",
    missing="Name the property that is the event's value.",
)
QUANTILE_LEVEL = TypeField(
    "quantile",
    "quantile",
    noun="level",
    missing="Give the quantile, between 0 and 1: 0.95 for p95.",
    is_valid=_is_level,
)
CAP = TypeField(
    "cap",
    "cap",
    noun="cap on a user's total (the experiment's winsorizePercent caps both sides of a ratio)",
    missing="Give the most that a user may count.",
)
TYPE_FIELDS = (DENOMINATOR, VALUE_PROPERTY, QUANTILE_LEVEL, CAP)
