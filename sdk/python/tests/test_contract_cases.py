"""The cases of the contract that are told in steps: snapshots and changes, each with questions and their answers."""

from typing import Any

import pytest
from contract import read
from jsonschema import Draft202012Validator
from openflagship.engine import CompiledEnvironment, Context, DecodeError, decode_flag, snapshot_schema
from openflagship.wire.acknowledgements import understanding_of

FILES = ("rule_trees", "bucket_by", "experiment_split", "not_understood")
CASES = {name: read(f"cases/{name}.json") for name in FILES}
NOTHING_SAID = {"variant": None, "ruleId": None, "experiment": None, "detail": None, "errorCode": None, "stale": False}


@pytest.mark.parametrize(
    "case", [pytest.param(case, id=f"{name}: {case['name']}") for name in FILES for case in CASES[name]["cases"]]
)
def test_case__each_step__gives_the_answers(case: dict[str, Any]) -> None:
    asked: CompiledEnvironment | None = None
    for step in case["steps"]:
        asked = _after(asked, step)
        for question in step["asked"]:
            context = Context(question["userId"], question["attributes"])
            expected = {**NOTHING_SAID, **question["expected"]}
            answer = asked.evaluate(question["flagKey"], context).to_dict()
            if expected["errorCode"] is not None:
                # An error's detail is free text.
                del expected["detail"]
            if "unit" in expected:
                assert asked.unit(question["flagKey"], context) == expected.pop("unit")
            assert {name: answer.get(name) for name in expected} == expected, question
            assert asked.evaluate_all(context)[question["flagKey"]].to_dict() == answer
        if "notUnderstood" in step:
            said = understanding_of(asked)
            assert {"flags": list(said.flags), "segments": list(said.segments)} == step["notUnderstood"]


def _after(asked: CompiledEnvironment | None, step: dict[str, Any]) -> CompiledEnvironment:
    if "snapshot" in step:
        fresh = CompiledEnvironment.from_document(step["snapshot"])
        return fresh if asked is None else fresh.keeping(asked)
    assert asked is not None
    change = step["change"]
    return asked.replace(change["version"], flags=change.get("flags"), segments=change.get("segments"))


@pytest.mark.parametrize(
    "refused", [pytest.param(item, id=f"{name}: {item['path']}") for name in FILES for item in CASES[name]["refused"]]
)
def test_case__refused_on_write__names_the_field(refused: dict[str, Any]) -> None:
    with pytest.raises(DecodeError) as error:
        decode_flag(refused["flag"])
    assert (refused["path"], refused["code"]) in [(problem.path, problem.code) for problem in error.value.problems]


def test_cases__snapshots_that_are_understood__fit_the_schema() -> None:
    schema = Draft202012Validator(snapshot_schema())
    steps = [step for name in FILES[:3] for case in CASES[name]["cases"] for step in case["steps"]]
    snapshots = [step["snapshot"] for step in steps if "snapshot" in step]
    assert len(snapshots) > 30
    assert [error.message for snapshot in snapshots for error in schema.iter_errors(snapshot)] == []
