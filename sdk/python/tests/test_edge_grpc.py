"""flagd's service on an edge: who may call where, what it is told of a change, TLS of both sides, figures."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
import time
from collections.abc import Callable
from contextlib import closing
from http.client import HTTPConnection, HTTPResponse
from pathlib import Path
from typing import Any

import grpc
import pytest
from edge_process import CLIENT_KEY, EdgeThread
from google.protobuf.message_factory import GetMessageClass
from openflagship.edge import EdgeSettings, processes
from openflagship.edge.__main__ import main
from openflagship.edge.grpc.connect import ConnectServer
from openflagship.edge.grpc.settings import GrpcAddress, GrpcSettings
from openflagship.rpc.connect import ConnectApplication
from openflagship.rpc.generated.flagd.evaluation.v2 import evaluation_pb2 as v2
from openflagship.rpc.server import Tls
from sdk_fixtures import treatment
from small_platform import KEY, SmallPlatform, eventually

# As in `test_client_tls.py`.
CERTIFICATE = Path(__file__).parent / "data" / "tls.pem"
ASKED = {"flag_key": "asked", "context": {"targetingKey": "user-1"}}
_SERVICE = v2.DESCRIPTOR.services_by_name["Service"]


def call(channel: grpc.Channel, name: str, key: str | None = None, **members: object) -> object:
    method = _SERVICE.methods_by_name[name]
    request, response = GetMessageClass(method.input_type), GetMessageClass(method.output_type)
    kind = channel.unary_stream if method.server_streaming else channel.unary_unary
    made = kind(f"/{_SERVICE.full_name}/{name}", request.SerializeToString, response.FromString)
    metadata = [] if key is None else [("authorization", f"Bearer {key}")]
    return made(request(**members), metadata=metadata, timeout=60)


def refused(channel: grpc.Channel, key: str | None = None, flag_key: str = "asked") -> grpc.StatusCode:
    with pytest.raises(grpc.RpcError) as error:
        call(channel, "ResolveBoolean", key, **{**ASKED, "flag_key": flag_key})
    return error.value.code()


def test_edge__on_a_socket_and_on_loopback__needs_no_key_and_tells_of_a_kill(
    platform: SmallPlatform, run_edge: Callable[..., EdgeThread], tmp_path: Path
) -> None:
    platform.flags = {"asked": treatment(), "broken": {"key": "broken"}}
    path = f"unix:{tmp_path / 'flags.sock'}"
    edge = run_edge(platform.url, grpc=GrpcSettings(addresses=(GrpcAddress(path), GrpcAddress("127.0.0.1:0"))))
    eventually(edge.is_ready)
    (_, _), (_, tcp) = edge.edge.grpc.servers
    with grpc.insecure_channel(path) as local, grpc.insecure_channel(f"127.0.0.1:{tcp.port}") as channel:
        for way, key in ((local, None), (channel, None), (channel, CLIENT_KEY)):
            found = call(way, "ResolveBoolean", key, **ASKED)
            assert (found.value, found.reason) == (True, "SPLIT")
        assert refused(channel, "fs_client_nobody") == grpc.StatusCode.UNAUTHENTICATED
        assert refused(channel, flag_key="broken") == grpc.StatusCode.DATA_LOSS

        events = call(local, "EventStream")
        assert next(events).type == "provider_ready"
        started = time.monotonic()
        platform.change(treatment(enabled=False))
        changed = next(event for event in events if event.type != "keep_alive")
        assert list(changed.data["flags"]) == ["asked"]
        assert call(channel, "ResolveBoolean", **ASKED).reason == "DISABLED"
        # It takes milliseconds, but for a busy machine.
        assert time.monotonic() - started < 4

    figures = edge.ask("GET", "/metrics")[1]
    labels = 'method="flagd.evaluation.v2.Service.ResolveBoolean",status="OK"'
    assert f"flagship_edge_grpc_calls_total{{{labels}}} 4.0".encode() in figures
    assert edge.edge.metrics.evaluations["DISABLED"] == 1


def test_edge__asked_in_connects_protocol__answers_as_over_grpc(
    platform: SmallPlatform, run_edge: Callable[..., EdgeThread]
) -> None:
    address = GrpcAddress("127.0.0.1:0", is_connect=True)
    edge = run_edge(platform.url, grpc=GrpcSettings(addresses=(address,)))
    eventually(edge.is_ready)
    ((_, server),) = edge.edge.grpc.servers
    question = v2.ResolveBooleanRequest(flag_key="asked")
    question.context.update({"targetingKey": "user-1"})
    status, headers, content = connected(server.port, "ResolveBoolean", question.SerializeToString())
    answer = v2.ResolveBooleanResponse.FromString(content)
    assert (status, answer.value, answer.reason) == (200, True, "SPLIT")
    assert headers["x-request-id"] == answer.metadata["evaluationId"]
    for method, sent, expected in (
        ("ResolveBoolean", v2.ResolveBooleanRequest(flag_key="nope").SerializeToString(), (404, "not_found")),
        ("ResolveString", question.SerializeToString(), (400, "invalid_argument")),
        ("ResolveBoolean", b"\x0a\xff", (400, "invalid_argument")),
        ("ResolveBoolean", b"\0" * 1_100_000, (429, "resource_exhausted")),
        ("ResolveNothing", b"", (501, "unimplemented")),
    ):
        status, _, content = connected(server.port, method, sent)
        assert (status, json.loads(content)["code"]) == expected
    assert connected(server.port, "ResolveBoolean", b"{}", "application/json")[0] == 415
    assert connected(server.port, "ResolveBoolean", b"", Content_Encoding="gzip")[0] == 501
    # Any page may have been led to this machine's own address, which asks for no key.
    assert connected(server.port, "ResolveBoolean", b"", Origin="https://evil.example.com")[0] == 403

    with (
        closing(HTTPConnection("127.0.0.1", server.port, timeout=60)) as channel,
        streamed(channel) as stream,
    ):
        assert event(stream) == "provider_ready"
        # Whoever hears nothing for long would take the stream for broken.
        hear(stream, "keep_alive")
        platform.change(treatment(enabled=False))
        hear(stream, "configuration_change")
        ending = threading.Thread(target=edge.close)
        ending.start()
        assert ended(stream) == "unavailable"
    ending.join(60)
    assert edge.edge.metrics.grpc_calls["flagd.evaluation.v2.Service.EventStream", "UNAVAILABLE"] == 1


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"\0" * 1_100_000, "resource_exhausted"),
        (b"", "invalid_argument"),
        (b"\0\0\0\0\2x", "invalid_argument"),
        (b"\1\0\0\0\1x", "unimplemented"),
    ],
    ids=["too large", "no envelope", "cut short", "compressed"],
)
def test_edge__asked_for_a_stream_by_no_proper_envelope__says_so_in_its_end(
    connecting: tuple[EdgeThread, int], content: bytes, code: str
) -> None:
    with (
        closing(HTTPConnection("127.0.0.1", connecting[1], timeout=60)) as channel,
        streamed(channel, content) as stream,
    ):
        assert ended(stream) == code
        assert stream.status == 200
        assert not {"server", "date"} & {name.lower() for name in stream.headers}


def test_edge__whose_caller_sends_no_body__waits_for_none_without_a_key_and_not_for_ever_with_one(
    connecting: tuple[EdgeThread, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    edge, port = connecting
    monkeypatch.setattr("openflagship.wire.reading.BODY_SECONDS", 0.1)
    heads = [("fs_client_nobody", "HTTP/1.1 401", "unauthenticated"), (CLIENT_KEY, "HTTP/1.1 504", "deadline_exceeded")]
    for key, status, code in heads:
        with socket.create_connection(("127.0.0.1", port), timeout=60) as caller:
            head = (
                f"POST /{_SERVICE.full_name}/ResolveBoolean HTTP/1.1\r\nHost: edge\r\nAuthorization: Bearer {key}\r\n"
                "Content-Type: application/proto\r\nContent-Length: 1000\r\n\r\n"
            )
            caller.sendall(head.encode())
            answer = b"".join(iter(lambda: caller.recv(65_536), b"")).decode()
        assert answer.startswith(status)
        assert f'"code": "{code}"' in answer
    assert edge.edge.metrics.grpc_calls["flagd.evaluation.v2.Service.ResolveBoolean", "UNAUTHENTICATED"] == 1


def test_connect__that_cannot_start__says_so(tmp_path: Path) -> None:
    broken = tmp_path / "broken.pem"
    broken.write_text("no certificate")
    server = ConnectServer("127.0.0.1", 0, ConnectApplication([], 1_000), is_shared=False)

    with pytest.raises(OSError, match="Connect cannot listen"):
        asyncio.run(server.start(Tls(certificate=broken, key=broken)))

    with socket.create_server(("127.0.0.1", server.port)):
        pass  # nobody has it


@pytest.fixture
def connecting(platform: SmallPlatform, run_edge: Callable[..., EdgeThread]) -> tuple[EdgeThread, int]:
    """An edge and its port for Connect."""
    edge = run_edge(platform.url, grpc=GrpcSettings(addresses=(GrpcAddress("127.0.0.1:0", is_connect=True),)))
    eventually(edge.is_ready)
    return edge, edge.edge.grpc.servers[0][1].port


def connected(
    port: int, method: str, content: bytes, kind: str = "application/proto", **headers: str
) -> tuple[int, Any, bytes]:
    """Status, headers and body of a call in Connect's protocol."""
    sent = {"Content-Type": kind, **{name.replace("_", "-"): text for name, text in headers.items()}}
    with closing(HTTPConnection("127.0.0.1", port, timeout=60)) as channel:
        channel.request("POST", f"/{_SERVICE.full_name}/{method}", content, sent)
        response = channel.getresponse()
        return response.status, response.headers, response.read()


