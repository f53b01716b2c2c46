"""What a flag may use that an older evaluator does not understand, by the names that acknowledgements carry."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

RULE_TREES: Final = "rule_trees"
BUCKET_BY_LIST: Final = "bucket_by_list"
EXPERIMENT_SPLIT: Final = "experiment_split"
# What this package understands.
FEATURES: Final = (RULE_TREES, BUCKET_BY_LIST, EXPERIMENT_SPLIT)

_GROUPS: Final = ("all", "any", "not")


def features_used(flag: Mapping[str, Any]) -> frozenset[str]:
    """The features that a flag's valid document uses."""
    found = set()
    if any(_is_tree(rule.get("conditions")) for rule in flag.get("rules", ())):
        found.add(RULE_TREES)
    if isinstance(flag.get("bucketBy"), list):
        found.add(BUCKET_BY_LIST)
    experiment = flag.get("experiment") or {}
    if experiment.get("allocation") is not None or experiment.get("priority") is not None:
        found.add(EXPERIMENT_SPLIT)
    return frozenset(found)


def _is_tree(conditions: Any) -> bool:
    nodes: Iterable[Any] = conditions if isinstance(conditions, list) else ()
    return isinstance(conditions, dict) or any(group in node for node in nodes for group in _GROUPS)
