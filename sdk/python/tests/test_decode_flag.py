"""Writing a flag: every problem is found at once, with the field's path and a remedy."""

from __future__ import annotations

from typing import Any

import pytest
from documents import condition, environment, experiment, flag, rule
from openflagship.engine import Context, DecodeError, decode_flag


def found(document: Any) -> list[tuple[str, str]]:
    with pytest.raises(DecodeError) as caught:
        decode_flag(document)
    for problem in caught.value.problems:
        assert problem.message.endswith("."), problem
    return [(problem.path, problem.code) for problem in caught.value.problems]


def variants(*keys: str) -> list[dict[str, Any]]:
    return [{"key": key, "value": key} for key in keys]


def text_flag(**changes: Any) -> dict[str, Any]:
    return flag(**{"type": "string", "variants": variants("control", "treatment", "third"), **changes})


PROBLEMS: list[tuple[Any, str, str]] = [
    ([], "", "wrong_type"),
    (flag(key=None), "key", "required"),
    (flag(key=""), "key", "invalid_key"),
    (flag(key="-x"), "key", "invalid_key"),
    (flag(key="x" * 101), "key", "invalid_key"),
    (flag(key="x\n"), "key", "invalid_key"),
    (flag(key="ü"), "key", "invalid_key"),
    (flag(key="evaluate"), "key", "reserved_key"),
    (flag(type=None), "type", "required"),
    (flag(type="float"), "type", "invalid_choice"),
    (flag(type=["boolean"]), "type", "invalid_choice"),
    (flag(variants=None), "variants", "required"),
    (flag(variants=flag()["variants"][:1]), "variants", "wrong_count"),
    (text_flag(variants=variants("control")), "variants", "wrong_count"),
    (flag(variants=[{"key": "a", "value": True}, {"key": "b", "value": True}]), "variants", "duplicate"),
    (text_flag(variants=variants("a", "b", "a")), "variants[2].key", "duplicate"),
    (text_flag(variants=[*variants("a", "b"), "c"]), "variants[2]", "wrong_type"),
    (text_flag(variants=[*variants("a", "b"), {"value": "c"}]), "variants[2].key", "required"),
    (text_flag(variants=[*variants("a", "b"), {"key": "c"}]), "variants[2].value", "required"),
    (text_flag(variants=variants("control", "with space")), "variants[1].key", "invalid_key"),
    (text_flag(variants=[*variants("a", "b"), {"key": "c", "value": 5}]), "variants[2].value", "wrong_type"),
    (text_flag(variants=[*variants("a", "b"), {"key": "c", "value": "\ud800"}]), "variants[2].value", "wrong_type"),
    (flag(variants=[{"key": "a", "value": 0}, {"key": "b", "value": True}]), "variants[0].value", "wrong_type"),
    (
        flag(type="number", variants=[{"key": "a", "value": float("nan")}, {"key": "b", "value": 1}]),
        "variants[0].value",
        "wrong_type",
    ),
    (
        flag(type="number", variants=[{"key": "a", "value": True}, {"key": "b", "value": 1}]),
        "variants[0].value",
        "wrong_type",
    ),
    (
        flag(type="json", variants=[{"key": "a", "value": "x" * 65_535}, {"key": "b", "value": 1}]),
        "variants[0].value",
        "too_large",
    ),
    (
        flag(type="json", variants=[{"key": "a", "value": [float("inf")]}, {"key": "b", "value": 1}]),
        "variants[0].value",
        "wrong_type",
    ),
    (flag(enabled="yes"), "enabled", "wrong_type"),
    (flag(defaultVariant="neither"), "defaultVariant", "unknown_variant"),
    (flag(offVariant=True), "offVariant", "unknown_variant"),
    (flag(killSwitchVariant="neither"), "killSwitchVariant", "unknown_variant"),
    (flag(bucketBy=""), "bucketBy", "wrong_type"),
    (flag(salt=5), "salt", "wrong_type"),
    (flag(salt="\ud800"), "salt", "wrong_type"),
    (flag(version="3"), "version", "wrong_type"),
    (flag(metadata=[]), "metadata", "wrong_type"),
    (flag(metadata={"team": "web", "owner": None}), "metadata.owner", "wrong_type"),
    (flag(prerequisites={}), "prerequisites", "wrong_type"),
    (flag(prerequisites=["other"]), "prerequisites[0]", "wrong_type"),
    (flag(prerequisites=[{"variants": ["on"]}]), "prerequisites[0].flagKey", "required"),
    (flag(prerequisites=[{"flagKey": "other", "variants": "on"}]), "prerequisites[0].variants", "wrong_type"),
    (flag(prerequisites=[{"flagKey": "other", "variants": []}]), "prerequisites[0].variants", "required"),
    (
        flag(prerequisites=[{"flagKey": "asked", "variants": ["on"]}]),
        "prerequisites[0].flagKey",
        "prerequisite_cycle",
    ),
    (flag(targets=["alice"]), "targets[0]", "wrong_type"),
    (flag(targets=[{"variant": "neither", "userIds": []}]), "targets[0].variant", "unknown_variant"),
    (flag(targets=[{"variant": "control", "userIds": "alice"}]), "targets[0].userIds", "wrong_type"),
    (flag(targets=[{"variant": "control", "userIds": ["a", ""]}]), "targets[0].userIds[1]", "invalid_user_id"),
    (flag(targets=[{"variant": "control", "userIds": [5]}]), "targets[0].userIds[0]", "invalid_user_id"),
    (flag(targets=[{"variant": "control", "userIds": ["\ud800"]}]), "targets[0].userIds[0]", "invalid_user_id"),
    (
        flag(
            targets=[
                {"variant": "control", "userIds": ["a", "b", "a"]},
                {"variant": "treatment", "userIds": ["c", "b"]},
            ]
        ),
        "targets[1].userIds[1]",
        "duplicate",
    ),
    (flag(rules=["x"]), "rules[0]", "wrong_type"),
    (flag(rules=[rule([], id="")]), "rules[0].id", "required"),
    (flag(rules=[rule([], priority=True)]), "rules[0].priority", "required"),
    (flag(rules=[rule([], name=5)]), "rules[0].name", "wrong_type"),
    (flag(rules=[rule([], 1), rule([], 2, id="rule-1")]), "rules[1].id", "duplicate"),
    (flag(rules=[rule([], 2), rule([], 3, priority=2)]), "rules[1].priority", "duplicate"),
    (flag(rules=[rule([], variant=None)]), "rules[0]", "ambiguous"),
    (flag(rules=[rule([], variant="control", allocation=[])]), "rules[0]", "ambiguous"),
    (flag(rules=[rule([], variant="neither")]), "rules[0].variant", "unknown_variant"),
    (flag(rules=[rule([], allocation=[[0, 5, "neither"]])]), "rules[0].allocation[0][2]", "unknown_variant"),
    (flag(rules=[rule("pro")]), "rules[0].conditions", "wrong_type"),
    (flag(rules=[rule([condition("x", "matches", "(")])]), "rules[0].conditions[0].value", "malformed_value"),
    (flag(allocation={}), "allocation", "wrong_type"),
    (flag(allocation=[[0, 5]]), "allocation[0]", "wrong_type"),
    (flag(allocation=[[0, 10_001, "control"]]), "allocation[0]", "out_of_range"),
    (flag(allocation=[[5, 5, "control"]]), "allocation[0]", "out_of_range"),
    (flag(allocation=[[0.0, 5, "control"]]), "allocation[0]", "out_of_range"),
    (flag(allocation=[[5, 9, "control"], [0, 6, "treatment"]]), "allocation", "overlap"),
    (flag(experiment=[]), "experiment", "wrong_type"),
    (flag(experiment=experiment(id=None)), "experiment.id", "required"),
    (flag(experiment=experiment(status="draft")), "experiment.status", "invalid_choice"),
    (flag(experiment=experiment(layer=None)), "experiment.layer.salt", "required"),
    (flag(experiment=experiment(layer={"salt": "asked"})), "experiment.layer.salt", "shared_salt"),
    (flag(experiment=experiment(layer={"salt": "l", "key": 5})), "experiment.layer.key", "wrong_type"),
    (flag(experiment=experiment(ranges=None)), "experiment.ranges", "wrong_type"),
    (flag(experiment=experiment(ranges=[[0, 5, 6]])), "experiment.ranges[0]", "wrong_type"),
    (flag(experiment=experiment(ranges=[[0, -5]])), "experiment.ranges[0]", "out_of_range"),
    (flag(experiment=experiment(ranges=[[0, 5], [4, 6]])), "experiment.ranges", "overlap"),
    (flag(experiment=experiment(controlVariant="neither")), "experiment.controlVariant", "unknown_variant"),
    (flag(experiment=experiment(audience="all")), "experiment.audience", "wrong_type"),
]


