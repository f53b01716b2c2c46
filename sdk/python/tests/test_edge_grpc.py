"""flagd's service on an edge: who may call where, what it is told of a change, TLS of both sides, figures."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Callable
from pathlib import Path

import grpc
import pytest
from edge_process import CLIENT_KEY, EdgeThread
from google.protobuf.message_factory import GetMessageClass
from openflagship.edge import EdgeSettings, processes
from openflagship.edge.__main__ import main
from openflagship.edge.grpc.settings import GrpcAddress, GrpcSettings
from openflagship.rpc.generated.flagd.evaluation.v2 import evaluation_pb2 as v2
from sdk_fixtures import treatment
from small_platform import SmallPlatform, eventually

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


def refused(channel: grpc.Channel, key: str | None = None) -> grpc.StatusCode:
    with pytest.raises(grpc.RpcError) as error:
        call(channel, "ResolveBoolean", key, **ASKED)
    return error.value.code()


def test_edge__on_a_socket_and_on_loopback__needs_no_key_and_tells_of_a_kill(
    platform: SmallPlatform, run_edge: Callable[..., EdgeThread], tmp_path: Path
) -> None:
    path = f"unix:{tmp_path / 'flags.sock'}"
    edge = run_edge(platform.url, grpc=GrpcSettings(addresses=(GrpcAddress(path), GrpcAddress("127.0.0.1:0"))))
    eventually(edge.is_ready)
    (_, _), (_, tcp) = edge.edge.grpc.servers
    with grpc.insecure_channel(path) as local, grpc.insecure_channel(f"127.0.0.1:{tcp.port}") as channel:
        for way, key in ((local, None), (channel, None), (channel, CLIENT_KEY)):
            found = call(way, "ResolveBoolean", key, **ASKED)
            assert (found.value, found.reason) == (True, "SPLIT")
        assert refused(channel, "fs_client_nobody") == grpc.StatusCode.UNAUTHENTICATED

        events = call(local, "EventStream")
        assert next(events).type == "provider_ready"
        started = time.monotonic()
        platform.change(treatment(enabled=False))
        assert list(next(events).data["flags"]) == ["asked"]
        assert call(channel, "ResolveBoolean", **ASKED).reason == "DISABLED"
        # It takes milliseconds, but for a busy machine.
        assert time.monotonic() - started < 4

    figures = edge.ask("GET", "/metrics")[1]
    labels = 'method="flagd.evaluation.v2.Service.ResolveBoolean",status="OK"'
    assert f"flagship_edge_grpc_calls_total{{{labels}}} 4.0".encode() in figures
    assert edge.edge.metrics.evaluations["DISABLED"] == 1


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

    ports.stop = answer_once_more
    edge.close()

    assert [sent["userId"] for sent in platform.exposures()] == ["user-1"]


def test_edge__several_processes_on_an_address_that_is_taken__do_not_start(
    monkeypatch: pytest.MonkeyPatch, platform: SmallPlatform
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        given = {
            "URL": platform.url,
            "KEYS": CLIENT_KEY,
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
    environ = {"FLAGSHIP_EDGE_URL": "http://x", "FLAGSHIP_EDGE_KEYS": CLIENT_KEY}
    given = {**environ, "FLAGSHIP_EDGE_GRPC": "web/production=127.0.0.1:8013, unix:/run/flags.sock"}
    found = EdgeSettings.from_environ(given).grpc.addresses
    assert found == (GrpcAddress("127.0.0.1:8013", "web/production"), GrpcAddress("unix:/run/flags.sock"))
    assert [address.is_local for address in (*found, GrpcAddress("0.0.0.0:8013"), GrpcAddress("[::1]:1"))] == [
        True, True, False, True,
    ]  # fmt: skip
    for name, text in (("FLAGSHIP_EDGE_GRPC", "8013"), ("FLAGSHIP_EDGE_GRPC_CLIENT_CA", str(tmp_path / "none.pem"))):
        with pytest.raises(ValueError, match=name):
            EdgeSettings.from_environ({**given, name: text})
