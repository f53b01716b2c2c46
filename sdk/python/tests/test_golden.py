"""Answers once given stay the same: the file is frozen for a contract version, and other languages test against it."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

import pytest
from make_evaluations import FILE, shown
from openflagship.engine import CompiledEnvironment

CASES = json.loads(FILE.read_text("utf-8"))["cases"]


@pytest.mark.parametrize("case", CASES, ids=range(len(CASES)))
def test_evaluate__golden_snapshot__gives_the_answers_on_file(case: dict[str, Any]) -> None:
    environment = CompiledEnvironment.from_document(case["snapshot"])
    for evaluation in case["evaluations"]:
        assert shown(environment, evaluation["userId"], evaluation["attributes"]) == evaluation["answers"]


def test_golden_file__reasons__are_all_there() -> None:
    answers = [given for case in CASES for one in case["evaluations"] for given in one["answers"].values()]
    reasons = Counter(given["reason"] for given in answers)
    assert len(answers) == 2880
    expected = "KILL_SWITCH DISABLED PREREQUISITE_FAILED TARGET_MATCH RULE_MATCH EXPERIMENT ROLLOUT DEFAULT"
    assert set(reasons) == set(expected.split())
    assert {given.get("detail") for given in answers} == {None, "no_unit", "not_in_experiment"}
