"""The engine under the names the known answers use, from this project and elsewhere; no logic of its own."""

from __future__ import annotations

from typing import Any

from openflagship.engine import CompiledEnvironment, Context, bucket
from openflagship.engine import reallocate as engine_reallocate

__all__ = ["bucket", "evaluate_tree", "reallocate"]


def reallocate(before: list[list[Any]], weights: list[list[Any]]) -> list[list[Any]]:
    return [list(item) for item in engine_reallocate(before, weights)]


def evaluate_tree(tree: dict[str, Any], context: dict[str, Any], segments: dict[str, Any] | None = None) -> bool:
    flag = {
        "key": "asked",
        "type": "boolean",
        "enabled": True,
        "variants": [{"key": "no", "value": False}, {"key": "yes", "value": True}],
        "rules": [{"id": "asked", "priority": 1, "conditions": [tree], "variant": "yes"}],
    }
    document = {"contract": 1, "version": 1, "flags": {"asked": flag}, "segments": segments or {}}
    environment = CompiledEnvironment.from_document(document)
    value: bool = environment.evaluate("asked", Context(context.get("userId"), context)).value
    return value
