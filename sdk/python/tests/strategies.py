"""Hypothesis strategies for documents an engine may meet: valid ones that hit each other's keys often, and odd ones."""

from __future__ import annotations

import os
from itertools import pairwise
from typing import Any

from hypothesis import strategies as st
from openflagship.engine import Context, deal

FLAG_KEYS = ["alpha", "beta", "gamma", "delta"]
SEGMENT_KEYS = ["staff", "testers", "eu"]
VARIANTS = ["a", "b", "c"]
ATTRIBUTES = ["country", "plan", "age", "version", "since", "tags", "deviceId", "userId"]
# Few values, so that generated attributes and conditions meet.
TEXTS = ["", "DE", "pro", "1.2.0", "1.10", "2026-01-01T00:00:00Z", "u1", "u2", "u3", "prod", "1"]
NUMBERS = [0, 1, 2, 1.0, 1.5, -3, 10**9, 2**53, 2**53 + 1, 1_767_225_600_000, 1e300]


def share_of(examples: int) -> int:
    """How many of them are tried: half at every landing, all by `make thorough`."""
    return examples * int(os.environ.get("PROPERTY_SHARE", "50")) // 100


texts = st.sampled_from(TEXTS)
scalars = st.one_of(texts, st.sampled_from(NUMBERS), st.booleans())
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.sampled_from(TEXTS),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=6,
)
attribute_values = st.one_of(scalars, st.lists(scalars, max_size=3), st.none(), json_values)


