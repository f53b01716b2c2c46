"""The thread that answers evaluations over gRPC at once: what it answers, what it leaves to others, and its end."""

from __future__ import annotations

import asyncio
import gc
import logging
import threading
from collections.abc import Awaitable, Callable
from typing import Any

import grpc
import pytest
from edge_process import EdgeThread
from openflagship.edge.grpc.settings import GrpcAddress, GrpcSettings
from openflagship.rpc.door import Call, Door
from openflagship.rpc.generated.flagd.evaluation.v2 import evaluation_pb2 as v2
from openflagship.rpc.generated.openflagship.v1 import flagship_pb2 as v1
from openflagship.rpc.lane import core_of
from openflagship.rpc.server import Limits, RpcServer
from openflagship.serving.at_once import WaitsError
from small_platform import SmallPlatform, eventually

_CONFIG: Any = v1.DESCRIPTOR.services_by_name["Config"]
_GET = f"/{_CONFIG.full_name}/GetSnapshot"
_RESOLVE = "/flagd.evaluation.v2.Service/ResolveBoolean"
_SECONDS = 60


async def _echo(message: v1.GetSnapshotRequest, _call: Call) -> v1.GetSnapshotResponse:
    return v1.GetSnapshotResponse(etag=f"{message.if_none_match} {threading.current_thread().name}")


async def _waits(_message: Any, _call: Call) -> Any:
    await asyncio.sleep(0)


async def _fails(_message: Any, _call: Call) -> Any:
    raise ZeroDivisionError


async def _nothing(_message: Any, _call: Call) -> Any:
    yield v1.WatchResponse()


def server_at(address: str, answer: Any) -> RpcServer:
    handler = Door(lambda *_: None).handler(_CONFIG, {"Watch": _nothing, "GetSnapshot": answer})
    limits = Limits(most_bytes=1_000, most_calls=0, keep_alive_seconds=60)
    return RpcServer(address, [(_CONFIG, handler)], limits, is_ready=lambda: True, is_at_once=True)


def serving(act: Callable[[RpcServer, Any], Awaitable[None]], answer: Any = _echo) -> None:
    async def run() -> None:
        server = server_at("127.0.0.1:0", answer)
        await server.start()
        try:
            async with grpc.aio.insecure_channel(f"127.0.0.1:{server.port}") as channel:
                await asyncio.wait_for(act(server, channel), _SECONDS)
        finally:
            await server.stop(0)

    asyncio.run(run())


async def asked(channel: Any, text: str = "") -> str:
    content = await channel.unary_unary(_GET)(v1.GetSnapshotRequest(if_none_match=text).SerializeToString())
    return str(v1.GetSnapshotResponse.FromString(content).etag)


async def status_of(calling: Awaitable[Any]) -> grpc.StatusCode:
    with pytest.raises(grpc.aio.AioRpcError) as error:
        await calling
    return error.value.code()


def test_this_version_of_grpc__has_the_parts_that_the_thread_needs() -> None:
    async def run() -> None:
        assert core_of(grpc.aio.server()) is not None

    asyncio.run(run())


def test_calls__many_at_once__are_each_answered_by_the_thread() -> None:
    async def act(_server: RpcServer, channel: Any) -> None:
        found = await asyncio.gather(*(asked(channel, str(number)) for number in range(500)))
        assert found == [f"{number} openflagship-rpc" for number in range(500)]

    serving(act)


