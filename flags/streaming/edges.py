"""The stream of an edge's own configuration: the whole of it, at the start and whenever it has changed."""

from __future__ import annotations

import asyncio
from contextlib import suppress

import orjson
from django.conf import settings
from openflagship.wire import credentials, sse
from openflagship.wire.asgi import AsgiRequest, Send, send_part, start_stream, watching
from openflagship.wire.errors import RefusedError

from flags.propagation.runtime import RUNTIME
from flags.streaming.hub import HUB
from tenancy.authentication.edges import edge_configuration
from tenancy.authentication.keyring import KEYRING, Key


def needs_edge(key: Key) -> None:
    """Refuse what is no edge credential, or is one for a single environment. Raises RefusedError."""
    if key.kind != "edge" or key.environment_id is not None:
        raise RefusedError(403, credentials.NEEDS_EDGE_CREDENTIAL)


async def follow(request: AsgiRequest, send: Send, key: Key) -> None:
    """Tell the edge what it serves until its credential is revoked, or one of the two sides ends the stream."""
    news = asyncio.Event()
    is_gone = asyncio.Event()

    def hang_up() -> None:
        is_gone.set()
        news.set()

    seen: int | None = None
    said = told = b""
    with HUB.waking(news.set):
        async with watching(request, hang_up):
            headers = (*sse.HEADERS, (b"x-request-id", request.identify().encode()))
            await start_stream(send, headers, sse.first_part(RUNTIME.age_seconds))
            while not is_gone.is_set() and not HUB.is_draining and request.method != "HEAD":
                # Cleared before the keys are read: what changes meanwhile leads to another look.
                news.clear()
                revision, current = KEYRING.revision, KEYRING.current(key)
                if current is None:
                    break
                if revision != seen:
                    seen, configuration = revision, edge_configuration(current)
                    said = orjson.dumps({**configuration, "revision": 0})
                if said != told:
                    told = said
                    data = orjson.dumps(configuration)
                    await send_part(send, sse.event(credentials.EDGE_EVENT, data, event_id=configuration["revision"]))
                else:
                    # Also where keys of others have changed: however often they do, this edge gets its keep-alives.
                    await send_part(send, sse.keep_alive(RUNTIME.age_seconds))
                with suppress(TimeoutError):
                    await asyncio.wait_for(news.wait(), settings.STREAM_KEEP_ALIVE_SECONDS)
            await send_part(send, b"", is_last=True)
