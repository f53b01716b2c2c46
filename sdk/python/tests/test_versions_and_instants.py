"""Versions sort by semver.org precedence, instants are read to the millisecond."""

from __future__ import annotations

from itertools import pairwise

import pytest
from openflagship.engine.instants import instant_ms
from openflagship.engine.versions import version_key

ASCENDING = [
    "0.0.0-0",
    "0.0.0",
    "1.0.0-0",
    "1.0.0-9",
    "1.0.0-10",
    "1.0.0--1",
    "1.0.0-alpha",
    "1.0.0-alpha.1",
    "1.0.0-alpha.beta",
    "1.0.0-beta",
    "1.0.0-beta.2",
    "1.0.0-beta.11",
    "1.0.0-rc.1",
    "1.0.0",
    "1.2",
    "1.10.0",
    "2",
    "99999999999999999999.0.0",
    "100000000000000000000.0.0",
    f"1{'0' * 5000}.0.0",
]


def test_version_key__versions_in_order__sort_that_way() -> None:
    for lower, higher in pairwise(ASCENDING):
        left, right = version_key(lower), version_key(higher)
        assert left is not None
        assert right is not None
        assert left < right, (lower, higher)


@pytest.mark.parametrize("same", [("1", "1.0.0"), ("v1.2", "V1.2.0"), ("1.2.3+a", "1.2.3+b.c"), ("1-rc", "1.0.0-rc")])
def test_version_key__spellings_of_one_version__are_equal(same: tuple[str, str]) -> None:
    assert version_key(same[0]) == version_key(same[1])


@pytest.mark.parametrize(
    "text",
    [
        "",
        "v",
        "1.",
        "1.2.",
        "01.0.0",
        "1.02",
        "1.0.0-01",
        "1.0.0-",
        "1.0.0-a..b",
        "1.0.0+",
        "1.2.3.4",
        " 1.0.0",
        "1.0.0\n",
        "vv1",
        "1.0.0-ä",
        "\u0661.0.0",
        "-1.0.0",
        "1.x",
    ],
)
def test_version_key__no_version__is_none(text: str) -> None:
    assert version_key(text) is None


@pytest.mark.parametrize(
    ("text", "milliseconds"),
    [
        ("1970-01-01T00:00:00Z", 0),
        ("1970-01-01T00:00Z", 0),
        ("1970-01-01T00:00:00.1Z", 100),
        ("1970-01-01T00:00:00.1239999Z", 123),
        ("1969-12-31T23:59:59.999Z", -1),
        ("1970-01-01T01:30:00+01:30", 0),
        ("1970-01-01T01:30:00+0130", 0),
        ("1969-12-31T22:00:00-02", 0),
        ("2024-02-29T12:00:00Z", 1709208000000),
        ("0001-01-01T00:00:00+14:00", -62135647200000),
        ("9999-12-31T23:59:59-12:00", 253402343999000),
    ],
)
def test_instant_ms__instant__is_unix_milliseconds(text: str, milliseconds: int) -> None:
    assert instant_ms(text) == milliseconds


@pytest.mark.parametrize(
    "text",
    [
        "",
        "2026-01-01",
        "2026-01-01T00:00:00",
        "2026-01-01 00:00:00Z",
        "2026-01-01T00:00:00z",
        "2026-01-01t00:00:00Z",
        "2026-02-29T00:00:00Z",
        "2026-13-01T00:00:00Z",
        "0000-01-01T00:00:00Z",
        "2026-01-01T24:00:00Z",
        "2026-01-01T00:60:00Z",
        "2026-01-01T00:00:60Z",
        "2026-01-01T00:00:00+24:00",
        "2026-01-01T00:00:00+00:60",
        "2026-01-01T00:00:00.Z",
        "2026-01-01T00:00:00Z\n",
        "1767225600000",
        "2026-01-01T00:00:00." + "0" * 40 + "Z",
    ],
)
def test_instant_ms__no_instant__is_none(text: str) -> None:
    assert instant_ms(text) is None
