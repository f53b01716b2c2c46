"""The gRPC server and its door: what a hostile or careless caller gets, streams that nobody reads, and health."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Any

import grpc
import pytest
from google.rpc.status_pb2 import Status
from grpc_health.v1 import health_pb2, health_pb2_grpc
from openflagship.rpc.door import Call, Door
from openflagship.rpc.generated.openflagship.v1 import flagship_pb2 as v1
from openflagship.rpc.keyless import Health, KeylessStreams
from openflagship.rpc.server import Limits, RpcServer
from openflagship.wire.errors import RefusedError

_CONFIG: Any = v1.DESCRIPTOR.services_by_name["Config"]
_MOST_BYTES = 1_000
_SECONDS = 60
_TOO_SLOW = RefusedError(503, "This stream was read too slowly.")


class World:
    """A server of `Config` whose Watch sends more than anybody takes unread, and what was seen of its calls."""

    def __init__(self, *, is_at_once: bool) -> None:
        self._loop, self._is_at_once = asyncio.get_running_loop(), is_at_once
        # Of each call that has ended: its method, its status, its id, and whether it was a stream.
        self.ended: asyncio.Queue[tuple[str, str, str, bool]] = asyncio.Queue()
        self.is_ready = False
        self.is_given_back = False
        # The call whose first message fills all the room that there is.
        self.unread: asyncio.Future[Call] = asyncio.get_running_loop().create_future()
        self.server = self.server_at("127.0.0.1:0")

    def server_at(self, address: str, *, is_shared: bool = False) -> RpcServer:
        handler = Door(self._observe, most_bytes=_MOST_BYTES).handler(
            _CONFIG, {"Watch": self._watch, "GetSnapshot": self._snapshot}
        )
        limits = Limits(most_bytes=_MOST_BYTES, most_calls=10, keep_alive_seconds=60, is_shared=is_shared)
        given = [(_CONFIG, handler)]
        return RpcServer(address, given, limits, is_ready=lambda: self.is_ready, is_at_once=self._is_at_once)

    def _observe(self, call: Call, code: grpc.StatusCode, _seconds: float) -> None:
        found = (call.method.rpartition(".")[2], code.name, call.request.identify(), call.is_stream)
        # From the thread that answers at once, where there is one.
        self._loop.call_soon_threadsafe(self.ended.put_nowait, found)

    async def _snapshot(self, message: v1.GetSnapshotRequest, _call: Call) -> v1.GetSnapshotResponse:
        return v1.GetSnapshotResponse(etag=message.if_none_match)

    async def _watch(self, _message: v1.WatchRequest, call: Call) -> AsyncGenerator[v1.WatchResponse, None]:
        call.held.callback(lambda: setattr(self, "is_given_back", True))
        yield v1.WatchResponse(document=b"x" * 3_000_000)
        self.unread.set_result(call)
        while True:
            yield v1.WatchResponse(document=b"x" * 3_000_000)


def serving(act: Callable[[World, Any], Awaitable[None]], *, is_at_once: bool = False, **channel: Any) -> None:
    async def run() -> None:
        world = World(is_at_once=is_at_once)
        await world.server.start()
        try:
            async with grpc.aio.insecure_channel(f"127.0.0.1:{world.server.port}", **channel) as caller:
                await asyncio.wait_for(act(world, caller), _SECONDS)
        finally:
            await world.server.stop(0)

    asyncio.run(run())


async def refused(channel: Any, content: bytes) -> tuple[grpc.aio.AioRpcError, v1.ErrorBody]:
    """The refusal of a snapshot asked for with these bytes, and its details where it has any."""
    with pytest.raises(grpc.aio.AioRpcError) as error:
        await channel.unary_unary(f"/{_CONFIG.full_name}/GetSnapshot")(content, metadata=[("x-request-id", "mine")])
    body, packed = v1.ErrorBody(), dict(error.value.trailing_metadata()).get("grpc-status-details-bin")
    if packed is not None:
        Status.FromString(packed).details[0].Unpack(body)
    return error.value, body


@pytest.mark.parametrize("is_at_once", [False, True], ids=["on the loop", "at once"])
@pytest.mark.parametrize(
    ("content", "code", "name"),
    [
        (b"\x0a\xff", grpc.StatusCode.INVALID_ARGUMENT, "parse_error"),
        (b"\x0a\x01\xff", grpc.StatusCode.INVALID_ARGUMENT, "parse_error"),
        (b"\0" * (_MOST_BYTES + 1), grpc.StatusCode.RESOURCE_EXHAUSTED, "payload_too_large"),
    ],
    ids=["cut short", "no text", "too large"],
)
def test_message__that_cannot_be_taken__is_refused_by_name_and_counted(
    content: bytes, code: grpc.StatusCode, name: str, is_at_once: bool
) -> None:
    async def act(world: World, channel: Any) -> None:
        error, body = await refused(channel, content)
        assert (error.code(), body.errors[0].code, body.request_id) == (code, name, "mine")
        assert await world.ended.get() == ("GetSnapshot", code.name, "mine", False)

    serving(act, is_at_once=is_at_once)


@pytest.mark.parametrize("is_at_once", [False, True], ids=["on the loop", "at once"])
def test_message__compressed__is_refused_before_it_is_unpacked(is_at_once: bool) -> None:
    async def act(world: World, channel: Any) -> None:
        error, _ = await refused(channel, b"\0" * 50_000_000)
        # It was small on its way, and what unpacks it bounds nothing in some versions of gRPC.
        assert error.code() == grpc.StatusCode.UNIMPLEMENTED
        assert "gzip" in error.details()

    sending: Any = {"compression": grpc.Compression.Gzip, "options": [("grpc.max_send_message_length", -1)]}
    serving(act, is_at_once=is_at_once, **sending)


def test_stream__whose_caller_does_not_read__ends_with_its_refusal_once_it_does() -> None:
    async def act(world: World, channel: Any) -> None:
        stream = channel.unary_stream(f"/{_CONFIG.full_name}/Watch")(b"")
        (await world.unread).cut(_TOO_SLOW)
        with pytest.raises(grpc.aio.AioRpcError) as error:
            await _read_on(stream)
        assert (error.value.code(), error.value.details()) == (grpc.StatusCode.UNAVAILABLE, str(_TOO_SLOW))
        method, code, _, is_stream = await world.ended.get()
        assert (method, code, is_stream, world.is_given_back) == ("Watch", "UNAVAILABLE", True, True)

    serving(act)


async def _read_on(stream: Any) -> None:
    async for content in stream:
        assert len(content) > 3_000_000


def test_stream__whose_caller_hangs_up_unread__is_given_back() -> None:
    async def act(world: World, channel: Any) -> None:
        stream = channel.unary_stream(f"/{_CONFIG.full_name}/Watch")(b"")
        await world.unread
        stream.cancel()
        assert (await world.ended.get())[:2] == ("Watch", "CANCELLED")
        assert world.is_given_back

    serving(act)


def test_health__before_a_configuration_was_had__is_not_serving_and_then_is() -> None:
    async def act(world: World, channel: Any) -> None:
        health = health_pb2_grpc.HealthStub(channel)
        for service in ("", _CONFIG.full_name):
            found = await health.Check(health_pb2.HealthCheckRequest(service=service))
            assert found.status == health_pb2.HealthCheckResponse.NOT_SERVING
        watched = health.Watch(health_pb2.HealthCheckRequest(service=_CONFIG.full_name))
        states = [(await watched.read()).status]
        world.is_ready = True
        states.append((await watched.read()).status)
        world.server.drain()
        states.append((await watched.read()).status)
        assert states == [
            health_pb2.HealthCheckResponse.NOT_SERVING,
            health_pb2.HealthCheckResponse.SERVING,
            health_pb2.HealthCheckResponse.NOT_SERVING,
        ]

    serving(act)


class Watcher:
    """Health's caller, who reads what it is told or nothing at all."""

    def __init__(self, *, reads: bool) -> None:
        self.told: asyncio.Queue[int] = asyncio.Queue()
        self._reads = reads

    def peer(self) -> str:
        return "ipv4:192.0.2.1:5000"

    async def write(self, message: Any) -> None:
        if not self._reads:
            await asyncio.Event().wait()
        self.told.put_nowait(message.status)