@pytest.mark.parametrize(("document", "path", "code"), PROBLEMS, ids=[f"{path}-{code}" for _, path, code in PROBLEMS])
def test_decode_flag__one_thing_wrong__is_the_one_problem(document: Any, path: str, code: str) -> None:
    assert found(document) == [(path, code)]
    key = document.get("key") if isinstance(document, dict) else None
    if isinstance(key, str) and key:
        given = environment(document).evaluate(key, Context("user-1"), "default")
        assert given.error_code in (None, "PARSE_ERROR")


def test_decode_flag__many_things_wrong__are_all_found() -> None:
    document = flag(
        key="no spaces",
        defaultVariant="neither",
        rules=[
            rule([], 1),
            rule([], 2, variant="nowhere"),
            rule([condition("x", "semver_equal", "1.2.x"), condition("x", "resembles", 1)], 3),
        ],
        allocation=[[0, 20_000, "control"]],
    )
    assert found(document) == [
        ("key", "invalid_key"),
        ("defaultVariant", "unknown_variant"),
        ("rules[1].variant", "unknown_variant"),
        ("rules[2].conditions[0].value", "malformed_value"),
        ("rules[2].conditions[1].operator", "unknown_operator"),
        ("allocation[0]", "out_of_range"),
    ]


def test_decode_flag__unreadable_variants__hide_no_problem_elsewhere() -> None:
    document = flag(variants=[{"key": "a"}], defaultVariant="a", offVariant=5, rules=[rule([], id=None)])
    assert found(document) == [
        ("variants[0].value", "required"),
        ("variants", "wrong_count"),
        ("offVariant", "unknown_variant"),
        ("rules[0].id", "required"),
    ]


