"""The edge refuses and answers as the server does, route by route, whatever it is sent."""

import asyncio
from io import BytesIO
from typing import Any, NamedTuple
from urllib.parse import unquote, unquote_to_bytes

import orjson
import pytest
from django.core.handlers.wsgi import WSGIHandler
from openflagship.edge import Edge, EdgeEnvironment, EdgeSettings
from openflagship.wire import cross_origin, routes

from analytics.pipeline.exposure_buffer import EXPOSURES
from flags.propagation.runtime import RUNTIME
from flags.streaming import http as stream_process
from flagship.serving.data_plane import DataPlane
from flagship.serving.fast_lane import FastLane

ORIGIN = "https://shop.example"
# Headers of the answer that the two must share. `vary` is left out: Django adds to it what it looked at.
COMPARED = {
    "content-type", "content-encoding", "x-content-type-options", "allow", "www-authenticate", "retry-after", "etag",
    "cache-control", "access-control-allow-origin", "access-control-allow-methods", "access-control-allow-headers",
    "access-control-expose-headers", "access-control-max-age",
}  # fmt: skip
EVALUATE_BODY = {"flagKey": "asked", "userId": "user-1"}
OFREP_BODY = {"context": {"targetingKey": "user-1"}}
ACK_BODY = {"instance": "worker-1", "version": 1}


class Sent(NamedTuple):
    """A request; `key` names the credential, and bodies that are no bytes are sent as JSON."""

    method: str
    path: str
    body: Any = b""
    headers: dict[str, str] = {}
    key: str | None = "server"

    @property
    def content(self) -> bytes:
        return self.body if isinstance(self.body, bytes) else orjson.dumps(self.body)


class Got(NamedTuple):
    status: int
    headers: dict[str, str]
    body: Any


BODIES: list[Any] = [
    b"", b" ", b"{", b"[]", b"null", b"7", b'"text"', b"{}", b"\xff\xfe", b'{"flagKey": NaN}', b"[" * 2_000,
    b'{"flagKey": "asked", "userId": "\\ud800"}', b'{"flagKey": "asked"} x',
    {"flagKey": "nope", "userId": "u", "defaultValue": 3}, {"flagKey": "x" * 10_000}, {"flagKey": 7}, {"flagKey": ""},
    {"flagKey": "asked", "userId": 7}, {"flagKey": "asked", "userId": "x" * 1_025}, {"flagKey": "asked", "user": 1},
    {"flagKey": "asked", "attributes": []}, {"flagKey": "asked", "attributes": {"a": "x" * 40_000}},
    {"flagKey": "asked", "attributes": {str(number): 1 for number in range(101)}}, {"flagKeys": "all"},
    {"flagKeys": [1]}, {"flagKeys": ["nope", "asked"]}, {"context": 7}, {"context": None}, {"context": []},
    {"context": {"targetingKey": 7}}, {"context": {"targetingKey": "x" * 1_025}}, {"context": {"a": "x" * 40_000}},
    {"instance": "", "version": 1}, {"instance": "a", "version": -1}, {"instance": "a", "version": True},
    {"instance": "a", "version": 1, "sdk": 7}, {"instance": "a", "version": 1, "sdk": "x" * 101}, b"x" * 1_100_000,
]  # fmt: skip
HEADERS: list[dict[str, str]] = [
    {},
    {"Content-Type": "text/plain"},
    {"Content-Type": "application/x-www-form-urlencoded"},
    {"Content-Type": ""},
    {"Content-Type": "APPLICATION/JSON; charset=utf-8"},
    {"Content-Encoding": "gzip"},
    {"Content-Encoding": "identity"},
    {"Accept": "text/html"},
    {"Accept": "text/event-stream"},
    {"Accept-Encoding": "gzip"},
    {"X-Tenant-ID": "rival"},
    {"X-Tenant-ID": ""},
    {"X-Request-ID": "mine-1"},
    {"X-Request-ID": "no good\u00e9"},
    {"Origin": ORIGIN},
    {"If-None-Match": '"other", *'},
    {"If-None-Match": '"other"'},
    {"Authorization": "Basic dXNlcg=="},
    {"Authorization": "Bearer"},
    {"Authorization": "Bearer fs_server_aaaaaaaa" + "b" * 43},
    {"X-API-Key": "fs_client_unknown"},
]
METHODS = ["GET", "HEAD", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "POST"]
OFREP_KEYS = ["asked", "nope", "a%2Fb", "%2F", "a/b", "a%20b", "%C3%BC", "x" * 5_000, "..", "%00", "asked%3Fx", "%25"]


def hostile(method: str, path: str, body: Any) -> list[Sent]:
    """Everything that may go wrong with a request to one path."""
    content: Any = body if method == "POST" else b""
    found = [Sent(method, path, content, headers) for headers in HEADERS]
    found += [Sent(other, path, content if other == "POST" else b"", {}, key) for other in METHODS
              for key in ("server", "client", None)]  # fmt: skip
    preflight = {"Origin": ORIGIN, "Access-Control-Request-Method": "POST"}
    found += [Sent("OPTIONS", path, b"", preflight, key) for key in ("server", None)]
    if method == "POST":
        found += [Sent(method, path, other) for other in BODIES]
        found += [Sent(method, path, b"", headers) for headers in HEADERS]
    return found


