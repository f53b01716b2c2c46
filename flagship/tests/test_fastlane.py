"""The fast lane and the data plane answer what all of Django would, and leave to it whatever is not theirs."""

from io import BytesIO
from typing import Any

import orjson
import pytest
from django.core.handlers.wsgi import WSGIHandler
from django.test import RequestFactory
from django.urls import reverse

from analytics.pipeline.exposure_buffer import EXPOSURES
from flags.propagation.runtime import RUNTIME
from flagship.serving.data_plane import DataPlane
from flagship.serving.fast_lane import FastLane

DJANGO = WSGIHandler()
FLAG = {
    "key": "new-checkout",
    "rules": [
        {
            "priority": 1,
            "variant": "treatment",
            "conditions": [{"attribute": "country", "operator": "equals", "value": "DE"}],
        }
    ],
    "rollout": [{"variant": "treatment", "percent": 25}],
}
EVALUATE, OFREP = "/api/flags/evaluate", "/ofrep/v1/evaluate/flags/new-checkout"
PLAIN = [
    (EVALUATE, {"flagKey": "new-checkout", "userId": "user-1"}),
    (EVALUATE, {"flagKey": "new-checkout", "userId": "42", "attributes": {"country": "DE"}, "defaultValue": True}),
    (EVALUATE, {"flagKey": "new-checkout"}),
    ("/v1/evaluate", {"flagKey": "new-checkout", "userId": "ünïcødé"}),
    (OFREP, {"context": {"targetingKey": "user-1"}}),
    (OFREP, {"context": {"country": "DE"}}),
    (OFREP, {}),
]
NOT_PLAIN: list[tuple[str, Any, dict[str, str]]] = [
    (EVALUATE, b"", {}),
    (EVALUATE, b"{", {}),
    (EVALUATE, b"[]", {}),
    (EVALUATE, {"flagKey": 7}, {}),
    (EVALUATE, {"flagKey": "nope", "userId": "u", "defaultValue": 3}, {}),
    (EVALUATE, {"flagKey": "new-checkout", "userId": 7}, {}),
    (EVALUATE, {"flagKey": "new-checkout", "surprise": 7}, {}),
    (EVALUATE, {"flagKey": "new-checkout", "attributes": {"a": "x" * 40_000}}, {}),
    (EVALUATE, {"flagKey": "new-checkout"}, {"HTTP_AUTHORIZATION": "Bearer fs_server_aaaaaaaa" + "b" * 43}),
    (EVALUATE, {"flagKey": "new-checkout"}, {"HTTP_AUTHORIZATION": ""}),
    (EVALUATE, {"flagKey": "new-checkout"}, {"HTTP_X_TENANT_ID": "rival"}),
    (EVALUATE, {"flagKey": "new-checkout"}, {"CONTENT_TYPE": "text/plain"}),
    (EVALUATE, {"flagKey": "new-checkout", "defaultValue": "x" * 1_100_000}, {}),
    (OFREP, b"{", {}),
    (OFREP, {"context": 7}, {}),
    ("/api/flags/evaluate/all", {"flagKeys": "all"}, {}),
    ("/ofrep/v1/evaluate/flags", {"context": 7}, {}),
    ("/ofrep/v1/evaluate/flags/nope", {"context": {}}, {}),
]


@pytest.fixture
def recorded(monkeypatch):
    calls = []
    monkeypatch.setattr(EXPOSURES, "add", lambda *args: calls.append(args))
    return calls


@pytest.fixture
def ask(make_flag, key, recorded):
    """Send one request through a WSGI application; returns status, headers and body."""
    make_flag(**FLAG)
    secret = key().secret
    RUNTIME.refresh()

    def _ask(application, path, body, headers=None):
        content = body if isinstance(body, bytes) else orjson.dumps(body)
        request = RequestFactory().post(
            path, content, content_type="application/json", HTTP_AUTHORIZATION=f"Bearer {secret}"
        )
        environ = {**request.environ, "wsgi.input": BytesIO(content), **(headers or {})}
        started = {}
        chunks = application(environ, lambda status, sent: started.update(status=status, headers=dict(sent)))
        return int(started["status"][:3]), started["headers"], orjson.loads(b"".join(chunks))

    return _ask


