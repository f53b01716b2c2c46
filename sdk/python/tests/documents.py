"""Small documents the engine's tests start from; each test changes the one thing it is about."""

from __future__ import annotations

from typing import Any

from openflagship.engine import Answer, CompiledEnvironment, Context


def flag(**changes: Any) -> dict[str, Any]:
    """A boolean flag that is on and serves its first variant."""
    return {
        "key": "asked",
        "type": "boolean",
        "enabled": True,
        "variants": [{"key": "control", "value": False}, {"key": "treatment", "value": True}],
        **changes,
    }


def rule(conditions: list[Any], number: int = 1, **changes: Any) -> dict[str, Any]:
    if "allocation" not in changes:
        changes.setdefault("variant", "treatment")
    return {"id": f"rule-{number}", "priority": number, "conditions": conditions, **changes}


def condition(attribute: str, operator: str, value: Any = None) -> dict[str, Any]:
    return {"attribute": attribute, "operator": operator, "value": value}


def experiment(**changes: Any) -> dict[str, Any]:
    return {
        "id": "checkout-test",
        "status": "running",
        "layer": {"key": None, "salt": "layer:checkout"},
        "ranges": [[0, 10_000]],
        "controlVariant": "control",
        "audience": None,
        **changes,
    }


def snapshot(*flags: dict[str, Any], segments: list[dict[str, Any]] | None = None, **changes: Any) -> dict[str, Any]:
    return {
        "contract": 1,
        "environment": {"organization": "acme", "project": "web", "key": "production", "salt": ""},
        "version": 7,
        "flags": {document["key"]: document for document in flags},
        "segments": {document["key"]: document for document in segments or []},
        **changes,
    }


def environment(*flags: dict[str, Any], **changes: Any) -> CompiledEnvironment:
    return CompiledEnvironment.from_document(snapshot(*flags, **changes))


def answer(document: dict[str, Any], user_id: Any = "user-1", /, **attributes: Any) -> Answer:
    """What a flag alone in its environment answers."""
    return environment(document).evaluate(document["key"], Context(user_id, attributes), "default")