def streamed(channel: HTTPConnection, content: bytes = bytes(5)) -> HTTPResponse:
    channel.request(
        "POST", f"/{_SERVICE.full_name}/EventStream", content, {"Content-Type": "application/connect+proto"}
    )
    return channel.getresponse()


def event(stream: Any) -> str:
    return str(v2.EventStreamResponse.FromString(enveloped(stream)[1]).type)


def hear(stream: Any, kind: str) -> None:
    """Read on until such an event comes."""
    while event(stream) != kind:
        pass


def ended(stream: Any) -> str:
    """The code of the error with which a stream ends."""
    flags, content = enveloped(stream)
    while flags != 2:
        flags, content = enveloped(stream)
    return str(json.loads(content)["error"]["code"])


def enveloped(stream: Any) -> tuple[int, bytes]:
    head = stream.read(5)
    return head[0], stream.read(int.from_bytes(head[1:], "big"))


def test_edge__told_to_end__sends_what_it_answers_to_the_last(
    platform: SmallPlatform, run_edge: Callable[..., EdgeThread]
) -> None:
    edge = run_edge(
        platform.url,
        grpc=GrpcSettings(addresses=(GrpcAddress("127.0.0.1:0"),)),
        options={"flush_seconds": 60.0, "close_wait_seconds": 60.0},
    )
    eventually(edge.is_ready)
    ports = edge.edge.grpc
    stop = ports.stop

    async def answer_once_more() -> None:
        with grpc.insecure_channel(f"127.0.0.1:{ports.servers[0][1].port}") as channel:
            found = await asyncio.to_thread(call, channel, "ResolveBoolean", **ASKED)
            assert found.value is True
        await stop()
        raise OSError("One of the addresses has not ended well.")

    ports.stop = answer_once_more
    edge.close()

    assert [sent["userId"] for sent in platform.exposures()] == ["user-1"]


