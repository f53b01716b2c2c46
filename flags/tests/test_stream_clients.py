"""Clients of the stream process: acknowledgements, WebSocket, and one that does not read."""

import asyncio
import http.client
import socket
from contextlib import ExitStack
from types import SimpleNamespace

import orjson
import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from flags import services
from flags.propagation.kill_status import kill_status
from flags.selectors import get_config
from flags.streaming import client as limits
from flags.streaming.client import Client
from flags.streaming.hub import HUB
from flags.streaming.stream_events import StreamEvent
from flags.testing.streams import SECONDS, eventually
from tenancy import services as tenancy
from tenancy.models import Credential
from tenancy.testing import ALICE


@pytest.fixture
def flag(transactional_db, environment, make_flag):
    return make_flag("a")


@pytest.fixture
def secret(flag, key):
    return key().secret


@pytest.fixture
def socket_to(stream_port):
    with ExitStack() as opened:

        def _open(secret, query="", **headers):
            sent = {"Authorization": f"Bearer {secret}"}
            sent |= {name.replace("_", "-"): text for name, text in headers.items()}
            address = f"ws://127.0.0.1:{stream_port}/ws/stream{query}"
            return opened.enter_context(connect(address, additional_headers=sent))

        yield _open


@pytest.fixture
def short_queues(secret, stream_port, monkeypatch):
    """A key's secret and the port of a stream whose clients may leave little unread beyond the kernel's buffers."""
    monkeypatch.setattr(limits, "MOST_BYTES_WAITING", 500_000)
    return secret, stream_port


def _service(environment, instance):
    found = [service for service in kill_status(get_config(environment, "a")).services if service.instance == instance]
    return found[0] if found else None


def _receive(connection):
    return orjson.loads(connection.recv(timeout=SECONDS))


def test_websocket__works(environment, secret, socket_to):
    connection = socket_to(secret)

    snapshot = _receive(connection)
    assert (snapshot["event"], snapshot["version"], list(snapshot["data"]["flags"])) == ("snapshot", 1, ["a"])

    services.kill_flag(actor=ALICE, environment=environment, key="a")
    killed = _receive(connection)
    assert (killed["event"], killed["version"], killed["data"]["killSwitchVariant"]) == ("kill_switch", 2, "control")


def test_websocket__last_event_id__replays(environment, secret, socket_to):
    services.kill_flag(actor=ALICE, environment=environment, key="a")
    services.release_flag(actor=ALICE, environment=environment, key="a")

    connection = socket_to(secret, "?lastEventId=1")

    assert [_receive(connection)["version"] for _ in range(2)] == [2, 3]


def test_websocket__acknowledges__is_on_the_board(environment, secret, socket_to):
    connection = socket_to(secret, X_FlagShip_Instance="pod-7", X_FlagShip_SDK="py/1")
    _receive(connection)
    connection.send('{"ack": 1}')
    eventually(lambda: (service := _service(environment, "pod-7")) and service.version == 1)

    services.kill_flag(actor=ALICE, environment=environment, key="a")
    connection.send(orjson.dumps({"ack": _receive(connection)["version"]}).decode())

    service = eventually(lambda: (found := _service(environment, "pod-7")) and found.took_ms is not None and found)
    assert (service.sdk, service.version) == ("py/1", 2)


@pytest.mark.parametrize("junk", ["", "[]", "{}", "nonsense"])
def test_websocket__nonsense__closes_it(secret, socket_to, junk):
    connection = socket_to(secret)
    _receive(connection)
    connection.send(junk)

    with pytest.raises(ConnectionClosed) as closed:
        _receive(connection)
    assert closed.value.rcvd.code == 1007


@pytest.mark.parametrize(("kind", "code"), [("nobody", 4401), ("client", 4403)])
def test_websocket__refused__closes_with_the_status(flag, key, socket_to, kind, code):
    connection = socket_to("fs_server_x" if kind == "nobody" else key(kind).secret)

    with pytest.raises(ConnectionClosed) as closed:
        _receive(connection)
    assert closed.value.rcvd.code == code


def test_websocket__credential_is_revoked__is_closed(secret, socket_to):
    connection = socket_to(secret)
    _receive(connection)

    tenancy.revoke_credential(actor=ALICE, credential=Credential.objects.get(kind="server"))

    with pytest.raises(ConnectionClosed):
        _receive(connection)
    eventually(lambda: HUB.client_count == 0)


