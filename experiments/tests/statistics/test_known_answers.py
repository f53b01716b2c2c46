"""Every known-answer case, checked against R, rpact, scipy, statsmodels and gbstats, through the adapter."""

import json
from pathlib import Path
from typing import Any

import pytest

from experiments.tests.statistics_adapter import ADAPTER

CONTRACT = Path(__file__).resolve().parents[3] / "sdk" / "contract"
CASES = json.loads((CONTRACT / "cases" / "statistics.json").read_text())["cases"]


def _assert_matches(path: str, got: Any, expected: Any, tolerance: dict[str, float]) -> None:
    if isinstance(expected, list):
        assert len(got) == len(expected), f"{path}: {got}"
        for position, (left, right) in enumerate(zip(got, expected, strict=True)):
            _assert_matches(f"{path}[{position}]", left, right, tolerance)
    elif expected is None or isinstance(expected, bool):
        assert got is expected, f"{path}: {got}"
    else:
        assert got is not None, f"{path}: None, expected {expected}"
        allowed = tolerance["abs"] + tolerance["rel"] * abs(expected)
        assert abs(got - expected) <= allowed, f"{path}: {got}, expected {expected}"


@pytest.mark.parametrize("case", CASES, ids=[case["id"] for case in CASES])
def test_adapter__known_answer__is_met(case: dict[str, Any]) -> None:
    got = ADAPTER[case["method"]](**case["inputs"])
    for key, expected in case["expected"].items():
        _assert_matches(key, got[key], expected, case["tolerance"].get(key, case["tolerance"]["*"]))


def test_cases__whole_set__is_covered() -> None:
    assert len(CASES) == 59
    assert {case["method"] for case in CASES} == set(ADAPTER)
