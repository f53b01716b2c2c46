"""Health and reflection, which ask for no key. None of their callers holds up another one, nor the server's end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import ExitStack, asynccontextmanager
from typing import Any, Final

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from openflagship.rpc.door import peer_of
from openflagship.wire.errors import RefusedError
from openflagship.wire.limits import Places

HEALTH: Final[str] = health_pb2.DESCRIPTOR.services_by_name["Health"].full_name
_MOST: Final = 256
_MOST_OF_ADDRESS: Final = 32
# Of the calls that a server takes at once: the rest is for whoever has a key.
_SHARE: Final = 4


class KeylessStreams:
    """Places for such streams, in all and of each address."""

    def __init__(self, most_calls: int) -> None:
        """`most_calls`: what the server takes at once; 0 for any number."""
        most = min(_MOST, max(1, most_calls // _SHARE)) if most_calls else _MOST
        self._places = Places(most, _MOST_OF_ADDRESS, "address")

    @asynccontextmanager
    async def taken(self, context: Any) -> AsyncIterator[None]:
        """Hold a place. Ends the call where there is none."""
        with ExitStack() as held:
            try:
                held.enter_context(self._places.taken(peer_of(context.peer())[0]))
            except RefusedError as refused:
                await context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, str(refused))
            yield


class Health(health_pb2_grpc.HealthServicer):  # type: ignore[misc]  # its package has no types
    """One state for all services. Whoever does not read keeps nobody waiting: a state is written outside any lock."""

    def __init__(self, names: Iterable[str], streams: KeylessStreams) -> None:
        self._names = frozenset(("", *names))
        self._streams = streams
        self._state: int = health_pb2.HealthCheckResponse.NOT_SERVING
        self._wakers: set[asyncio.Event] = set()

    def tell(self, *, is_serving: bool) -> None:
        states = health_pb2.HealthCheckResponse
        self._state = states.SERVING if is_serving else states.NOT_SERVING
        for woken in self._wakers:
            woken.set()

    async def Check(self, message: Any, context: Any) -> Any:  # noqa: N802 - gRPC's name
        if message.service not in self._names:
            await context.abort(grpc.StatusCode.NOT_FOUND, f"There is no service {message.service!r} here.")
        return health_pb2.HealthCheckResponse(status=self._state)

    async def Watch(self, message: Any, context: Any) -> None:  # noqa: N802 - as above
        async with self._streams.taken(context):
            woken = asyncio.Event()
            told: int | None = None
            self._wakers.add(woken)
            try:
                while True:
                    woken.clear()
                    is_known = message.service in self._names
                    state = self._state if is_known else health_pb2.HealthCheckResponse.SERVICE_UNKNOWN
                    if state != told:
                        await context.write(health_pb2.HealthCheckResponse(status=state))
                        told = state
                    await woken.wait()
            finally:
                self._wakers.discard(woken)


class Reflection(reflection.aio.ReflectionServicer):  # type: ignore[misc]  # as above
    """gRPC's own, with a place for each stream."""

    def __init__(self, names: Iterable[str], streams: KeylessStreams) -> None:
        super().__init__([*names, HEALTH, reflection.SERVICE_NAME])
        self._streams = streams

    async def ServerReflectionInfo(self, request_iterator: Any, context: Any) -> AsyncIterator[Any]:  # noqa: N802 - as above
        async with self._streams.taken(context):
            async for said in super().ServerReflectionInfo(request_iterator, context):
                yield said
