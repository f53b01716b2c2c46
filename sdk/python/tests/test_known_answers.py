"""The contract's vectors and the cases gathered from public conformance suites, through the adapter others use too."""

from __future__ import annotations

from typing import Any

import adapter
import mmh3
import pytest
from contract import read
from openflagship.engine import DecodeError, decode_tree, moved_buckets

BUCKETING = read("vectors/bucketing.json")
ALLOCATION = read("vectors/allocation.json")
OPERATORS = read("cases/operators.json")["cases"]


def test_bucket__every_vector__agrees() -> None:
    assert len(BUCKETING) == 200
    for vector in BUCKETING:
        assert mmh3.hash(f"{vector['salt']}:{vector['unit']}", signed=False) == vector["hash"]
        assert adapter.bucket(vector["salt"], vector["unit"]) == vector["bucket"]


@pytest.mark.parametrize("vector", ALLOCATION, ids=range(len(ALLOCATION)))
def test_reallocate__every_vector__agrees(vector: dict[str, Any]) -> None:
    assert adapter.reallocate(vector["before"], vector["weights"]) == vector["after"]
    assert moved_buckets(vector["before"], vector["after"]) == vector["moved"]


@pytest.mark.parametrize("case", OPERATORS, ids=[case["id"] for case in OPERATORS])
def test_operator__every_public_case__has_the_expected_outcome(case: dict[str, Any]) -> None:
    assert adapter.evaluate_tree(case["tree"], case["context"]) is case["expected"]


@pytest.mark.parametrize("case", OPERATORS, ids=[case["id"] for case in OPERATORS])
def test_decode_tree__every_public_case__refuses_only_what_may_be_refused(case: dict[str, Any]) -> None:
    try:
        decode_tree(case["tree"])
    except DecodeError:
        assert case["refusedOnWriteIsFine"]