def test_health__watched_by_somebody_who_reads_nothing__is_told_to_the_others() -> None:
    async def run() -> None:
        health, watcher = Health([], KeylessStreams(0)), Watcher(reads=True)
        callers = (Watcher(reads=False), watcher)
        watching = [asyncio.ensure_future(health.Watch(health_pb2.HealthCheckRequest(), one)) for one in callers]
        states = [await watcher.told.get()]
        for is_serving in (True, False):
            health.tell(is_serving=is_serving)
            states.append(await watcher.told.get())
        assert states == [
            health_pb2.HealthCheckResponse.NOT_SERVING,
            health_pb2.HealthCheckResponse.SERVING,
            health_pb2.HealthCheckResponse.NOT_SERVING,
        ]
        for one in watching:
            one.cancel()
        await asyncio.gather(*watching, return_exceptions=True)

    asyncio.run(asyncio.wait_for(run(), _SECONDS))


def test_streams__without_a_key__leave_room_for_calls_with_one() -> None:
    async def act(_world: World, channel: Any) -> None:
        health = health_pb2_grpc.HealthStub(channel)
        # A quarter of ten.
        watches = [health.Watch(health_pb2.HealthCheckRequest()) for _ in range(2)]
        for watch in watches:
            await watch.read()
        reflecting = channel.stream_stream("/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo")()
        for one in (health.Watch(health_pb2.HealthCheckRequest()), reflecting):
            with pytest.raises(grpc.aio.AioRpcError) as error:
                await one.read()
            assert error.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
        assert await channel.unary_unary(f"/{_CONFIG.full_name}/GetSnapshot")(b"") == b""

    serving(act)


def test_address__served_already__is_refused_unless_it_is_shared() -> None:
    async def act(world: World, _channel: Any) -> None:
        other = world.server_at(f"127.0.0.1:{world.server.port}")
        with pytest.raises(OSError, match="it is taken"):
            await other.start()
        await other.stop(0)
        one = world.server_at("127.0.0.1:0", is_shared=True)
        await one.start()
        two = world.server_at(f"127.0.0.1:{one.port}", is_shared=True)
        await two.start()
        assert two.port == one.port
        await asyncio.gather(one.stop(0), two.stop(0))

    serving(act)
