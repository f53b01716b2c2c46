"""The published JSON Schema accepts what the decoder accepts, and refuses what it can see is wrong."""

from __future__ import annotations

from typing import Any

import jsonschema
import pytest
from contract import read
from documents import condition, experiment, flag, rule, snapshot
from hypothesis import given, settings
from openflagship.engine import (
    CONTRACT,
    CompiledEnvironment,
    decode_flag,
    decode_segment,
    encode_flag,
    encode_segment,
    snapshot_schema,
)
from openflagship.engine.operators import OPERATORS
from strategies import environments, share_of

VALIDATOR = jsonschema.Draft202012Validator(snapshot_schema())


def test_schema__contract_file__equals_the_packaged_one() -> None:
    assert read("snapshot.schema.json") == snapshot_schema()


def test_schema__itself__is_valid_and_names_contract_and_operators() -> None:
    schema = snapshot_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    assert schema["properties"]["contract"]["maximum"] == CONTRACT
    assert schema["$defs"]["tree"]["properties"]["operator"]["examples"] == list(OPERATORS)


@settings(max_examples=share_of(150))
@given(environments())
def test_schema__any_valid_snapshot__is_accepted_as_written_and_as_encoded(document: dict[str, Any]) -> None:
    VALIDATOR.validate(document)
    encoded = {
        **document,
        "flags": {key: encode_flag(decode_flag(item)) for key, item in document["flags"].items()},
        "segments": {key: encode_segment(decode_segment(item)) for key, item in document["segments"].items()},
    }
    VALIDATOR.validate(encoded)
    VALIDATOR.validate(CompiledEnvironment.from_document(encoded).document())


@pytest.mark.parametrize(
    "document",
    [
        [],
        {**snapshot(), "contract": 2},
        {**snapshot(), "version": "7"},
        snapshot(flag(key="evaluate")),
        snapshot(flag(type="float")),
        snapshot(flag(variants=[{"key": "only", "value": True}])),
        snapshot(flag(variants=[{"key": key, "value": True} for key in "abc"])),
        snapshot(flag(allocation=[[0, 10_001, "control"]])),
        snapshot(flag(allocation=[[0, 5]])),
        snapshot(flag(rules=[rule([], variant="control", allocation=[])])),
        snapshot(flag(rules=[rule([condition("", "exists")])])),
        snapshot(flag(rules=[rule([{"all": [], "any": []}])])),
        snapshot(flag(experiment=experiment(status="draft"))),
        snapshot(flag(experiment=experiment(layer={}))),
        snapshot(segments=[{"key": "beta", "included": [5]}]),
    ],
)
def test_schema__wrong_document__is_refused(document: Any) -> None:
    assert not VALIDATOR.is_valid(document)


def test_schema__fields_and_operators_of_the_future__are_accepted() -> None:
    VALIDATOR.validate(snapshot(flag(future=1, rules=[rule([condition("x", "resembles", 1)])]), later=True))
