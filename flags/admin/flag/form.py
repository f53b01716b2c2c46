"""The flag page's form: from the stored flag to fields, from sent fields to the payload that the services take.

Rows refer to variants by a number of their own (`ref`), so that renaming a variant keeps its shares and rules.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from typing import Any

from django.http import QueryDict

from flags.admin import conditions
from flags.services.drafts import BOOLEAN_VARIANTS
from tenancy.errors import Problem

_ROW = re.compile(r"(variants|rules|prerequisites)-(\d+)-")
_CONDITION = re.compile(r"rules-(\d+)-conditions-(\d+)-")
_PRIORITY_STEP = 10


@dataclass(slots=True)
class VariantRow:
    ref: str
    key: str
    value: str
    percent: str = ""
    users: str = ""
    errors: list[str] = field(default_factory=list)
    percent_errors: list[str] = field(default_factory=list)
    users_errors: list[str] = field(default_factory=list)


@dataclass(slots=True)
class ConditionRow:
    ref: str
    attribute: str = ""
    operator: str = "equals"
    value: str = ""
    kind: str = "text"
    errors: list[str] = field(default_factory=list)


@dataclass(slots=True)
class RuleRow:
    ref: str
    id: str = ""
    priority: int = -1
    name: str = ""
    serve: str = ""
    percents: dict[str, str] = field(default_factory=dict)
    conditions: list[ConditionRow] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)


@dataclass(slots=True)
class PrerequisiteRow:
    ref: str
    flag_key: str = ""
    variants: str = ""
    errors: list[str] = field(default_factory=list)


@dataclass(slots=True)
class FlagForm:
    """What the page shows and sends. `errors` are by field name, the empty one for the page as a whole."""

    key: str = ""
    type: str = "boolean"
    name: str = ""
    description: str = ""
    tags: str = ""
    is_enabled: bool = False
    default_variant: str = "0"
    off_variant: str = "0"
    bucket_by: str = "userId"
    variants: list[VariantRow] = field(default_factory=list)
    rules: list[RuleRow] = field(default_factory=list)
    prerequisites: list[PrerequisiteRow] = field(default_factory=list)
    errors: dict[str, list[str]] = field(default_factory=dict)

    @classmethod
    def empty(cls) -> "FlagForm":
        """A new boolean flag."""
        variants = [
            VariantRow(str(index), str(variant["key"]), json.dumps(variant["value"]))
            for index, variant in enumerate(BOOLEAN_VARIANTS)
        ]
        return cls(variants=variants)

    @classmethod
    def of(cls, resource: Mapping[str, Any]) -> "FlagForm":
        """From a flag's resource, in the words of the API."""
        refs = {variant["key"]: str(index) for index, variant in enumerate(resource["variants"])}
        shares = {item["variant"]: _percent_text(item["percent"]) for item in resource["rollout"]}
        users = {item["variant"]: "\n".join(item["userIds"]) for item in resource["targets"]}
        return cls(
            key=resource["key"],
            type=resource["type"],
            name=resource["name"],
            description=resource["description"],
            tags=", ".join(resource["tags"]),
            is_enabled=resource["enabled"],
            default_variant=refs.get(resource["defaultVariant"], ""),
            off_variant=refs.get(resource["offVariant"], ""),
            bucket_by=resource["bucketBy"],
            variants=[
                VariantRow(
                    refs[variant["key"]],
                    variant["key"],
                    _value_text(variant["value"], resource["type"]),
                    shares.get(variant["key"], ""),
                    users.get(variant["key"], ""),
                )
                for variant in resource["variants"]
            ],
            rules=[_rule_row(str(index), rule, refs) for index, rule in enumerate(resource["rules"])],
            prerequisites=[
                PrerequisiteRow(str(index), item["flagKey"], ", ".join(item["variants"]))
                for index, item in enumerate(resource["prerequisites"])
            ],
        )

    @classmethod
    def sent(cls, post: QueryDict) -> "FlagForm":
        """From a submitted form; rows come in the order in which the page had them."""
        order: dict[str, list[str]] = {"variants": [], "rules": [], "prerequisites": []}
        condition_order: dict[str, list[str]] = {}
        for name in post:
            if (row := _ROW.match(name)) and row[2] not in order[row[1]]:
                order[row[1]].append(row[2])
            if (condition := _CONDITION.match(name)) and condition[2] not in condition_order.setdefault(
                condition[1], []
            ):
                condition_order[condition[1]].append(condition[2])

        def text(name: str) -> str:
            return (post.get(name) or "").replace("\r\n", "\n").strip()

        return cls(
            key=text("key"),
            type=text("type") or "boolean",
            name=text("name"),
            description=text("description"),
            tags=text("tags"),
            is_enabled="enabled" in post,
            default_variant=text("defaultVariant"),
            off_variant=text("offVariant"),
            bucket_by=text("bucketBy") or "userId",
            variants=[
                VariantRow(
                    ref,
                    text(f"variants-{ref}-key"),
                    text(f"variants-{ref}-value"),
                    text(f"variants-{ref}-percent"),
                    text(f"variants-{ref}-users"),
                )
                for ref in order["variants"]
            ],
            rules=[
                RuleRow(
                    ref,
                    id=text(f"rules-{ref}-id"),
                    priority=_priority(text(f"rules-{ref}-priority")),
                    name=text(f"rules-{ref}-name"),
                    serve=text(f"rules-{ref}-serve"),
                    percents={variant: text(f"rules-{ref}-percent-{variant}") for variant in order["variants"]},
                    conditions=[
                        ConditionRow(
                            inner,
                            text(f"rules-{ref}-conditions-{inner}-attribute"),
                            text(f"rules-{ref}-conditions-{inner}-operator"),
                            text(f"rules-{ref}-conditions-{inner}-value"),
                            text(f"rules-{ref}-conditions-{inner}-kind") or "text",
                        )
                        for inner in condition_order.get(ref, [])
                    ],
                )
                for ref in order["rules"]
            ],
            prerequisites=[
                PrerequisiteRow(ref, text(f"prerequisites-{ref}-flagKey"), text(f"prerequisites-{ref}-variants"))
                for ref in order["prerequisites"]
            ],
        )

    def payload(self) -> tuple[dict[str, Any], list[Problem]]:
        """Return what the services take, and what cannot be read, with the paths the services use."""
        problems: list[Problem] = []
        names = {row.ref: row.key for row in self.variants}
        variants = []
        for index, row in enumerate(self.variants):
            try:
                variants.append({"key": row.key, "value": _variant_value(row.value, self.type)})
            except ValueError as error:
                problems.append(Problem(f"variants[{index}].value", "invalid", str(error)))
        payload = {
            "name": self.name or self.key,
            "description": self.description,
            "tags": _listed(self.tags),
            "variants": variants,
            "enabled": self.is_enabled,
            "defaultVariant": names.get(self.default_variant, ""),
            "offVariant": names.get(self.off_variant, ""),
            "bucketBy": self.bucket_by,
            "prerequisites": [
                {"flagKey": row.flag_key, "variants": _listed(row.variants)} for row in self.prerequisites
            ],
            "targets": [
                {"variant": row.key, "userIds": _lines(row.users)} for row in self.variants if _lines(row.users)
            ],
            "rollout": _rollout({row.ref: row.percent for row in self.variants}, names, "rollout", problems),
            "rules": self._rules(names, problems),
        }
        return payload, problems

    def _rules(self, names: Mapping[str, str], problems: list[Problem]) -> list[dict[str, Any]]:
        rules = []
        for index, (row, priority) in enumerate(zip(self.rules, self._priorities(), strict=True)):
            rule: dict[str, Any] = {
                "priority": priority,
                "name": row.name,
                "conditions": conditions_of(row.conditions, f"rules[{index}]", problems),
            }
            if row.id:
                rule["id"] = row.id
            if row.serve == "rollout":
                rule["rollout"] = _rollout(row.percents, names, f"rules[{index}].rollout", problems)
            else:
                rule["variant"] = names.get(row.serve, "")
            rules.append(rule)
        return rules

    def _priorities(self) -> list[int]:
        """Those the rules have, as long as they ascend; else fresh ones, so that an untouched order changes nothing."""
        given = [row.priority for row in self.rules]
        if min(given, default=0) >= 0 and given == sorted(set(given)):
            return given
        return [_PRIORITY_STEP * (index + 1) for index in range(len(self.rules))]

    def place(self, problems: list[Problem]) -> None:
        """Put each problem beside the field its path names; the rest go to the top of the page."""
        for problem in problems:
            path = problem.attr or ""
            if (found := re.match(r"rules\[(\d+)\](?:\.conditions\[(\d+)\])?", path)) and int(found[1]) < len(
                self.rules
            ):
                rule = self.rules[int(found[1])]
                inner = found[2]
                is_known = inner is not None and int(inner) < len(rule.conditions)
                (rule.conditions[int(inner)].errors if is_known else rule.errors).append(problem.detail)
            elif (found := re.match(r"variants\[(\d+)\]", path)) and int(found[1]) < len(self.variants):
                self.variants[int(found[1])].errors.append(problem.detail)
            elif (found := re.match(r"rollout\[(\d+)\]", path)) and int(found[1]) < len(self._shared()):
                self._shared()[int(found[1])].percent_errors.append(problem.detail)
            elif (found := re.match(r"targets\[(\d+)\]", path)) and int(found[1]) < len(self._targeted()):
                self._targeted()[int(found[1])].users_errors.append(problem.detail)
            elif (found := re.match(r"prerequisites\[(\d+)\]", path)) and int(found[1]) < len(self.prerequisites):
                self.prerequisites[int(found[1])].errors.append(problem.detail)
            else:
                known = {
                    "key",
                    "name",
                    "description",
                    "tags",
                    "type",
                    "bucketBy",
                    "defaultVariant",
                    "offVariant",
                    "variants",
                    "rules",
                    "rollout",
                    "targets",
                    "prerequisites",
                    "enabled",
                }
                self.errors.setdefault(path if path in known else "", []).append(problem.detail)

    def _shared(self) -> list[VariantRow]:
        return [row for row in self.variants if row.percent]

    def _targeted(self) -> list[VariantRow]:
        return [row for row in self.variants if _lines(row.users)]


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


