"""Turns models into canonical documents with every field, so that decoding gives an equal model."""

from __future__ import annotations

from typing import Any

from openflagship.engine.model import (
    EXPOSURES_OF_EXPERIMENTS,
    All,
    Condition,
    Experiment,
    FlagDefinition,
    Node,
    Not,
    RuleDefinition,
    SegmentDefinition,
)


def encode_flag(flag: FlagDefinition) -> dict[str, Any]:
    """The flag's document, rules by priority and ranges by bucket."""
    return {
        "key": flag.key,
        "type": flag.type,
        "variants": [{"key": variant.key, "value": variant.value} for variant in flag.variants],
        "enabled": flag.enabled,
        "defaultVariant": flag.default_variant,
        "offVariant": flag.off_variant,
        "killSwitchVariant": flag.kill_switch_variant,
        "bucketBy": flag.bucket_by if isinstance(flag.bucket_by, str) else list(flag.bucket_by),
        "salt": flag.salt,
        "prerequisites": [
            {"flagKey": other.flag_key, "variants": list(other.variants)} for other in flag.prerequisites
        ],
        "targets": [{"variant": target.variant, "userIds": list(target.user_ids)} for target in flag.targets],
        "rules": [_rule(rule) for rule in flag.rules],
        "experiment": None if flag.experiment is None else _experiment(flag.experiment),
        "allocation": [list(item) for item in flag.allocation],
        "metadata": dict(flag.metadata),
        "version": flag.version,
        **({"exposures": EXPOSURES_OF_EXPERIMENTS} if flag.logs_experiments_alone else {}),
    }


def encode_segment(segment: SegmentDefinition) -> dict[str, Any]:
    """The segment's document, user ids sorted."""
    return {
        "key": segment.key,
        "included": sorted(segment.included),
        "excluded": sorted(segment.excluded),
        "conditions": None if segment.conditions is None else encode_tree(segment.conditions),
    }


def encode_tree(node: Node) -> dict[str, Any]:
    """The document of a condition or group."""
    if isinstance(node, Condition):
        document = {"attribute": node.attribute, "operator": node.operator, "value": node.value}
        return {name: value for name, value in document.items() if value is not None}
    if isinstance(node, Not):
        return {"not": encode_tree(node.node)}
    return {"all" if isinstance(node, All) else "any": [encode_tree(child) for child in node.nodes]}


def _rule(rule: RuleDefinition) -> dict[str, Any]:
    document: dict[str, Any] = {"id": rule.id, "priority": rule.priority, "name": rule.name}
    tree = rule.conditions
    document["conditions"] = [encode_tree(node) for node in tree.nodes] if isinstance(tree, All) else encode_tree(tree)
    if rule.variant is None:
        document["allocation"] = [list(item) for item in rule.allocation]
    else:
        document["variant"] = rule.variant
    return document


def _experiment(experiment: Experiment) -> dict[str, Any]:
    document: dict[str, Any] = {
        "id": experiment.id,
        "status": experiment.status,
        "layer": {"key": experiment.layer.key, "salt": experiment.layer.salt},
        "ranges": [list(item) for item in experiment.ranges],
        "controlVariant": experiment.control_variant,
        "audience": None if experiment.audience is None else encode_tree(experiment.audience),
    }
    if experiment.allocation is not None:
        document["allocation"] = [list(item) for item in experiment.allocation]
    if experiment.priority is not None:
        document["priority"] = experiment.priority
    return document
