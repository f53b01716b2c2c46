"""The route table: which path leads where, with which parameter."""

from __future__ import annotations

import pytest
from openflagship.wire.routes import DATA_PLANE, EVALUATE, OFREP_FLAG, OFREP_FLAGS, SNAPSHOT, STREAM, RouteMap

MAP = RouteMap((route, route) for route in DATA_PLANE)


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/api/flags/evaluate", (EVALUATE, "")),
        ("/v1/evaluate", (EVALUATE, "")),
        ("/api/configs/production", (SNAPSHOT, "production")),
        ("/v1/stream/production", (STREAM, "production")),
        ("/stream/production", (STREAM, "production")),
        ("/api/events", (STREAM, "")),
        ("/evaluate", (EVALUATE, "")),
        ("/configs/production", (SNAPSHOT, "production")),
        ("/ofrep/v1/evaluate/flags", (OFREP_FLAGS, "")),
        ("/ofrep/v1/evaluate/flags/checkout", (OFREP_FLAG, "checkout")),
        # A slash in a key, sent as %2F, stands here decoded.
        ("/ofrep/v1/evaluate/flags/a/b", (OFREP_FLAG, "a/b")),
    ],
)
def test_find__path_of_a_route__gives_the_route_and_its_parameter(path: str, expected: object) -> None:
    assert MAP.find(path) == expected


@pytest.mark.parametrize(
    "path",
    [
        "",
        "/",
        "/api",
        "/api/evaluate/",
        "/api/configs/",
        "/api/configs/a/b",
        "/ofrep/v1/evaluate/flags/",
        "/v2/evaluate",
        "/api/flags/evaluate/preview",
    ],
)
def test_find__any_other_path__is_none(path: str) -> None:
    assert MAP.find(path) is None


def test_table__paths__each_belong_to_one_route() -> None:
    paths = [path for route in DATA_PLANE for path in route.paths]

    assert len(paths) == len(set(paths))
