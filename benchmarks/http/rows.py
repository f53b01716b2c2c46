"""The rows of the HTTP table: what is asked of which server, and by which other row each is judged."""

import http.client
from collections.abc import Sequence
from dataclasses import dataclass

import orjson

from benchmarks.http.load import Target
from benchmarks.http.servers import (
    EDGE,
    FLOOR_DJANGO,
    FLOOR_GRANIAN,
    FLOOR_RSGI,
    FLOOR_UVICORN,
    FLOOR_WSGI,
    SMALL,
    STREAM,
    WEB,
)
from benchmarks.many_flags import WORDS

USERS = 1_000


@dataclass(frozen=True)
class Line:
    """A row of the table: what is measured, and by which other row it is judged."""

    target: Target
    title: str
    reference: str | None = None
    at_least: float | None = None


def rows_of(servers: dict[int, int], key: str, small_key: str) -> list[Line]:
    names = [f"{WORDS[number % 10]}-{number:05d}" for number in range(100)]
    people = [f"user-{number}" for number in range(USERS)]
    attributes = {"country": "DE", "plan": "free"}

    def single(path: str, flags: Sequence[str]) -> list[tuple[str, bytes]]:
        return [
            (path, orjson.dumps({"flagKey": flags[number % 100], "userId": user, "attributes": attributes}))
            for number, user in enumerate(people)
        ]

    def remote(user: str) -> bytes:
        return orjson.dumps({"context": {"targetingKey": user, **attributes}})

    plain = [f"flag-{number}" for number in range(100)]
    ofrep = "/ofrep/v1/evaluate/flags"
    ofrep_one = [(f"{ofrep}/{names[number % 100]}", remote(user)) for number, user in enumerate(people)]
    ofrep_all = [(ofrep, remote(user)) for user in people]
    everything = [
        ("/api/flags/evaluate/all", orjson.dumps({"userId": user, "attributes": attributes})) for user in people
    ]
    mine, small = {"Authorization": f"Bearer {key}"}, {"Authorization": f"Bearer {small_key}"}

    def target(
        name: str, port: int, requests: list[tuple[str, bytes]], headers: dict[str, str] | None = None, method: str = ""
    ) -> Target:
        return Target(name, port, requests, (servers[port],), headers or mine, method or "POST")

    evaluate = "/api/flags/evaluate"
    acknowledged = [
        ("/api/stream/ack", orjson.dumps({"instance": f"instance-{number}", "version": 1})) for number in range(5_000)
    ]
    snapshot = [("/api/snapshot", b"")]
    known = {**small, "If-None-Match": _etag(WEB, small), "Accept-Encoding": "gzip"}
    edge_known = {**small, "If-None-Match": _etag(EDGE, small), "Accept-Encoding": "gzip"}
    packed = {**small, "Accept-Encoding": "gzip"}
    return [
        Line(target("raw-wsgi", FLOOR_WSGI, single("/", plain)), "raw WSGI evaluation, granian"),
        Line(
            target("raw-rsgi", FLOOR_RSGI, single("/", plain)),
            "raw RSGI evaluation, granian: what reading on the event loop costs",
            "raw-wsgi",
        ),
        Line(target("lane", WEB, single(evaluate, names)), "**fast lane**, evaluate", "raw-wsgi", 0.60),
        Line(target("lane-ofrep", WEB, ofrep_one), "**fast lane**, OFREP single", "raw-wsgi", 0.60),
        Line(target("django", FLOOR_DJANGO, single("/plain", plain)), "plain Django view, granian", "raw-wsgi"),
        Line(target("bare-drf", FLOOR_DJANGO, single("/drf", plain)), "bare DRF view, granian", "raw-wsgi"),
        Line(
            target("drf", WEB, single(evaluate, names), {**mine, "X-Tenant-ID": "bench"}),
            "**DRF view**, evaluate",
            "bare-drf",
            0.70,
        ),
        Line(target("raw-asgi-uvicorn", FLOOR_UVICORN, single("/", plain)), "raw ASGI evaluation, uvicorn"),
        Line(
            target("raw-asgi-granian", FLOOR_GRANIAN, single("/", plain)),
            "raw ASGI evaluation, granian",
            "raw-asgi-uvicorn",
        ),
        Line(target("edge", EDGE, single(evaluate, names)), "**edge**, evaluate", "raw-asgi-uvicorn", 0.90),
        Line(target("edge-ofrep", EDGE, ofrep_one), "**edge**, OFREP single", "raw-asgi-uvicorn", 0.90),
        Line(target("stream-ack", STREAM, acknowledged), "**stream process**, acknowledge", "raw-asgi-uvicorn", 0.90),
        Line(target("all", WEB, everything, small), f"**fast lane**, evaluate all {SMALL} flags", "unleash", 1),
        Line(target("bulk", WEB, ofrep_all, small), f"**fast lane**, OFREP bulk of {SMALL} flags", "unleash", 1),
        Line(target("edge-bulk", EDGE, ofrep_all, small), f"**edge**, OFREP bulk of {SMALL} flags", "unleash", 1),
        Line(
            target("snapshot", WEB, snapshot, packed, "GET"),
            f"web, snapshot of {SMALL} flags, packed",
            "unleash-features",
            1,
        ),
        Line(target("304", WEB, snapshot, known, "GET"), "web, snapshot's 304", "unleash-304", 1),
        Line(
            target("edge-snapshot", EDGE, snapshot, packed, "GET"),
            f"edge, snapshot of {SMALL} flags, packed",
            "unleash-features",
            1,
        ),
        Line(target("edge-304", EDGE, snapshot, edge_known, "GET"), "edge, snapshot's 304", "unleash-304", 1),
    ]


def _etag(port: int, headers: dict[str, str]) -> str:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    connection.request("GET", "/api/snapshot", headers={**headers, "Accept-Encoding": "gzip"})
    response = connection.getresponse()
    response.read()
    return response.headers["ETag"]
