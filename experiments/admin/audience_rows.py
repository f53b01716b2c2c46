"""The designer's audience as rows of texts, until the designer sends its document as JSON."""

import re
from dataclasses import dataclass, field
from typing import Any

from django.http import QueryDict

from flags.admin import conditions
from tenancy.errors import Problem

_CONDITION = re.compile(r"rules-(\d+)-conditions-(\d+)-")


@dataclass(slots=True)
class ConditionRow:
    ref: str
    attribute: str = ""
    operator: str = "equals"
    value: str = ""
    kind: str = "text"
    errors: list[str] = field(default_factory=list)


def sent_rows(post: QueryDict) -> list[ConditionRow]:
    """In the order in which the page had them."""
    found = dict.fromkeys(match.groups() for name in post if (match := _CONDITION.match(name)))

    def text(rule: str, row: str, name: str) -> str:
        return (post.get(f"rules-{rule}-conditions-{row}-{name}") or "").replace("\r\n", "\n").strip()

    return [
        ConditionRow(
            row,
            text(rule, row, "attribute"),
            text(rule, row, "operator"),
            text(rule, row, "value"),
            text(rule, row, "kind") or "text",
        )
        for rule, row in found
    ]


def conditions_of(rows: list[ConditionRow], attr: str, problems: list[Problem]) -> list[dict[str, Any]]:
    """Return the conditions that the rows stand for; what cannot be read goes into `problems` under `attr`."""
    found: list[dict[str, Any]] = []
    for position, row in enumerate(rows):
        try:
            value = conditions.to_value(row.value, row.operator, row.kind)
        except conditions.UnreadableValueError as error:
            problems.append(Problem(f"{attr}.conditions[{position}].value", "invalid", str(error)))
            continue
        item: dict[str, Any] = {"operator": row.operator}
        if row.operator not in conditions.WITHOUT_ATTRIBUTE:
            item["attribute"] = row.attribute
        if value is not None:
            item["value"] = value
        found.append(item)
    return found


def condition_rows(stored: list[dict[str, Any]]) -> list[ConditionRow]:
    rows = []
    for index, condition in enumerate(stored):
        text, kind = conditions.to_text(condition.get("value"), condition["operator"])
        rows.append(ConditionRow(str(index), condition.get("attribute", ""), condition["operator"], text, kind))
    return rows