def test_websocket__process_is_stopped__closes_and_says_when_to_come_back(secret, socket_to):
    connection = socket_to(secret)
    _receive(connection)

    HUB._loop.call_soon_threadsafe(HUB.drain)

    with pytest.raises(ConnectionClosed) as closed:
        _receive(connection)
    assert closed.value.rcvd.code == 1012
    assert 0 <= int(closed.value.rcvd.reason.removeprefix("retry=")) <= 10_000


def _json_headers(secret):
    return {"Authorization": f"Bearer {secret}", "Content-Type": "application/json"}


def test_sse__named_client_that_acknowledges__is_on_the_board(environment, secret, listen, stream_port):
    stream = listen(secret, last=1, X_FlagShip_Instance="pod-1", X_FlagShip_SDK="node/2")
    service = eventually(lambda: _service(environment, "pod-1"))
    assert (service.sdk, service.version, service.status) == ("node/2", 1, "applied")

    services.kill_flag(actor=ALICE, environment=environment, key="a")
    version = stream.next_event().id
    connection = http.client.HTTPConnection("127.0.0.1", stream_port, timeout=SECONDS)
    body = orjson.dumps({"instance": "pod-1", "version": version})
    connection.request("POST", "/api/stream/ack", body, headers=_json_headers(secret))
    assert connection.getresponse().status == 202
    connection.close()

    eventually(lambda: (found := _service(environment, "pod-1")) and found.took_ms is not None)


@pytest.mark.parametrize(
    ("body", "refusal"),
    [
        (b"{", (400, "client_error", "parse_error")),
        (b"{}", (400, "validation_error", "invalid")),
        (b"x" * 40_000, (413, "client_error", "payload_too_large")),
    ],
)
def test_acknowledge__bad_body__is_refused(secret, stream_port, body, refusal):
    connection = http.client.HTTPConnection("127.0.0.1", stream_port, timeout=SECONDS)
    connection.request("POST", "/api/stream/ack", body, headers=_json_headers(secret))
    response = connection.getresponse()
    answer = orjson.loads(response.read())
    connection.close()

    assert (response.status, answer["type"], answer["errors"][0]["code"]) == refusal


WEBSOCKET = (
    "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
    "Sec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==\r\n"
)


@pytest.mark.parametrize(("path", "upgrade"), [("/api/stream", ""), ("/ws/stream", WEBSOCKET)])
def test_stream__client_that_never_reads__is_dropped_and_the_others_hear_on(
    environment, short_queues, listen, path, upgrade
):
    secret, port = short_queues
    healthy = listen(secret, last=1)
    with socket.create_connection(("127.0.0.1", port)) as stuck:
        stuck.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
        stuck.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {secret}\r\n{upgrade}\r\n".encode())
        eventually(lambda: HUB.client_count == 2)

        for number in range(20):
            big = {"n": "x" * 400_000, "number": number}
            services.update_flag(actor=ALICE, environment=environment, key="a", payload={"metadata": big}, version=None)
            assert healthy.next_event().data["metadata"]["number"] == number

        eventually(lambda: HUB.client_count == 1)


def _client(abort=None):
    return Client(SimpleNamespace(environment_id=1), abort=abort)


def test_client__more_events_than_it_takes__is_dropped_with_an_empty_queue():
    aborted = []
    client = _client(lambda: aborted.append(True))

    for version in range(1, limits.MOST_EVENTS_WAITING + 2):
        client.offer(StreamEvent(version, "flag_updated", b"{}"))

    assert (client.is_closed, client.is_slow, aborted) == (True, True, [True])
    assert asyncio.run(client.take()) == []


def test_client__one_event_larger_than_the_bound__is_delivered():
    client = _client()

    client.offer(StreamEvent(1, "snapshot", b"x" * (limits.MOST_BYTES_WAITING + 1)))

    assert not client.is_closed


def test_client__two_keep_alives_and_nothing_taken__is_dropped():
    client = _client()
    client.keep_alive()
    assert not client.is_closed

    client.keep_alive()

    assert client.is_slow


def test_client__takes_between_keep_alives__stays():
    client = _client()
    for _ in range(3):
        client.keep_alive()
        asyncio.run(client.take())
        client.needs_keep_alive = False

    assert not client.is_closed