def _condition(operator: st.SearchStrategy[str], value: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries(
        {"attribute": st.sampled_from(ATTRIBUTES), "operator": operator, "value": value},
    )


_finite = st.sampled_from(NUMBERS)
conditions = st.one_of(
    _condition(st.sampled_from(["equals", "not_equals", "contains", "not_contains"]), scalars),
    _condition(st.sampled_from(["in", "not_in"]), st.lists(scalars, max_size=4) | st.lists(texts, max_size=4)),
    _condition(st.sampled_from(["greater_than", "greater_or_equal", "less_than", "less_or_equal"]), _finite),
    _condition(st.sampled_from(["starts_with", "ends_with"]), texts | st.lists(texts, max_size=3)),
    _condition(st.just("matches"), st.sampled_from(["^u[12]$", "pro", "(?i)de", "", "[0-9]+"])),
    _condition(
        st.sampled_from(
            ["semver_equal", "semver_greater", "semver_greater_or_equal", "semver_less", "semver_less_or_equal"]
        ),
        st.sampled_from(["1.2", "v1.2.0", "1.10.0-rc.1", "2"]),
    ),
    _condition(
        st.sampled_from(["before", "after"]), st.sampled_from(["2026-01-01T00:00:00Z", "2025-12-31T23:00:00-02:00"])
    ),
    st.fixed_dictionaries(
        {"attribute": st.sampled_from(ATTRIBUTES), "operator": st.sampled_from(["exists", "not_exists"])}
    ),
    st.fixed_dictionaries(
        {
            "operator": st.sampled_from(["in_segment", "not_in_segment"]),
            "value": st.lists(st.sampled_from([*SEGMENT_KEYS, "unknown"]), max_size=2),
        }
    ),
)


def trees(depth: int = 3) -> st.SearchStrategy[dict[str, Any]]:
    if depth == 0:
        return conditions
    inner = trees(depth - 1)
    return st.one_of(
        conditions,
        st.fixed_dictionaries({"all": st.lists(inner, max_size=3)}),
        st.fixed_dictionaries({"any": st.lists(inner, max_size=3)}),
        st.fixed_dictionaries({"not": inner}),
    )


@st.composite
def weights(draw: st.DrawFn, variants: list[str] | None = None) -> list[list[Any]]:
    keys = variants or VARIANTS
    cuts = sorted(draw(st.lists(st.integers(0, 10_000), min_size=len(keys), max_size=len(keys))))
    sizes = [cut - previous for previous, cut in zip([0, *cuts], cuts, strict=False)]
    return [[key, size] for key, size in zip(keys, sizes, strict=True)]


@st.composite
def allocations(draw: st.DrawFn, variants: list[str]) -> list[list[Any]]:
    """Up to a dozen ranges with gaps, as a long history of changes leaves them."""
    edges = sorted(set(draw(st.lists(st.integers(0, 10_000), max_size=16))))
    ranges = []
    for start, end in pairwise(edges):
        if draw(st.integers(0, 3)):
            ranges.append([start, end, draw(st.sampled_from(variants))])
    return ranges


@st.composite
def flags(draw: st.DrawFn, key: str = "alpha") -> dict[str, Any]:
    """A valid flag; it may have unknown prerequisites and segments."""
    kind = draw(st.sampled_from(["boolean", "string", "number", "json"]))
    keys = VARIANTS[:2] if kind == "boolean" else VARIANTS[: draw(st.integers(2, 3))]
    values: dict[str, list[Any]] = {
        "boolean": [False, True],
        "string": ["x", "", "ü"],
        "number": [0, 1.5, -7],
        "json": [{"a": [1]}, None, [False]],
    }
    variant = st.sampled_from(keys)
    split = st.one_of(allocations(keys), weights(keys).map(deal).map(lambda made: [list(item) for item in made]))
    document: dict[str, Any] = {
        "key": key,
        "type": kind,
        "variants": [{"key": name, "value": value} for name, value in zip(keys, values[kind], strict=False)],
        "enabled": draw(st.integers(0, 9)) > 0,
        "defaultVariant": draw(variant),
        "offVariant": draw(variant),
        "killSwitchVariant": draw(st.none() | variant) if draw(st.integers(0, 9)) == 0 else None,
        "bucketBy": draw(st.sampled_from(["userId", "userId", "deviceId"])),
        "salt": draw(st.sampled_from([key, "shared"])),
        "allocation": draw(split),
        "metadata": draw(st.dictionaries(st.text(max_size=3), scalars, max_size=2)),
        "version": draw(st.integers(0, 9)),
    }
    others = [other for other in [*FLAG_KEYS, "unknown"] if other != key]
    prerequisite = st.fixed_dictionaries(
        {"flagKey": st.sampled_from(others), "variants": st.lists(st.sampled_from(VARIANTS), min_size=1, max_size=3)}
    )
    document["prerequisites"] = draw(st.lists(prerequisite, max_size=1))
    users = draw(st.permutations(["u1", "u2", "u3"]))
    document["targets"] = [{"variant": draw(variant), "userIds": users[: draw(st.integers(0, 1))]}]
    document["rules"] = []
    for number in range(draw(st.integers(0, 3))):
        rule: dict[str, Any] = {"id": f"r{number}", "priority": 10 - 2 * number}
        rule["conditions"] = draw(st.lists(trees(2), max_size=3) | trees(3))
        if draw(st.booleans()):
            rule["variant"] = draw(variant)
        else:
            rule["allocation"] = draw(split)
        document["rules"].append(rule)
    document["experiment"] = None
    if draw(st.booleans()):
        taking_part = [item[:2] for item in draw(allocations(keys))]
        document["experiment"] = {
            "id": "test",
            "status": draw(st.sampled_from(["running", "paused"])),
            "layer": {"key": draw(st.none() | st.just("page")), "salt": draw(st.sampled_from(["layer:1", "layer:2"]))},
            "ranges": draw(st.sampled_from([[[0, 10_000]], taking_part])),
            "controlVariant": draw(variant),
            "audience": draw(st.none() | trees(2)),
        }
        if draw(st.booleans()):
            document["experiment"]["allocation"] = draw(split)
        if draw(st.booleans()):
            # Rules have 10, 8 and 6: before, between and after them.
            document["experiment"]["priority"] = draw(st.sampled_from([1, 7, 9, 20]))
    elif draw(st.integers(0, 3)) == 0:
        document["bucketBy"] = draw(
            st.lists(st.sampled_from(["userId", "deviceId", "country"]), min_size=2, max_size=3, unique=True)
        )
    return document


def segments(key: str) -> st.SearchStrategy[dict[str, Any]]:
    users = st.lists(st.sampled_from(["u1", "u2", "u3"]), max_size=2)
    return st.fixed_dictionaries(
        {"key": st.just(key), "included": users, "excluded": users, "conditions": st.none() | trees(2)}
    )


@st.composite
def environments(draw: st.DrawFn) -> dict[str, Any]:
    """A snapshot of valid flags and segments, cycles among them included."""
    keys = draw(st.lists(st.sampled_from(FLAG_KEYS), min_size=1, max_size=4, unique=True))
    names = draw(st.lists(st.sampled_from(SEGMENT_KEYS), max_size=3, unique=True))
    return {
        "contract": 1,
        "environment": {"key": "production", "salt": draw(st.sampled_from(["", "", "env"]))},
        "version": draw(st.integers(1, 10**6)),
        "flags": {key: draw(flags(key)) for key in keys},
        "segments": {name: draw(segments(name)) for name in names},
    }


@st.composite
def contexts(draw: st.DrawFn) -> Context:
    anybody = st.integers(0, 99_999).map(lambda number: f"user-{number}")
    user_id = draw(
        st.one_of(st.sampled_from(["u1", "u2", "u3"]), anybody, st.text(max_size=5), st.none(), st.integers())
    )
    attributes = draw(st.dictionaries(st.sampled_from(ATTRIBUTES), attribute_values, max_size=6))
    return Context(user_id, attributes)