REQUESTS = {
    **{path: hostile("POST", path, EVALUATE_BODY) for path in routes.EVALUATE.paths},
    **{path: hostile("POST", path, {"userId": "user-1"}) for path in routes.EVALUATE_ALL.paths},
    routes.OFREP_FLAGS.paths[0]: hostile("POST", routes.OFREP_FLAGS.paths[0], OFREP_BODY),
    "which exposures": [
        Sent("POST", f"{path}?exposures={asked}", body)
        for asked in ("none", "experiments", "all", "some", "", "all&exposures=none")
        for path, body in ((routes.EVALUATE_ALL.paths[0], {"userId": "u"}), (routes.OFREP_FLAGS.paths[0], OFREP_BODY))
    ],
    "an OFREP flag": [
        *hostile("POST", "/ofrep/v1/evaluate/flags/asked", OFREP_BODY),
        *(Sent("POST", f"/ofrep/v1/evaluate/flags/{key}", OFREP_BODY) for key in OFREP_KEYS),
        *(Sent("GET", f"/ofrep/v1/evaluate/flags/{key}") for key in OFREP_KEYS),
    ],
    "/api/snapshot": hostile("GET", "/api/snapshot", b""),
    "/v1/configs/{environment}": [
        request for name in ("production", "other", "a%2Fb") for request in hostile("GET", f"/v1/configs/{name}", b"")
    ],
    **{
        # What is in an event is the server's to judge; the edge passes it on.
        path: [
            *(Sent(method, path, b"", {}, key) for method in METHODS for key in ("server", "client", None)
              if method != "POST" or key is None),
            *(Sent("POST", path, {}, headers, None) for headers in HEADERS),
        ]
        for route in (routes.EXPOSURES, routes.CONVERSIONS, routes.METRICS, routes.USAGE) for path in route.paths
    },
    "no route": [
        Sent(method, path, b"", {}, key)
        for path in ("/api/flags/evaluate/", "/api/evaluate/x", "/ofrep/v1/evaluate/flags/", "/ofrep/v1",
                     "/api/events/other", "/api/snapshot/x", "/api/configs/", "/api/configs/a/b", "/api//evaluate")
        for method in METHODS for key in ("server", None)
    ],
}  # fmt: skip
STREAM_REQUESTS = [
    request
    for path in (*routes.STREAM.paths, "/api/stream/other")
    for request in hostile("GET", path.replace("{environment_key}", "production"), b"")
] + [request for path in routes.ACKNOWLEDGE.paths for request in hostile("POST", path, ACK_BODY)]


def _given(sent: Sent, secrets: dict[str, str]) -> dict[str, str]:
    headers = {"Content-Type": "application/json"} if sent.content else {}
    if sent.key is not None:
        headers["Authorization"] = f"Bearer {secrets[sent.key]}"
    headers |= sent.headers
    if sent.content:
        headers["Content-Length"] = str(len(sent.content))
    return headers


def ask_wsgi(application: Any, sent: Sent, secrets: dict[str, str]) -> Got:
    environ: dict[str, Any] = {
        "REQUEST_METHOD": sent.method,
        "PATH_INFO": unquote_to_bytes(sent.path).decode("latin-1"),
        "QUERY_STRING": "",
        "SERVER_NAME": "testserver",
        "SERVER_PORT": "80",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "REMOTE_ADDR": "127.0.0.1",
        "wsgi.input": BytesIO(sent.content),
        "wsgi.url_scheme": "http",
    }
    for name, value in _given(sent, secrets).items():
        variable = name.upper().replace("-", "_")
        environ[variable if variable in {"CONTENT_TYPE", "CONTENT_LENGTH"} else f"HTTP_{variable}"] = value
    started: dict[str, Any] = {}
    chunks = application(environ, lambda status, headers: started.update(status=status, headers=headers))
    headers = {name.lower(): value for name, value in started["headers"]}
    return Got(int(started["status"][:3]), headers, _read(b"".join(chunks)))