def test_decode_flag__hardly_anything_given__has_the_contracts_defaults() -> None:
    minimal = decode_flag({"key": "new.Flag_1", "type": "string", "variants": variants("on", "off"), "future": 1})
    assert (minimal.enabled, minimal.default_variant, minimal.off_variant) == (False, "on", "on")
    assert (minimal.kill_switch_variant, minimal.bucket_by, minimal.salt) == (None, "userId", "new.Flag_1")
    assert (minimal.rules, minimal.targets, minimal.allocation, minimal.experiment) == ((), (), (), None)


def test_decode_flag__in_any_order__is_sorted() -> None:
    document = flag(
        rules=[rule([], 20), rule([], 3)],
        allocation=[[5000, 9000, "treatment"], [0, 5000, "control"]],
        experiment=experiment(ranges=[[700, 800], [0, 100]]),
    )
    decoded = decode_flag(document)
    assert [item.priority for item in decoded.rules] == [3, 20]
    assert decoded.allocation == ((0, 5000, "control"), (5000, 9000, "treatment"))
    assert decoded.experiment is not None
    assert decoded.experiment.ranges == ((0, 100), (700, 800))


def test_decode_error__message__names_paths() -> None:
    with pytest.raises(DecodeError, match=r"^document: Give a flag, as an object\.$"):
        decode_flag(None)
    with pytest.raises(DecodeError, match=r"bucketBy: Name .*; salt: Give "):
        decode_flag(flag(bucketBy=1, salt=1))
