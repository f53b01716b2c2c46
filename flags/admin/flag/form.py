"""The flag's document in the fields of its page. The page's script collects it again, as the API takes it."""

from collections.abc import Mapping
from typing import Any

from django.http import HttpRequest
from openflagship.engine.decode_tree import MAX_READABLE_DEPTH

from flags.documents import flag_resource
from flags.fields import EDITABLE_FIELDS
from flags.models import FlagConfig
from flags.services.drafts import BOOLEAN_VARIANTS
from tenancy.console_kit.documents import ANY, DocumentEdit, as_json, shaped
from tenancy.privacy.personal_values import personal_variants

_SHARE = {"variant": "", "percent": ANY}
_CONDITION = {"attribute": "", "operator": "equals", "value": ANY}
_RULE = {"id": "", "priority": "", "name": "", "conditions": ANY, "variant": "", "rollout": [_SHARE]}
SHAPE = {
    "key": "",
    "type": "boolean",
    "name": "",
    "description": "",
    "tags": [""],
    "owner": "",
    "team": "",
    "kind": "",
    "permanent": ANY,
    "expectedEnd": "",
    "links": [{"title": "", "url": ""}],
    "enabled": False,
    "defaultVariant": "",
    "offVariant": "",
    "bucketBy": ANY,
    "exposures": "",
    "variants": [{"key": "", "value": ANY}],
    "rollout": [_SHARE],
    "targets": [{"variant": "", "userIds": [""]}],
    "rules": [_RULE],
    "prerequisites": [{"flagKey": "", "variants": [""]}],
}
# One label for each name that a flag may bucket by.
_UNITS = ("Attribute", "Where that is absent", "Where both are absent")
# Only the API sets these fields; the page has no input for them.
WITHOUT_FIELD = frozenset({"metadata"})
# Empty rows for more links.
_MORE_LINKS = 2
_NO_LINK = {"title": "", "url": ""}
# These stand for a row's own number in the templates that the page's script copies.
_BLANK = {"rule": "__rule__", "variant": "__variant__"}


def new_document() -> dict[str, Any]:
    """Return the document of a new boolean flag."""
    return {
        "type": "boolean",
        "variants": BOOLEAN_VARIANTS,
        "defaultVariant": BOOLEAN_VARIANTS[0]["key"],
        "offVariant": BOOLEAN_VARIANTS[0]["key"],
    }