async def ask_asgi(application: Any, sent: Sent, secrets: dict[str, str]) -> Got:
    messages: list[Any] = []
    waiting = [{"type": "http.request", "body": sent.content}]

    async def receive() -> Any:
        return waiting.pop() if waiting else {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        messages.append(message)

    headers = [(name.lower().encode(), value.encode("latin-1")) for name, value in _given(sent, secrets).items()]
    path = {"path": unquote(sent.path), "raw_path": sent.path.encode(), "query_string": b""}
    scope = {"type": "http", "method": sent.method, **path, "headers": headers}
    await application(scope, receive, send)
    got = {name.decode(): value.decode("latin-1") for name, value in messages[0]["headers"]}
    return Got(messages[0]["status"], got, _read(b"".join(message.get("body", b"") for message in messages[1:])))


def _read(content: bytes) -> Any:
    try:
        return orjson.loads(content)
    except orjson.JSONDecodeError:
        return content


def _comparable(sent: Sent, got: Got) -> Any:
    headers = {name: value.lower() for name, value in got.headers.items() if name in COMPARED}
    if got.status != 405 and (sent.method, got.status) != ("OPTIONS", 200):
        # The server names the methods with every answer.
        headers.pop("allow", None)
    if not got.body:
        headers.pop("content-type", None)
    body = None if sent.method == "HEAD" else _without_ids(got.body)
    if got.status == 404 and isinstance(body, dict) and body.get("errors", [{}])[0].get("code") == "not_found":
        # An edge names what it is there for, a server its documentation.
        body["errors"][0].pop("detail")
    return got.status, headers, body, bool(got.headers.get("x-request-id"))


def _without_ids(body: Any) -> Any:
    if isinstance(body, dict):
        return {
            name: _without_ids(value)
            for name, value in body.items()
            if name not in {"requestId", "evaluationId", "eventStreams"}
        }
    return [_without_ids(value) for value in body] if isinstance(body, list) else body


@pytest.fixture
def secrets(make_flag, key, monkeypatch):
    monkeypatch.setattr(EXPOSURES, "add", lambda *_args: None)
    make_flag(key="asked", rollout=[{"variant": "treatment", "percent": 25}])
    found = {"server": key("server").secret, "client": key("client").secret}
    RUNTIME.refresh()
    return found


async def _ask_edge(environment: Any, secrets: dict[str, str], requests: list[Sent]) -> list[Got]:
    document = RUNTIME.environments[environment.pk].document()
    options = {"bootstrap": document, "is_offline": True, "start_wait_seconds": 0}
    known = EdgeEnvironment(server_key=secrets["server"], client_keys=(secrets["client"],))
    edge = Edge(EdgeSettings(url="http://127.0.0.1:1", environments=(known,), origins=("*",), options=options))
    await edge.start()
    answers = [await ask_asgi(edge, sent, secrets) for sent in requests]
    await edge.stop()
    return answers


def _differences(requests: list[Sent], server: list[Got], edge: list[Got]) -> list[str]:
    found = []
    for sent, theirs, ours in zip(requests, server, edge, strict=True):
        expected, got = _comparable(sent, theirs), _comparable(sent, ours)
        if expected != got:
            named = f"{sent.method} {sent.path[:60]} {sent.content[:60]!r} {sent.headers} by {sent.key}"
            parts = [(a, b) for a, b in zip(expected, got, strict=True) if a != b]
            found.append(f"{named}\n  server, edge: {parts}")
    return found


@pytest.mark.parametrize("requests", REQUESTS.values(), ids=REQUESTS)
def test_edge__hostile_requests__are_answered_as_by_the_server(environment, secrets, requests):
    server = FastLane(DataPlane(WSGIHandler()))
    theirs = [ask_wsgi(server, sent, secrets) for sent in requests]
    ours = asyncio.run(_ask_edge(environment, secrets, requests))

    differences = _differences(requests, theirs, ours)

    assert not differences, "\n".join([f"{len(differences)} of {len(requests)}", *differences[:12]])


# The stream process looks for an unknown credential on a connection of its own.
@pytest.mark.django_db(transaction=True)
def test_edge__hostile_requests_to_the_stream__are_answered_as_by_the_stream_process(environment, secrets):
    async def ask_both() -> tuple[list[Got], list[Got]]:
        server = [await ask_asgi(stream_process.application, sent, secrets) for sent in refused]
        return server, await _ask_edge(environment, secrets, refused)

    # A request that opens a stream has no end; those are tried in the tests of the streams.
    refused = [sent for sent in STREAM_REQUESTS if not _opens_a_stream(sent)]
    theirs, ours = asyncio.run(ask_both())

    differences = _differences(refused, theirs, ours)

    assert not differences, "\n".join([f"{len(differences)} of {len(refused)}", *differences[:12]])


def _opens_a_stream(sent: Sent) -> bool:
    refuses = "Authorization" in sent.headers or sent.headers.get("X-Tenant-ID") is not None
    return (
        sent.method in {"GET", "HEAD"}
        and sent.key == "server"
        and not refuses
        and not sent.path.endswith(("/ack", "/other"))
    )


def test_acknowledgement__hostile_requests__are_answered_alike_by_web_and_edge(environment, secrets):
    requests = [sent for sent in STREAM_REQUESTS if sent.path.endswith("/ack")]
    server = WSGIHandler()
    theirs = [ask_wsgi(server, sent, secrets) for sent in requests]
    ours = asyncio.run(_ask_edge(environment, secrets, requests))

    differences = _differences(requests, theirs, ours)

    assert not differences, "\n".join([f"{len(differences)} of {len(requests)}", *differences[:12]])


def test_cross_origin__settings__say_what_the_edge_says(settings):
    assert settings.CORS_URLS_REGEX == cross_origin.PATHS
    assert tuple(settings.CORS_ALLOW_METHODS) == cross_origin.ALLOW_METHODS
    assert tuple(settings.CORS_ALLOW_HEADERS) == cross_origin.ALLOW_HEADERS
    assert tuple(settings.CORS_EXPOSE_HEADERS) == cross_origin.EXPOSE_HEADERS
