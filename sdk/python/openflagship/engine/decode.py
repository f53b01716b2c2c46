"""Strict reading for writers of configurations: a document's model, or all of its problems at once."""

from __future__ import annotations

import json
from importlib import resources
from typing import Any, Final

from openflagship.engine.decode_flag import read_flag
from openflagship.engine.decode_tree import read_segment, read_tree
from openflagship.engine.links import link_problems
from openflagship.engine.model import FlagDefinition, Node, SegmentDefinition
from openflagship.engine.problems import DecodeError, DocumentProblem, Problems

# The version of the evaluation contract. A document's `contract` names the least version that it needs.
CONTRACT: Final = 1


def snapshot_schema() -> dict[str, Any]:
    """The JSON Schema of the snapshot document."""
    text = resources.files("openflagship.engine").joinpath("snapshot.schema.json").read_text("utf-8")
    schema: dict[str, Any] = json.loads(text)
    return schema


def decode_flag(document: Any) -> FlagDefinition:
    """The flag. Raises DecodeError with every problem in it; see `environment_problems` for those between flags."""
    problems = Problems()
    flag = read_flag(document, problems)
    if problems.found or flag is None:
        raise DecodeError(problems.found)
    return flag


def decode_segment(document: Any) -> SegmentDefinition:
    """The segment. Raises DecodeError with every problem found."""
    problems = Problems()
    segment = read_segment(document, problems)
    if problems.found or segment is None:
        raise DecodeError(problems.found)
    return segment


def decode_tree(document: Any) -> Node:
    """A condition or an all/any/not group. Raises DecodeError with every problem found."""
    problems = Problems()
    tree = read_tree(document, (), problems)
    if problems.found:
        raise DecodeError(problems.found)
    return tree


def snapshot_problems(document: Any) -> list[DocumentProblem]:
    """Why this engine cannot serve the document at all; empty where it can."""
    if not isinstance(document, dict):
        return [DocumentProblem("", "wrong_type", "Give a snapshot, as an object.")]
    problems = []
    contract = document.get("contract")
    if isinstance(contract, bool) or not isinstance(contract, int) or not 1 <= contract <= CONTRACT:
        message = f"This engine knows contract {CONTRACT}, the document needs {contract!r}; update the engine."
        problems.append(DocumentProblem("contract", "unsupported_contract", message))
    version = document.get("version")
    if isinstance(version, bool) or not isinstance(version, int):
        problems.append(DocumentProblem("version", "required", "Give the configuration version, a whole number."))
    for name in ("environment", "flags", "segments"):
        if not isinstance(document.get(name, {}), dict):
            problems.append(DocumentProblem(name, "wrong_type", "Give an object."))
    return problems


def environment_problems(document: Any) -> list[DocumentProblem]:
    """Everything wrong with a snapshot: each flag and segment by itself, then cycles, depth and unknown references."""
    found = snapshot_problems(document)
    if found:
        return found
    flags, segments = {}, {}
    for key, flag_document in document.get("flags", {}).items():
        problems = Problems()
        flag = read_flag(flag_document, problems)
        found += _under(f"flags.{key}", problems)
        if flag is not None:
            flags[key] = flag
    for key, segment_document in document.get("segments", {}).items():
        problems = Problems()
        segment = read_segment(segment_document, problems)
        found += _under(f"segments.{key}", problems)
        if segment is not None:
            segments[key] = segment
    return found + link_problems(flags, segments)


def validate_environment(document: Any) -> None:
    """Raises DecodeError with everything that `environment_problems` finds."""
    problems = environment_problems(document)
    if problems:
        raise DecodeError(problems)


def _under(prefix: str, problems: Problems) -> list[DocumentProblem]:
    return [
        DocumentProblem(f"{prefix}.{problem.path}" if problem.path else prefix, problem.code, problem.message)
        for problem in problems.found
    ]