def document_of(resource: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the page would collect from a stored flag, with shares and targets in the variants' order."""
    order = [variant["key"] for variant in resource["variants"]]
    document = {field.name: resource[field.name] for field in EDITABLE_FIELDS if field.name not in WITHOUT_FIELD}
    document["rollout"] = _ordered(resource["rollout"], order)
    document["targets"] = [item for item in _ordered(resource["targets"], order) if item["userIds"]]
    document["rules"] = [_collected_rule(rule, order) for rule in resource["rules"]]
    return document


def _collected_rule(rule: Mapping[str, Any], order: list[str]) -> dict[str, Any]:
    collected = dict(rule)
    if "rollout" in rule:
        collected["rollout"] = _ordered(rule["rollout"], order)
    # Rows show conditions alone. A list with a group in it is edited as the tree that it says.
    if isinstance(rule["conditions"], list) and not _are_rows(rule["conditions"]):
        collected["conditions"] = {"all": rule["conditions"]}
    return collected


def _are_rows(conditions: Any) -> bool:
    """Whether the conditions are a list without groups."""
    return isinstance(conditions, list) and not any(isinstance(item, dict) and _group_in(item) for item in conditions)


def sent_document(request: HttpRequest, config: FlagConfig) -> DocumentEdit:
    """Read the form of a stored flag, saved or not."""
    return DocumentEdit.sent(request, document_of(flag_resource(config)))


def rules_of(document: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the rules of whatever was sent, each with all the fields of a rule."""
    rules: list[dict[str, Any]] = shaped(document.get("rules"), [_RULE])
    return [{**rule, "conditions": _shaped_tree(rule["conditions"])} for rule in rules]


def _group_in(node: Mapping[str, Any]) -> str | None:
    return next((name for name in ("all", "any", "not") if name in node), None)


def _shaped_tree(value: Any, depth: int = 0) -> dict[str, Any]:
    """Whatever was sent for conditions, as a tree in which each group and condition is whole."""
    if isinstance(value, list) or value is None:
        value = {"all": value or []}
    group = _group_in(value) if isinstance(value, dict) else None
    if group is None or depth > MAX_READABLE_DEPTH:
        condition: dict[str, Any] = shaped(value, _CONDITION)
        return condition
    inner = value[group]
    if group == "not":
        return {"not": _shaped_tree(inner, depth + 1)}
    items = inner if isinstance(inner, list) else []
    return {group: [_shaped_tree(item, depth + 1) for item in items]}


def fields_of(document: Mapping[str, Any], config: FlagConfig | None) -> dict[str, Any]:
    """Return the values of the fields in `flags/flag.html`, whatever was sent."""
    flag: dict[str, Any] = shaped(dict(document), SHAPE)
    if config is not None:
        flag |= {"key": config.flag.key, "type": config.flag.type}
    shares = _percents(flag["rollout"])
    users = {item["variant"]: "\n".join(item["userIds"]) for item in flag["targets"]}
    personal = personal_variants(flag["variants"])
    variants = [
        {
            "ref": str(index),
            "looks_like": personal.get(item["key"], ""),
            "key": item["key"],
            "value": _value_text(item["value"], flag["type"]),
            "percent": shares.get(item["key"], ""),
            "users": users.get(item["key"], ""),
        }
        for index, item in enumerate(flag["variants"])
    ]
    return {
        **flag,
        "units": _unit_fields(flag["bucketBy"]),
        "tags": ", ".join(flag["tags"]),
        "permanent": as_json(flag["permanent"]) if isinstance(flag["permanent"], bool) else "",
        "links": [
            {**link, "ref": str(index)} for index, link in enumerate([*flag["links"], *[_NO_LINK] * _MORE_LINKS])
        ],
        "variants": variants,
        "rules": [_rule_fields(str(index), rule, variants) for index, rule in enumerate(flag["rules"])],
        "prerequisites": [{**item, "variants": ", ".join(item["variants"])} for item in flag["prerequisites"]],
        "blank_rule": _rule_fields(_BLANK["rule"], shaped({}, _RULE), variants),
        "blank_variant": {"ref": _BLANK["variant"]},
    }


def _rule_fields(ref: str, rule: dict[str, Any], variants: list[dict[str, Any]]) -> dict[str, Any]:
    percents = _percents(rule["rollout"])
    return {
        **rule,
        "ref": ref,
        "is_shared": not rule["variant"] and bool(rule["rollout"]),
        # A new rule gives the last variant, which is the one to try.
        "variant": rule["variant"] or (variants[-1]["key"] if variants else ""),
        **_condition_fields(rule["conditions"]),
        "shares": [{"ref": row["ref"], "key": row["key"], "percent": percents.get(row["key"], "")} for row in variants],
    }


def _condition_fields(conditions: Any) -> dict[str, Any]:
    """Rows for a list of conditions; for anything else the JSON of a tree."""
    if conditions is None or _are_rows(conditions):
        rows: list[dict[str, Any]] = shaped(conditions, [_CONDITION])
        return {"conditions": [condition_fields(row) for row in rows], "tree": ""}
    return {"conditions": [], "tree": as_json(conditions)}


def _unit_fields(bucket_by: Any) -> list[dict[str, str]]:
    """A field for each name that `bucketBy` may have, the first with the plain id."""
    names = bucket_by if isinstance(bucket_by, list) else ["userId" if bucket_by is None else bucket_by]
    shown = [name if isinstance(name, str) else as_json(name) for name in names[: len(_UNITS)]]
    shown += [""] * (len(_UNITS) - len(shown))
    return [
        {"ref": f"_{index}" if index else "", "label": label, "name": name}
        for index, (label, name) in enumerate(zip(_UNITS, shown, strict=True))
    ]


def condition_fields(condition: Mapping[str, Any]) -> dict[str, Any]:
    """Return a condition with its value as JSON, which condition-rows.js shows as text."""
    value = condition.get("value")
    return {**condition, "json": "" if value is None else as_json(value)}


def _percents(rollout: list[dict[str, Any]]) -> dict[str, Any]:
    return {item["variant"]: "" if item["percent"] is None else item["percent"] for item in rollout}


def _ordered(items: list[dict[str, Any]], order: list[str]) -> list[dict[str, Any]]:
    return sorted(items, key=lambda item: order.index(item["variant"]) if item["variant"] in order else len(order))


def _value_text(value: Any, kind: str) -> str:
    return value if kind == "string" and isinstance(value, str) else as_json(value)
