"""The workload in Statsig's words, for both generations of its SDK: they differ in how they keep conditions."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from benchmarks.engine.workload import BOOLEAN, FLAGS, SPLIT, Flag, ranges

_OPERATORS = {
    "equals": "any_case_sensitive",
    "in": "any_case_sensitive",
    "greater_than": "gt",
    "starts_with": "str_starts_with_any",
}
_COMMON = {"isDeviceBased": False, "idType": "userID"}
_HEAD = {"has_updates": True, "time": 1_700_000_000_000, "layers": {}, "id_lists": {}, "diagnostics": {}}
_TAIL = {"param_stores": {}, "experiment_to_layer": {}}

Keep = Callable[[dict[str, Any]], Any]


def core_specs() -> dict[str, Any]:
    """Flags by name; rules name their conditions, which stand in a table."""
    conditions: dict[str, Any] = {}

    def keep(condition: dict[str, Any]) -> str:
        key = str(abs(hash(json.dumps(condition, sort_keys=True))) % 10**10)
        conditions[key] = condition
        return key

    gates = {flag.key: _gate(flag, keep) for flag in FLAGS if flag.kind == BOOLEAN}
    configs = {flag.key: _config(flag, keep) for flag in FLAGS if flag.kind != BOOLEAN}
    lists = {"feature_gates": gates, "dynamic_configs": configs, "layer_configs": {}, "condition_map": conditions}
    return _HEAD | _TAIL | lists


def legacy_specs() -> dict[str, Any]:
    """Lists of flags; rules hold their conditions."""

    def keep(condition: dict[str, Any]) -> dict[str, Any]:
        return condition

    gates = [{"name": flag.key} | _gate(flag, keep) for flag in FLAGS if flag.kind == BOOLEAN]
    configs = [{"name": flag.key} | _config(flag, keep) for flag in FLAGS if flag.kind != BOOLEAN]
    return _HEAD | _TAIL | {"feature_gates": gates, "dynamic_configs": configs, "layer_configs": []}


def _gate(flag: Flag, keep: Keep) -> dict[str, Any]:
    rules = [_rule(0, 25, [keep(_condition("public"))], True)]
    return _base(flag) | {"type": "feature_gate", "entity": "feature_gate", "defaultValue": False, "rules": rules}


def _config(flag: Flag, keep: Keep) -> dict[str, Any]:
    if flag.kind == SPLIT:
        served = [
            ([_condition("user_bucket", None, "lt", end // 10, {"salt": flag.key})], variant)
            for _, end, variant in ranges(flag.split)
        ]
    else:
        served = [([_field(*wanted) for wanted in conditions], variant) for conditions, variant in flag.rules]
    rules = [
        _rule(number, 100, [keep(condition) for condition in conditions], {"variant": variant})
        for number, (conditions, variant) in enumerate(served)
    ]
    kind = {"type": "dynamic_config", "entity": "dynamic_config", "defaultValue": {"variant": "control"}}
    return _base(flag) | kind | {"rules": rules}


def _base(flag: Flag) -> dict[str, Any]:
    made = {"salt": f"salt-{flag.key}", "enabled": True, "version": 1, "isActive": True, "hasSharedParams": False}
    return made | _COMMON


def _rule(number: int, percentage: int, conditions: list[Any], value: Any) -> dict[str, Any]:
    made = {"name": f"r{number}", "groupName": f"g{number}", "passPercentage": percentage, "id": f"r{number}"}
    return made | _COMMON | {"conditions": conditions, "returnValue": value, "salt": f"rs{number}"}


def _field(attribute: str, how: str, value: Any) -> dict[str, Any]:
    target = value if how == "greater_than" or isinstance(value, list) else [value]
    return _condition("user_field", attribute, _OPERATORS[how], target)


def _condition(
    kind: str, field: str | None = None, how: str | None = None, target: Any = None, extra: Any = None
) -> dict[str, Any]:
    made = {"type": kind, "targetValue": target, "operator": how, "field": field, "additionalValues": extra or {}}
    return made | _COMMON
