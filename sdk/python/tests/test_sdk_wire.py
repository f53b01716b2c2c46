"""Server-sent events from pieces of any size, waits after failures, and HTTP as far as it is ours."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from openflagship.client.transport.backoff import Backoff
from openflagship.client.transport.effects import Close, Connect, Endpoint, Read, Write
from openflagship.client.transport.http import HttpError, Response, request
from openflagship.client.transport.sse import EventParser, EventTooLargeError, ServerEvent

STREAM = (
    "\ufeffretry: 1500\n\n: keep-alive\n\n: keep-alive age=31.5\n\n"
    'id: 8\nevent: flag_updated\ndata: {"a":\ndata: 1}\n\n'
    "data:no space\r\n\r\nevent: lonely\n\nid: 9\rdata: é\r\rdata: unfinished\n"
)
EVENTS = [
    ServerEvent("flag_updated", '{"a":\n1}', "8"),
    ServerEvent("message", "no space", None),
    ServerEvent("message", "é", "9"),
]


@given(st.lists(st.integers(1, 40), min_size=1))
def test_event_parser__pieces_of_any_size__give_the_same_events(sizes: list[int]) -> None:
    parser, data, found, turn = EventParser(), STREAM.encode(), [], 0
    while data:
        size = sizes[turn % len(sizes)]
        turn += 1
        found += parser.feed(data[:size])
        data = data[size:]

    assert found == EVENTS
    assert (parser.retry_milliseconds, parser.comments, parser.age_seconds) == (1500, 2, 31.5)


@pytest.mark.parametrize("text", [b"data: " + b"x" * 200, b"data: 0123456789\n" * 20])
def test_event_parser__an_event_without_an_end__is_bounded(text: bytes) -> None:
    parser = EventParser(most_bytes=100)
    pieces = [text[start : start + 10] for start in range(0, len(text), 10)]
    with pytest.raises(EventTooLargeError):
        [parser.feed(piece) for piece in pieces]


def test_backoff__failures__double_the_ceiling_up_to_the_most() -> None:
    highest = Backoff(1, 30, random_fraction=lambda: 1.0)
    lowest = Backoff(1, 30, random_fraction=lambda: 0.0)

    assert [highest.next_seconds() for _ in range(7)] == [1, 2, 4, 8, 16, 30, 30]
    assert [lowest.next_seconds() for _ in range(3)] == [0.5, 1, 2]
    highest.reset()
    assert highest.next_seconds() == 1


def drive(answer: bytes, **arguments: Any) -> tuple[Response, bytes]:
    """Run a request against bytes that come a few at a time; the response, and what was sent."""
    logic = request(
        Endpoint.of("http://flags.example.com:8080/base"), "GET", "/api/snapshot", {}, timeout_seconds=1, **arguments
    )
    sent, result, is_closed = b"", None, False
    try:
        while True:
            effect = logic.send(result)
            result = None
            if isinstance(effect, Connect):
                result = "handle"
            elif isinstance(effect, Write):
                sent += effect.data
            elif isinstance(effect, Read):
                result, answer = answer[:7], answer[7:]
            elif isinstance(effect, Close):
                is_closed = True
    except StopIteration as end:
        assert is_closed
        return end.value, sent


def test_request__chunked_answer__is_read_whole() -> None:
    response, sent = drive(
        b'HTTP/1.1 200 OK\r\nETag: "7"\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n3\r\n ye\r\n0\r\n\r\n'
    )

    assert (response.status, response.body, response.headers["etag"]) == (200, b"hello ye", '"7"')
    assert sent.startswith(b"GET /base/api/snapshot HTTP/1.1\r\nHost: flags.example.com:8080\r\n")


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nshort",
        b"HTTP/1.1 200 OK\r\nX: " + b"y" * 100_000,
        b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 3\r\n\r\nabc",
    ],
)
def test_request__an_answer_that_is_none__is_an_error_of_the_network(answer: bytes) -> None:
    with pytest.raises(OSError):  # noqa: PT011 - any of the network's
        drive(answer)


def test_request__header_with_a_line_break__is_never_sent() -> None:
    with pytest.raises(HttpError):
        list(request(Endpoint.of("http://x"), "GET", "/", {"A": "b\r\nC: d"}, timeout_seconds=1))


@pytest.mark.parametrize("url", ["", "flags.example.com", "ftp://x", "http://", "https://:80"])
def test_endpoint__no_http_address__is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="address"):
        Endpoint.of(url)


def test_endpoint__ipv6_and_default_ports__are_named_as_http_wants() -> None:
    assert Endpoint.of("https://[::1]/x/").authority == "[::1]"
    assert Endpoint.of("http://a:81").authority == "a:81"
    assert Endpoint.of("https://a/x/").prefix == "/x"