def _priority(text: str) -> int:
    """The rule's priority, or -1 for a rule that has none yet."""
    return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else -1


def _rule_row(ref: str, rule: Mapping[str, Any], refs: Mapping[str, str]) -> RuleRow:
    return RuleRow(
        ref,
        id=str(rule.get("id", "")),
        priority=rule["priority"],
        name=rule.get("name", ""),
        serve=refs.get(rule["variant"], "") if rule.get("variant") else "rollout",
        percents={refs.get(item["variant"], ""): _percent_text(item["percent"]) for item in rule.get("rollout", [])},
        conditions=condition_rows(rule["conditions"]),
    )


def _rollout(
    percents: Mapping[str, str], names: Mapping[str, str], attr: str, problems: list[Problem]
) -> list[dict[str, Any]]:
    rollout: list[dict[str, Any]] = []
    for ref, text in percents.items():
        if not text:
            continue
        try:
            percent = Decimal(text.replace(",", "."))
        except InvalidOperation:
            percent = None
        if percent is None or not percent.is_finite():
            problems.append(
                Problem(f"{attr}[{len(rollout)}]", "invalid_percent", f"{text!r} is no number; write it like 12.5.")
            )
            percent = Decimal(0)
        rollout.append({"variant": names.get(ref, ""), "percent": _number(percent)})
    return rollout


def _number(percent: Decimal) -> int | float:
    return int(percent) if percent == percent.to_integral_value() else float(percent)


def _percent_text(percent: float) -> str:
    return f"{percent:.2f}".rstrip("0").rstrip(".")


def _value_text(value: Any, kind: str) -> str:
    if kind == "string" and isinstance(value, str):
        return value
    return json.dumps(value, ensure_ascii=False, indent=2 if isinstance(value, (dict, list)) and value else None)


def _variant_value(text: str, kind: str) -> Any:
    if kind == "string":
        return text
    try:
        return json.loads(text)
    except ValueError as error:
        remedies = {"boolean": "Write true or false.", "number": "Write a number, like 18 or 2.5."}
        raise ValueError(remedies.get(kind, f"This is no JSON: {error}")) from error


def _listed(text: str) -> list[str]:
    return [part for part in (piece.strip() for piece in text.split(",")) if part]


def _lines(text: str) -> list[str]:
    return [line for line in (piece.strip() for piece in text.split("\n")) if line]