def _without_ids(body):
    """The body without what differs from answer to answer, in OFREP's metadata too."""
    kept = {name: value for name, value in body.items() if name not in {"evaluationId", "requestId"}}
    return kept | ({"metadata": _without_ids(kept["metadata"])} if "metadata" in kept else {})


def _refuse(_environ, _start_response):
    raise AssertionError("the lane should have answered this by itself")


LANE, DATA_PLANE = FastLane(_refuse), DataPlane(_refuse)
LANE_BEFORE_DJANGO = FastLane(DJANGO)


@pytest.mark.parametrize("shortened", [LANE, DATA_PLANE], ids=["lane", "data plane"])
@pytest.mark.parametrize(("path", "body"), PLAIN)
def test_plain_request__without_all_of_django__is_answered_as_django_answers(ask, recorded, shortened, path, body):
    status, headers, answer = ask(shortened, path, body)
    exposed = [call[:1] + call[2:9] for call in recorded]
    recorded.clear()
    expected_status, expected_headers, expected = ask(DJANGO, path, body)

    assert (status, _without_ids(answer)) == (expected_status, _without_ids(expected)) == (200, _without_ids(answer))
    assert exposed == [call[:1] + call[2:9] for call in recorded]
    for name in ("Content-Type", "X-Content-Type-Options", "RateLimit-Limit"):
        assert headers[name] == expected_headers[name]
    assert headers["X-Request-ID"]
    assert int(headers["Content-Length"]) > 0


@pytest.mark.parametrize("application", [LANE_BEFORE_DJANGO, DATA_PLANE, DJANGO], ids=["lane", "data plane", "django"])
@pytest.mark.parametrize(
    ("path", "body", "source"),
    [
        (EVALUATE, {"flagKey": "new-checkout", "userId": "u", "source": "checkout"}, "checkout"),
        ("/v1/flags/evaluate/all?exposures=all", {"userId": "u", "source": "checkout"}, "checkout"),
        (EVALUATE, {"flagKey": "new-checkout", "userId": "u"}, "a service"),
        (OFREP, {"context": {"targetingKey": "u"}}, "a service"),
    ],
    ids=["named", "named for all", "by its credential", "OFREP"],
)
def test_exposure__says_which_service_asked(ask, recorded, *, application, path, body, source):
    assert ask(application, path, body)[0] == 200
    assert [call[10] for call in recorded] == [source]


@pytest.mark.parametrize("source", ["", 7, "x" * 101, "a\u0000b"])
def test_source__that_names_nothing__is_refused_by_name(ask, source):
    status, _, answer = ask(LANE_BEFORE_DJANGO, EVALUATE, {"flagKey": "new-checkout", "source": source})

    assert (status, answer["errors"][0]["attr"]) == (400, "source")


@pytest.mark.parametrize("shortened", [LANE, DATA_PLANE], ids=["lane", "data plane"])
@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/api/flags/evaluate/all", {"userId": "user-1"}),
        ("/v1/flags/evaluate/all", {"userId": "user-1", "flagKeys": ["nope", "new-checkout"]}),
        ("/ofrep/v1/evaluate/flags", {"context": {"targetingKey": "user-1"}}),
    ],
)
def test_every_flag__without_all_of_django__is_answered_as_django_answers(ask, recorded, shortened, path, body):
    status, headers, answer = ask(shortened, path, body)
    exposed = [call[:1] + call[2:9] for call in recorded]
    recorded.clear()
    expected_status, expected_headers, expected = ask(DJANGO, path, body)

    assert status == expected_status == 200
    assert headers.get("ETag") == expected_headers.get("ETag")
    assert exposed == [call[:1] + call[2:9] for call in recorded]
    for found in (answer, expected):
        flags = found["flags"]
        for one in flags.values() if isinstance(flags, dict) else (flag["metadata"] for flag in flags):
            assert one.pop("evaluationId")
    assert answer == expected


