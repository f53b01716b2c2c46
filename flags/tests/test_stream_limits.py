"""What a caller of the stream process may not do: hold many places, send half a request, acknowledge nonsense."""

import http.client
import socket
import time
from contextlib import closing

import orjson
import pytest
from openflagship.wire import reading
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

from flags.propagation.kill_status import kill_status
from flags.selectors import get_config
from flags.streaming import server
from flags.testing.streams import SECONDS, eventually

KIND = {"Content-Type": "application/json"}


@pytest.fixture
def secret(transactional_db, make_flag, key):
    make_flag("a")
    return key().secret


def web_socket(port, secret, path="/ws/stream"):
    headers = {"Authorization": f"Bearer {secret}", "X-FlagShip-Instance": "pod-7"}
    return connect(f"ws://127.0.0.1:{port}{path}", additional_headers=headers, open_timeout=SECONDS)


@pytest.mark.parametrize(
    "version", [18446744073709551615, True, -1, 1.5, "1", None, [], {"a": 1}, 2**53, 1_000_000, "\x00"]
)
def test_websocket__version_that_cannot_be__closes_it_and_spoils_no_board(environment, secret, stream_port, version):
    with web_socket(stream_port, secret) as connection:
        connection.recv(timeout=SECONDS)
        connection.send(orjson.dumps({"ack": version}).decode())
        with pytest.raises(ConnectionClosed) as closed:
            connection.recv(timeout=SECONDS)

    assert closed.value.rcvd.code == 1007
    services = kill_status(get_config(environment, "a")).services
    assert [service.version for service in services if service.instance == "pod-7"] in ([], [None])


@pytest.mark.parametrize("door", ["stream", "web"])
def test_acknowledge__version_of_the_future__is_400(secret, stream_port, key, door):
    body = orjson.dumps({"instance": "pod-1", "version": 99})
    if door == "web":
        found = key().send("post", "stream/ack", body).json()
    else:
        with closing(http.client.HTTPConnection("127.0.0.1", stream_port, timeout=SECONDS)) as connection:
            connection.request("POST", "/api/stream/ack", body, {**KIND, "Authorization": f"Bearer {secret}"})
            found = orjson.loads(connection.getresponse().read())

    (problem,) = found["errors"]
    assert (problem["attr"], problem["code"]) == ("version", "out_of_range")


def test_websocket__at_another_path__is_404(secret, stream_port):
    with pytest.raises(InvalidStatus) as refused:
        web_socket(stream_port, secret, "/ws/anything")

    assert refused.value.response.status_code == 404
    assert orjson.loads(refused.value.response.body)["errors"][0]["code"] == "not_found"


@pytest.mark.parametrize("bound", ["STREAM_MAX_PER_KEY", "STREAM_MAX_PER_ADDRESS"])
def test_stream__more_than_its_places__is_429_until_one_is_free(secret, listen, stream_port, settings, bound):
    setattr(settings, bound, 2)
    first = listen(secret)
    first.next_event()
    with web_socket(stream_port, secret) as second:
        second.recv(timeout=SECONDS)
        third = listen(secret)
        with web_socket(stream_port, secret) as fourth, pytest.raises(ConnectionClosed) as closed:
            fourth.recv(timeout=SECONDS)

    assert (third.status, third.response.headers["RateLimit-Limit"]) == (429, "2")
    assert third.response.headers["Retry-After"]
    assert closed.value.rcvd.code == 4429
    eventually(lambda: listen(secret).status == 200)


def test_connection__half_a_head_or_half_a_body__is_closed(secret, stream_port, monkeypatch):
    monkeypatch.setattr(server.StreamProtocol, "head_seconds", 0.5)
    monkeypatch.setattr(reading, "BODY_SECONDS", 0.5)
    head = f"POST /api/stream/ack HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {secret}\r\n"
    whole = f"{head}Content-Type: application/json\r\nContent-Length: 100\r\n\r\n{{"
    for sent in ("", head, whole):
        with socket.create_connection(("127.0.0.1", stream_port), timeout=SECONDS) as connection:
            connection.sendall(sent.encode())
            began, answer = time.monotonic(), b""
            try:
                while more := connection.recv(4096):
                    answer += more
            except ConnectionResetError:
                pass  # as good an end
            assert time.monotonic() - began < server._IDLE_SECONDS
        assert answer.startswith(b"HTTP/1.1 408 " if sent == whole else b"")


def test_address__that_a_caller_makes_up__buys_no_requests(secret, stream_port, settings):
    settings.RATE_LIMIT_ADDRESS, settings.TRUST_PROXY_HEADERS = 3, False
    with closing(http.client.HTTPConnection("127.0.0.1", stream_port, timeout=SECONDS)) as connection:
        for number in range(4):
            headers = {"Authorization": f"Bearer {secret}", "X-Forwarded-For": f"203.0.113.{number}"}
            connection.request("OPTIONS", "/api/stream", headers=headers)
            answer = connection.getresponse()
            answer.read()
    assert answer.status == 429


def test_address__that_our_proxy_reports__has_a_limit_of_its_own(secret, stream_port, settings):
    settings.RATE_LIMIT_ADDRESS, settings.TRUST_PROXY_HEADERS, settings.TRUSTED_PROXY_HOPS = 1, True, 2
    with closing(http.client.HTTPConnection("127.0.0.1", stream_port, timeout=SECONDS)) as connection:
        found = []
        for caller in ("203.0.113.1", "203.0.113.2", "203.0.113.1"):
            headers = {"Authorization": f"Bearer {secret}", "X-Forwarded-For": f"198.51.100.7, {caller}, 10.0.0.9"}
            connection.request("OPTIONS", "/api/stream", headers=headers)
            answer = connection.getresponse()
            answer.read()
            found.append(answer.status)
    assert found == [200, 200, 429]


def test_acknowledgement__too_large__ends_the_connection(secret, stream_port):
    said = b" " * 40_000
    head = (
        f"POST /api/stream/ack HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {secret}\r\nContent-Length: {len(said)}\r\n"
    )
    with socket.create_connection(("127.0.0.1", stream_port), timeout=5) as connection:
        # Sooner than one that rests is closed.
        connection.sendall(f"{head}Content-Type: application/json\r\n\r\n".encode() + said)
        answer = b""
        while more := connection.recv(4096):
            answer += more
    assert answer.startswith(b"HTTP/1.1 413 ")