def test_a_method_that_waits_or_fails__is_told_to_its_caller_and_the_next_is_answered(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def act(_server: RpcServer, channel: Any) -> None:
        for _ in range(2):
            assert await status_of(asked(channel)) == grpc.StatusCode.INTERNAL

    serving(act, _waits)
    assert [record.exc_info[0] for record in caplog.records if record.exc_info] == [WaitsError, WaitsError]
    serving(act, _fails)
    assert "ZeroDivisionError" in caplog.text


def test_methods_and_streams_of_others__are_answered_as_ever() -> None:
    async def act(_server: RpcServer, channel: Any) -> None:
        stream = channel.unary_stream(f"/{_CONFIG.full_name}/Watch")(b"")
        assert [message async for message in stream] == [b""]
        unknown = channel.unary_unary(f"/{_CONFIG.full_name}/Nothing")
        assert await status_of(unknown(b"")) == grpc.StatusCode.UNIMPLEMENTED

    serving(act)


def test_message__above_what_grpc_takes__is_refused_and_the_next_is_answered() -> None:
    async def act(_server: RpcServer, channel: Any) -> None:
        assert await status_of(channel.unary_unary(_GET)(b"\0" * 1_000_000)) == grpc.StatusCode.RESOURCE_EXHAUSTED
        assert await asked(channel, "next") == "next openflagship-rpc"

    serving(act)


def test_callers_that_hang_up__before_and_while_they_are_answered__leave_nothing_behind() -> None:
    async def act(_server: RpcServer, channel: Any) -> None:
        # One of these has sent a head and no message.
        silent = channel.stream_unary(_GET)()
        await silent.wait_for_connection()
        calls = [channel.unary_unary(_GET)(b"") for _ in range(200)]
        for one in (silent, *calls):
            one.cancel()
        assert await asked(channel, "next") == "next openflagship-rpc"

    serving(act)


def test_stop__while_a_caller_has_sent_half__ends_the_thread() -> None:
    async def act(server: RpcServer, channel: Any) -> None:
        silent = channel.stream_unary(_GET)()
        await silent.wait_for_connection()
        await asked(channel)
        await server.stop(0)
        assert await status_of(silent) in {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED}
        assert "openflagship-rpc" not in {thread.name for thread in threading.enumerate()}

    serving(act)


def test_stop__of_a_server_whose_address_was_taken__has_nothing_to_end() -> None:
    async def act(server: RpcServer, _channel: Any) -> None:
        other = server_at(f"127.0.0.1:{server.port}", _echo)
        with pytest.raises(OSError, match="it is taken"):
            await other.start()
        await other.stop(0)

    serving(act)


def test_stop__while_calls_come__answers_or_refuses_each_and_ends_the_thread(caplog: pytest.LogCaptureFixture) -> None:
    ended: list[grpc.StatusCode] = []

    async def call_on(channel: Any) -> None:
        while True:
            try:
                await asked(channel)
            except grpc.aio.AioRpcError as error:
                ended.append(error.code())
                return

    async def act(server: RpcServer, channel: Any) -> None:
        calling = [asyncio.ensure_future(call_on(channel)) for _ in range(20)]
        await asked(channel)
        await server.stop(1)
        await asyncio.gather(*calling)
        assert "openflagship-rpc" not in {thread.name for thread in threading.enumerate()}

    for _ in range(10):
        serving(act)
    assert set(ended) <= {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED}
    assert len(ended) == 200
    assert not caplog.records


def test_a_version_of_grpc_without_them__answers_on_the_loop_and_says_so(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(gc, "get_referents", lambda *_: [])

    async def act(_server: RpcServer, channel: Any) -> None:
        assert await asked(channel, "here") == f"here {threading.current_thread().name}"

    with caplog.at_level(logging.WARNING):
        serving(act)
    assert "this version of gRPC" in caplog.text


def test_edge__asked_over_grpc_and_http_at_once__counts_and_exposes_each_answer_once(
    platform: SmallPlatform, run_edge: Callable[..., EdgeThread]
) -> None:
    edge = run_edge(platform.url, grpc=GrpcSettings(addresses=(GrpcAddress("127.0.0.1:0"),)))
    eventually(edge.is_ready)
    ((_, server),) = edge.edge.grpc.servers
    ids: list[str] = []

    def over_http(name: str) -> None:
        for number in range(100):
            sent = {"flagKey": "asked", "userId": f"http-{name}-{number}"}
            ids.append(edge.ask("POST", "/api/evaluate", sent)[1]["evaluationId"])

    def over_grpc(name: str) -> None:
        with grpc.insecure_channel(f"127.0.0.1:{server.port}") as channel:
            resolve = channel.unary_unary(
                _RESOLVE, v2.ResolveBooleanRequest.SerializeToString, v2.ResolveBooleanResponse.FromString
            )
            for number in range(500):
                message = v2.ResolveBooleanRequest(flag_key="asked")
                message.context.update({"targetingKey": f"grpc-{name}-{number}"})
                ids.append(resolve(message, timeout=_SECONDS).metadata["evaluationId"])

    threads = [threading.Thread(target=act, args=(str(name),)) for name in range(2) for act in (over_http, over_grpc)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(ids)) == 1_200
    assert sum(edge.edge.metrics.evaluations.values()) == 1_200
    eventually(lambda: len(platform.exposures()) >= 1_200)
    assert sorted(exposure["evaluationId"] for exposure in platform.exposures()) == sorted(ids)