def test_data_plane__headers__are_django_s_but_for_those_of_pages(ask):
    path, browser = "/ofrep/v1/evaluate/flags", {"HTTP_ORIGIN": "https://shop.example"}
    for sent, more in ((browser, set()), ({}, {"vary"})):
        _, headers, _ = ask(DATA_PLANE, path, {}, sent)
        _, expected, _ = ask(DJANGO, path, {}, sent)

        pages = {"x-frame-options", "content-security-policy"}
        assert {name.lower() for name in headers} == {name.lower() for name in expected} - pages - more


def test_data_plane__after_an_answer__leaves_its_thread_all_routes(ask):
    assert ask(DATA_PLANE, EVALUATE, PLAIN[0][1])[0] == 200
    assert reverse("admin:index") == "/admin/"


def test_data_plane__no_credential_or_another_route__is_all_of_django_s(ask):
    direct = ask(DJANGO, EVALUATE, PLAIN[0][1], {"HTTP_AUTHORIZATION": "Bearer nope"})
    assert ask(DATA_PLANE, EVALUATE, PLAIN[0][1], {"HTTP_AUTHORIZATION": "Bearer nope"})[0] == direct[0] == 401
    with pytest.raises(AssertionError, match="by itself"):
        ask(DATA_PLANE, "/api/flags", {})


@pytest.mark.parametrize(("path", "body", "headers"), NOT_PLAIN)
def test_lane__anything_else__is_django_s_to_answer(ask, path, body, headers):
    through_lane = ask(FastLane(DataPlane(DJANGO)), path, body, headers)
    direct = ask(DJANGO, path, body, headers)

    assert through_lane[0] == direct[0] >= 400
    assert _without_ids(through_lane[2]) == _without_ids(direct[2])


def test_lane__browser_s_request__goes_to_django_for_its_cross_origin_headers(ask):
    _, headers, _ = ask(FastLane(DJANGO), *PLAIN[0], {"HTTP_ORIGIN": "https://shop.example"})

    assert headers["access-control-allow-origin"] == "*"


def test_lane__request_id_of_the_caller__is_sent_back(ask):
    _, headers, _ = ask(FastLane(_refuse), *PLAIN[0], {"HTTP_X_REQUEST_ID": "mine-1"})

    assert headers["X-Request-ID"] == "mine-1"


def test_lane__limit_reached__is_429(ask, settings):
    settings.RATE_LIMIT_KEY = 1
    statuses = [ask(FastLane(DJANGO), *PLAIN[0])[0] for _ in range(3)]

    assert statuses[-1] == 429


def test_lane__no_query__in_the_database(ask, django_assert_num_queries):
    with django_assert_num_queries(0):
        ask(FastLane(_refuse), *PLAIN[0])


@pytest.mark.parametrize("path", ["/api/snapshot", "/v1/configs/production", "/configs/production"])
def test_snapshot__packed_already__needs_no_thread_until_it_changes(environment, make_flag, key, client, path):
    make_flag("a")
    secret = key().secret
    RUNTIME.refresh()
    data_plane = DataPlane(DJANGO)
    sent = {"HTTP_AUTHORIZATION": f"Bearer {secret}", "HTTP_ACCEPT_ENCODING": "gzip"}
    request = RequestFactory().get(path, **sent).environ
    assert data_plane.plain_handler(request) is None, "somebody has to pack it"

    for number in range(2):
        assert client.get(path, **sent).status_code == 200
        assert data_plane.plain_handler(request) is not None
        make_flag(f"b{number}")
        RUNTIME.refresh()
        assert data_plane.plain_handler(request) is None
    assert data_plane.plain_handler({**request, "HTTP_AUTHORIZATION": "Bearer fs_server_nobody"}) is None
