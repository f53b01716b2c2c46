"""The flag's document in the fields of its page. The page's script collects it again, as the API takes it."""

from collections.abc import Mapping
from typing import Any

from django.http import HttpRequest

from flags.documents import flag_resource
from flags.fields import EDITABLE_FIELDS
from flags.models import FlagConfig
from flags.services.drafts import BOOLEAN_VARIANTS
from tenancy.console_kit.documents import ANY, DocumentEdit, as_json, shaped

_SHARE = {"variant": "", "percent": ANY}
_CONDITION = {"attribute": "", "operator": "equals", "value": ANY}
_RULE = {"id": "", "priority": "", "name": "", "conditions": [_CONDITION], "variant": "", "rollout": [_SHARE]}
SHAPE = {
    "key": "",
    "type": "boolean",
    "name": "",
    "description": "",
    "tags": [""],
    "enabled": False,
    "defaultVariant": "",
    "offVariant": "",
    "bucketBy": "userId",
    "variants": [{"key": "", "value": ANY}],
    "rollout": [_SHARE],
    "targets": [{"variant": "", "userIds": [""]}],
    "rules": [_RULE],
    "prerequisites": [{"flagKey": "", "variants": [""]}],
}
# Only the API sets these fields; the page has no input for them.
WITHOUT_FIELD = frozenset({"metadata"})
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
    document["rules"] = [
        {**rule, "rollout": _ordered(rule["rollout"], order)} if "rollout" in rule else rule
        for rule in resource["rules"]
    ]
    return document


def sent_document(request: HttpRequest, config: FlagConfig) -> DocumentEdit:
    """Read the form of a stored flag, saved or not."""
    return DocumentEdit.sent(request, document_of(flag_resource(config)))


def rules_of(document: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the rules of whatever was sent, each with all the fields of a rule."""
    rules: list[dict[str, Any]] = shaped(document.get("rules"), [_RULE])
    return rules


def fields_of(document: Mapping[str, Any], config: FlagConfig | None) -> dict[str, Any]:
    """Return the values of the fields in `flags/flag.html`, whatever was sent."""
    flag: dict[str, Any] = shaped(dict(document), SHAPE)
    if config is not None:
        flag |= {"key": config.flag.key, "type": config.flag.type}
    shares = _percents(flag["rollout"])
    users = {item["variant"]: "\n".join(item["userIds"]) for item in flag["targets"]}
    variants = [
        {
            "ref": str(index),
            "key": item["key"],
            "value": _value_text(item["value"], flag["type"]),
            "percent": shares.get(item["key"], ""),
            "users": users.get(item["key"], ""),
        }
        for index, item in enumerate(flag["variants"])
    ]
    return {
        **flag,
        "tags": ", ".join(flag["tags"]),
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
        "conditions": [condition_fields(condition) for condition in rule["conditions"]],
        "shares": [{"ref": row["ref"], "key": row["key"], "percent": percents.get(row["key"], "")} for row in variants],
    }


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
