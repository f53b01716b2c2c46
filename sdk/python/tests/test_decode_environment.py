"""Checking a whole snapshot before it is written: every document by itself, then what stands between them."""

from __future__ import annotations

from typing import Any

import pytest
from documents import flag, rule, snapshot
from openflagship.engine import DecodeError, environment_problems, validate_environment


def found(document: Any) -> list[tuple[str, str]]:
    return [(problem.path, problem.code) for problem in environment_problems(document)]


def test_environment_problems__nothing_wrong__are_none() -> None:
    document = snapshot(flag(), segments=[{"key": "beta"}])
    assert found(document) == []
    validate_environment(document)


def test_environment_problems__no_snapshot__stop_there() -> None:
    assert found([]) == [("", "wrong_type")]
    assert found({"version": 1}) == [("contract", "unsupported_contract")]


def test_environment_problems__in_several_documents__carry_their_place() -> None:
    broken = flag(key="broken", rules=[rule([], variant="neither")])
    document = snapshot(broken, flag(), segments=[{"key": "beta", "conditions": {}}])
    document["segments"]["gone"] = None
    document["flags"]["gone"] = None
    assert found(document) == [
        ("flags.broken.rules[0].variant", "unknown_variant"),
        ("flags.gone", "wrong_type"),
        ("segments.beta.conditions.operator", "required"),
        ("segments.gone", "wrong_type"),
    ]
    with pytest.raises(DecodeError, match=r"flags\.gone: Give a flag"):
        validate_environment(document)