def test_edge__several_processes_on_an_address_that_is_taken__do_not_start(
    monkeypatch: pytest.MonkeyPatch, platform: SmallPlatform
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        given = {
            "URL": platform.url,
            "KEYS": KEY,
            "PROCESSES": "2",
            "GRPC": f"127.0.0.1:{taken.getsockname()[1]}",
        }
        for name, text in given.items():
            monkeypatch.setenv(f"FLAGSHIP_EDGE_{name}", text)
        monkeypatch.setattr("sys.argv", ["openflagship-edge", "--port", "0"])
        monkeypatch.setattr(processes, "run", lambda *_: pytest.fail("it would share the address"))

        with pytest.raises(SystemExit, match="in use"):
            main()


def test_edge__over_tls__asks_callers_for_a_certificate_and_a_key(
    platform: SmallPlatform, run_edge: Callable[..., EdgeThread]
) -> None:
    # The certificate signs itself, has its key in the same file, and so is everybody's here.
    files = {"certificate": CERTIFICATE, "key": CERTIFICATE, "client_ca": CERTIFICATE}
    edge = run_edge(platform.url, grpc=GrpcSettings(addresses=(GrpcAddress("0.0.0.0:0"),), **files))
    eventually(edge.is_ready)
    ((_, server),) = edge.edge.grpc.servers
    pem = CERTIFICATE.read_bytes()
    with grpc.secure_channel(f"127.0.0.1:{server.port}", grpc.ssl_channel_credentials(pem, pem, pem)) as channel:
        assert call(channel, "ResolveBoolean", CLIENT_KEY, **ASKED).value is True
        # The address is not this machine's alone.
        assert refused(channel) == grpc.StatusCode.UNAUTHENTICATED
    with grpc.secure_channel(f"127.0.0.1:{server.port}", grpc.ssl_channel_credentials(pem)) as channel:
        assert refused(channel, CLIENT_KEY) == grpc.StatusCode.UNAVAILABLE


def test_edge__grpc_in_variables__is_read_or_refused_by_name(tmp_path: Path) -> None:
    environ = {"FLAGSHIP_EDGE_URL": "http://x", "FLAGSHIP_EDGE_KEYS": KEY}
    named = "web/production=127.0.0.1:8013, unix:/run/flags.sock"
    given = {**environ, "FLAGSHIP_EDGE_GRPC": f"{named}, web/staging=connect:127.0.0.1:8014"}
    *found, other = EdgeSettings.from_environ(given).grpc.addresses
    assert found == [GrpcAddress("127.0.0.1:8013", "web/production"), GrpcAddress("unix:/run/flags.sock")]
    assert other == GrpcAddress("127.0.0.1:8014", "web/staging", is_connect=True)
    assert [address.is_local for address in (*found, GrpcAddress("0.0.0.0:8013"), GrpcAddress("[::1]:1"))] == [
        True, True, False, True,
    ]  # fmt: skip
    for name, text in (("FLAGSHIP_EDGE_GRPC", "8013"), ("FLAGSHIP_EDGE_GRPC_CLIENT_CA", str(tmp_path / "none.pem"))):
        with pytest.raises(ValueError, match=name):
            EdgeSettings.from_environ({**given, name: text})
