"""What an SDK says of its understanding: features by name, and the flags and segments that it cannot serve."""

from typing import Any

import pytest
from documents import condition, environment, experiment, flag, rule
from openflagship.wire.acknowledgements import (
    FEATURES,
    Acknowledgement,
    acknowledgement_of,
    features_used,
    understanding_of,
)
from openflagship.wire.errors import RefusedError

PRO = condition("plan", "equals", "pro")
LATER = rule([condition("country", "resembles", "US")])


@pytest.mark.parametrize(
    ("document", "used"),
    [
        (flag(rules=[rule([PRO])], experiment=experiment()), set()),
        (flag(rules=[rule({"any": [PRO]})]), {"rule_trees"}),
        (flag(rules=[rule([{"not": PRO}])]), {"rule_trees"}),
        (flag(bucketBy=["deviceId", "userId"]), {"bucket_by_list"}),
        (flag(experiment=experiment(allocation=[])), {"experiment_split"}),
        (flag(experiment=experiment(priority=5)), {"experiment_split"}),
    ],
)
def test_features_used__document__names_what_an_older_engine_cannot_read(
    document: dict[str, Any], used: set[str]
) -> None:
    assert features_used(document) == used
    assert used <= set(FEATURES)


def test_understanding_of__flags_and_segments_of_a_later_version__names_them_and_bounds_the_list() -> None:
    later = [flag(key=f"later-{number:02}", rules=[LATER]) for number in range(60)]
    unclear = {"key": "beta", "conditions": condition("x", "resembles", 1)}
    said = understanding_of(environment(*later, flag(), segments=[unclear]))

    assert (said.features, said.segments, said.total) == (FEATURES, ("beta",), 61)
    assert said.flags == tuple(f"later-{number:02}" for number in range(50))
    body = Acknowledgement("pod-1", 7, "python/1", said).body
    assert acknowledgement_of(body) == Acknowledgement("pod-1", 7, "python/1", said)
    assert acknowledgement_of({"instance": "pod-1", "version": 7}).understanding is None


@pytest.mark.parametrize(
    ("members", "named"),
    [
        ({"features": "rule_trees"}, "features"),
        ({"features": [5]}, "features"),
        ({"features": ["x" * 101]}, "features"),
        ({"features": ["x"] * 51}, "features"),
        ({"notUnderstood": ["a"]}, "notUnderstood"),
        ({"notUnderstood": {"flags": ["a"] * 51}}, "notUnderstood.flags"),
        ({"notUnderstood": {"segments": [""]}}, "notUnderstood.segments"),
        ({"notUnderstood": {"count": -1}}, "notUnderstood.count"),
        ({"notUnderstood": {"count": True}}, "notUnderstood.count"),
    ],
)
def test_acknowledgement__malformed_understanding__is_refused_by_name(members: dict[str, Any], named: str) -> None:
    with pytest.raises(RefusedError, match=named):
        acknowledgement_of({"instance": "pod-1", "version": 7, **members})
