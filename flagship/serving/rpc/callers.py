"""Who calls over gRPC: found, limited and refused by what does so for streams over HTTP."""

import asyncio
import math
from collections.abc import AsyncGenerator, AsyncIterator
from typing import TypeVar

import orjson
from openflagship.rpc.affected import Changes
from openflagship.rpc.door import Call, StreamCall
from openflagship.stream_kinds import FLAG_KINDS, SEGMENT_KINDS
from openflagship.wire import credentials
from openflagship.wire.answers import Responder
from openflagship.wire.errors import RefusedError

from flags.evaluation.answers import Caller, OfrepCaller, responder_of
from flags.propagation.runtime import RUNTIME
from flags.streaming import http
from flags.streaming.client import Client
from flags.streaming.hub import HUB, UnknownEnvironmentError
from flags.streaming.places import PLACES
from flags.streaming.stream_events import StreamEvent
from tenancy.authentication.keyring import KEYRING, Key

_Message = TypeVar("_Message")
_TOO_SLOW = "This stream was read too slowly. Open it again; it goes on from the version that you have."


async def key_of(call: Call, *, needs_rules: bool = False) -> Key:
    """The live key of one environment that the call presents, within its limits. Raises RefusedError."""
    key = await http.authenticate_or_ask(call.request)
    call.caller = key.name
    if needs_rules:
        http.needs_rules(key)
    elif key.environment_id is None:
        raise RefusedError(403, credentials.NEEDS_ENVIRONMENT_KEY)
    http.limit(key, call.request.scope)
    return key


def recorder_of(kind: type[Caller], key: Key, call: Call) -> Caller:
    user_agent = call.request.header(b"user-agent") or None
    return kind(key.environment_id or 0, key.name, user_agent, key.prefix)


class DrainingError(RefusedError):
    """The end of a stream whose process is being replaced."""

    def __init__(self, retry_milliseconds: int | None = None) -> None:
        self.retry_milliseconds = retry_milliseconds
        super().__init__(503, http.DRAINING, retry_after_seconds=max(1, math.ceil((retry_milliseconds or 0) / 1000)))


async def follow(
    key: Key, call: StreamCall, last: int | None, *, instance: str = "", sdk: str = ""
) -> AsyncGenerator[list[StreamEvent], None]:
    """The events after version `last`, as they come. Nothing comes first, and whenever a keep-alive is due.

    Raises RefusedError: before the first item where the stream is refused, and at its end.
    """
    http.admit(key, "")
    too_slow = RefusedError(503, _TOO_SLOW)
    client = Client(key, instance=instance[:100], sdk=sdk[:100], abort=lambda: call.cut(too_slow))
    _take_place(key, call)
    try:
        await HUB.join(client, last)
    except UnknownEnvironmentError as error:
        raise RefusedError(503, credentials.NOT_READY) from error
    try:
        yield []
        while not client.is_closed:
            events = await client.take()
            client.needs_keep_alive = False
            yield events
    finally:
        client.close()
        HUB.leave(client)
    if not KEYRING.holds(key):
        raise RefusedError(401, credentials.UNKNOWN_CREDENTIAL)
    raise too_slow if client.is_slow else DrainingError(client.retry_milliseconds)


async def received(messages: AsyncIterator[_Message], key: Key, call: StreamCall) -> AsyncGenerator[_Message, None]:
    """What a caller sends on its stream, for as long as its key is valid and this process stays. Raises RefusedError.

    A message that was given out is answered before the end.
    """
    _take_place(key, call)
    woken = asyncio.Event()
    reading: asyncio.Task[_Message | None] | None = None
    with HUB.waking(woken.set):
        try:
            while True:
                woken.clear()
                if not KEYRING.holds(key):
                    raise RefusedError(401, credentials.UNKNOWN_CREDENTIAL)
                if HUB.is_draining:
                    raise DrainingError
                if reading is None:
                    reading = asyncio.create_task(_next(messages))
                elif reading.done():
                    message, reading = reading.result(), None
                    if message is None:
                        return
                    yield message
                    continue
                waking = asyncio.create_task(woken.wait())
                await asyncio.wait((reading, waking), return_when=asyncio.FIRST_COMPLETED)
                waking.cancel()
        finally:
            if reading is not None:
                reading.cancel()


async def _next(messages: AsyncIterator[_Message]) -> _Message | None:
    return await anext(messages, None)


def _take_place(key: Key, call: StreamCall) -> None:
    """A place among the open streams, until the call is over. Raises RefusedError."""
    call.held.enter_context(PLACES.taken(key.prefix, http.address_of(call.request.scope)))


class FlagdDesk:
    """One caller of flagd's service."""

    def __init__(self, key: Key, call: Call) -> None:
        self._key = key
        self.recorder = recorder_of(OfrepCaller, key, call)

    @property
    def responder(self) -> Responder:
        return responder_of(self.recorder)

    async def changes(self, call: StreamCall) -> AsyncGenerator[Changes, None]:
        http.admit(self._key, "")
        version = RUNTIME.environments[self._key.environment_id or 0].version
        is_first = True
        async for events in follow(self._key, call, version):
            if events or is_first:
                yield Changes.merged(_changes_of(event) for event in events)
            is_first = False


class FlagdHost:
    """Whoever has a server key or a client key."""

    async def enter(self, call: Call) -> FlagdDesk:
        return FlagdDesk(await key_of(call), call)


def _changes_of(event: StreamEvent) -> Changes:
    if event.kind not in FLAG_KINDS and event.kind not in SEGMENT_KINDS:
        return Changes(is_all=True)
    key = frozenset({str(orjson.loads(event.body)["key"])})
    return Changes(flags=key) if event.kind in FLAG_KINDS else Changes(segments=key)
