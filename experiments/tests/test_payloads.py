"""Computed and stored results have the shapes that `experiments.payloads` says, key by key."""

from datetime import datetime, timedelta
from types import NoneType, UnionType
from typing import Any, NotRequired, get_args, get_origin, get_type_hints, is_typeddict

import pytest

from experiments import payloads
from experiments.analysis import results_for
from experiments.documents import stored_result_resource
from experiments.jobs import runs
from experiments.selectors import get_experiment, latest_results
from experiments.tests.conftest import START

LATER = START + timedelta(days=9)


def _differences(value: Any, kind: Any, path: str) -> list[str]:
    """Where a value is not of its type, as paths."""
    if get_origin(kind) is NotRequired:
        return _differences(value, get_args(kind)[0], path)
    if get_origin(kind) is UnionType:
        found = [_differences(value, each, path) for each in get_args(kind)]
        return min(found, key=len) if all(found) else []
    if is_typeddict(kind):
        if not isinstance(value, dict):
            return [f"{path}: {value!r} is no {kind.__name__}"]
        hints = get_type_hints(kind, include_extras=True)
        missing = {name for name in hints if get_origin(hints[name]) is not NotRequired} - value.keys()
        unknown = value.keys() - hints.keys()
        nested = [
            each
            for name in value.keys() & hints.keys()
            for each in _differences(value[name], hints[name], f"{path}.{name}")
        ]
        return [
            *(f"{path}.{name}: missing" for name in missing),
            *(f"{path}.{name}: unknown" for name in unknown),
            *nested,
        ]
    if get_origin(kind) is list:
        return (
            [
                each
                for index, item in enumerate(value)
                for each in _differences(item, get_args(kind)[0], f"{path}[{index}]")
            ]
            if isinstance(value, list)
            else [f"{path}: no list"]
        )
    if get_origin(kind) is dict:
        return (
            [each for name, item in value.items() for each in _differences(item, get_args(kind)[1], f"{path}.{name}")]
            if isinstance(value, dict)
            else [f"{path}: no dict"]
        )
    accepted = (int, float) if kind is float else kind
    return (
        []
        if isinstance(value, accepted) and not (kind in {int, float} and isinstance(value, bool))
        else [f"{path}: {value!r} is no {kind}"]
    )


@pytest.fixture
def busy(environment, make_experiment, make_metric, start, expose):
    """An experiment with everything that a result can be about."""
    make_metric("errors", type="count", eventName="error", goal="decrease")
    made = make_experiment(
        secondaryMetrics=["errors"],
        guardrails=[{"metric": "errors", "marginPercent": 5, "action": "warn"}],
        breakdowns=["country"],
    )
    experiment = start(made, at=START)
    expose(experiment, {"control": 40, "treatment": 50}, converted={"control": 4, "treatment": 9})
    return get_experiment(environment, experiment.pk)


def test_results__computed__have_the_declared_shape(busy):
    found = results_for(busy, segment="country", now=LATER)

    assert _differences(found, payloads.Results, "results") == []
    assert found["guardrails"]
    assert found["metrics"]
    assert isinstance(found["window"]["since"], datetime)


def test_results__stored__have_the_declared_shape_with_instants_as_text(busy):
    runs.store_nightly(busy.pk, now=LATER)
    row = latest_results(busy)
    assert row is not None

    assert _differences(row.payload, payloads.Results, "results") == []
    assert isinstance(row.payload["window"]["since"], str)
    assert _differences(stored_result_resource(row), payloads.StoredResultPoint, "point") == []


def test_differences__something_wrong__is_found():
    assert _differences({"ship": 1.0}, payloads.ExpectedLoss, "loss") == ["loss.keep: missing"]
    assert _differences({"ship": "1", "keep": None}, payloads.ExpectedLoss, "loss")
    assert _differences(None, NoneType, "nothing") == []
