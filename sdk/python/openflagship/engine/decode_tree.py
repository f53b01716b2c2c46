"""Reads condition trees and segments from JSON documents."""

from __future__ import annotations

import re
from typing import Any, Final

from openflagship.engine.bucketing import is_well_formed
from openflagship.engine.model import (
    MALFORMED_CONDITION,
    UNKNOWN_OPERATOR,
    UNKNOWN_SHAPE,
    All,
    AnyOf,
    Condition,
    Node,
    Not,
    SegmentDefinition,
)
from openflagship.engine.operators import OPERATORS, MalformedValueError
from openflagship.engine.problems import Path, Problems

KEY_PATTERN: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
KEY_REMEDY: Final = "Use 1 to 100 letters, digits, dots, underscores or hyphens, a letter or digit first."
MAX_TREE_DEPTH: Final = 5
# A foreign document may be deeper than ours ever are. Past this depth it is not read.
MAX_READABLE_DEPTH: Final = 25
_GROUPS: Final = ("all", "any", "not")


def read_tree(document: Any, path: Path, problems: Problems, depth: int = 0) -> Node:
    """A condition or an all/any/not group; what cannot be read is a condition with a `fault`."""
    if not isinstance(document, dict):
        problems.add(path, "wrong_type", "Give a condition or an all, any or not group, as an object.")
        return _malformed()
    groups = [name for name in _GROUPS if name in document]
    if not groups:
        return _read_condition(document, path, problems)
    if len(groups) > 1 or "operator" in document:
        problems.add(path, "ambiguous", "Give one of all, any, not or operator, and nest groups for more.")
        return _malformed()
    if depth == MAX_TREE_DEPTH:
        problems.add(path, "too_deep", f"Nest groups at most {MAX_TREE_DEPTH} deep; move the inner ones to a segment.")
    if depth == MAX_READABLE_DEPTH:
        return _malformed()
    name = groups[0]
    if name == "not":
        return Not(read_tree(document["not"], (*path, "not"), problems, depth + 1))
    nodes = _read_nodes(document[name], (*path, name), problems, depth + 1)
    return All(nodes) if name == "all" else AnyOf(nodes)


def read_rule_conditions(document: Any, path: Path, problems: Problems) -> Node:
    """A rule's conditions: a list, all of which have to hold, or a tree."""
    if isinstance(document, dict):
        return read_tree(document, path, problems)
    return All(_read_nodes(document, path, problems, 0))


def _read_nodes(document: Any, path: Path, problems: Problems, depth: int) -> tuple[Node, ...]:
    if not isinstance(document, list):
        problems.add(path, "wrong_type", "Give a list of conditions, or one all, any or not group.")
        return (_malformed(),)
    return tuple(read_tree(item, (*path, number), problems, depth) for number, item in enumerate(document))


def _malformed() -> Condition:
    return Condition(None, "", None, fault=UNKNOWN_SHAPE)


def _read_condition(document: dict[str, Any], path: Path, problems: Problems) -> Condition:
    name, attribute, value = document.get("operator"), document.get("attribute"), document.get("value")
    operator = OPERATORS.get(name) if isinstance(name, str) else None
    if operator is None:
        code = "required" if name is None else "unknown_operator"
        problems.add((*path, "operator"), code, f"Give one of the operators {', '.join(OPERATORS)}.")
        known_attribute = attribute if isinstance(attribute, str) else None
        return Condition(known_attribute, name if isinstance(name, str) else "", value, fault=UNKNOWN_OPERATOR)
    fault = None
    if not operator.takes_attribute:
        if attribute is not None:
            problems.add((*path, "attribute"), "unexpected", "Leave it out: a segment needs no attribute.")
            attribute = None
    elif not isinstance(attribute, str) or not attribute or not is_well_formed(attribute):
        problems.add((*path, "attribute"), "required", "Name the attribute to compare, as a string.")
        return Condition(None, operator.name, value, fault=UNKNOWN_SHAPE)
    prepared = None
    try:
        prepared = operator.prepare(value)
    except MalformedValueError as error:
        problems.add((*path, "value"), "malformed_value", str(error))
        fault = MALFORMED_CONDITION
    if operator.is_written_as_text and fault is None and not isinstance(value, str):
        problems.add((*path, "value"), "malformed_value", "Write the instant in ISO 8601 with a zone.")
    return Condition(attribute, operator.name, value, prepared, fault)


def read_segment(document: Any, problems: Problems) -> SegmentDefinition | None:
    """A segment; None where nothing of it can be read."""
    if not isinstance(document, dict):
        problems.add((), "wrong_type", "Give a segment, as an object.", fatal=True)
        return None
    key = document.get("key")
    if not isinstance(key, str) or not KEY_PATTERN.fullmatch(key):
        problems.add(("key",), "invalid_key", KEY_REMEDY, fatal=not isinstance(key, str))
    included = read_user_ids(document.get("included", []), ("included",), problems)
    excluded = read_user_ids(document.get("excluded", []), ("excluded",), problems)
    tree = document.get("conditions")
    conditions = None if tree is None else read_tree(tree, ("conditions",), problems)
    if problems.is_fatal:
        return None
    return SegmentDefinition(str(key), frozenset(included), frozenset(excluded), conditions)


def read_user_ids(document: Any, path: Path, problems: Problems) -> tuple[str, ...]:
    """User ids, without those that no user can have."""
    if not isinstance(document, list):
        problems.add(path, "wrong_type", "Give a list of user ids.")
        return ()
    for number, user_id in enumerate(document):
        if not isinstance(user_id, str) or not user_id or not is_well_formed(user_id):
            problems.add((*path, number), "invalid_user_id", "Give a user id, as a string that is not empty.")
    return tuple(user_id for user_id in document if isinstance(user_id, str) and user_id and is_well_formed(user_id))
