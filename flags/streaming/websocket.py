"""The stream over WebSocket, a Channels consumer on the same hub; acknowledgements come back on the same connection."""

from __future__ import annotations

import asyncio
from typing import Any
from urllib.parse import parse_qs

import orjson
from channels.generic.websocket import AsyncWebsocketConsumer
from channels.routing import URLRouter
from django.urls import path
from openflagship.wire import routes, sse
from openflagship.wire.asgi import AsgiRequest
from openflagship.wire.errors import RefusedError

from flags.propagation.acknowledgements import ACKNOWLEDGEMENTS
from flags.streaming.client import Client
from flags.streaming.http import admit, authenticate, client_of
from flags.streaming.hub import HUB, UnknownEnvironmentError

# Close codes: 1012 is "service restart"; those from 4000 on carry the HTTP status they stand for.
_RESTART, _TOO_SLOW = 1012, 1008


class StreamConsumer(AsyncWebsocketConsumer):
    """`{event, version, data}` out, `{"ack": version}` in. `?lastEventId=` asks for what was missed since."""

    # No channel layer: the hub has the process's one subscription, and a layer would add one for each connection.
    channel_layer_alias = "none"
    _client: Client | None = None
    _writer: asyncio.Task[None] | None = None

    async def connect(self) -> None:
        request = AsgiRequest(self.scope)
        try:
            key = authenticate(request)
            admit(key, "")
            client = client_of(request, key)
            sent = parse_qs(request.query.decode("latin-1")).get("lastEventId", [request.header(b"last-event-id")])
            await HUB.join(client, sse.last_event_id(sent[0]))
        except (RefusedError, UnknownEnvironmentError) as error:
            await self.accept()
            await self.close(4000 + getattr(error, "status", 503), str(error)[:120])
            return
        self._client = client
        await self.accept()
        self._writer = asyncio.create_task(self._write(client))

    async def disconnect(self, code: int) -> None:  # noqa: ARG002 - Channels' signature
        if self._client is not None:
            self._client.close()
            HUB.leave(self._client)
        if self._writer is not None:
            self._writer.cancel()

    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        try:
            message: Any = orjson.loads(text_data or bytes_data or b"")
            version = message["ack"]
        except (ValueError, TypeError, KeyError):
            await self.close(1007, 'Send {"ack": version}.')
            return
        if self._client is not None and self._client.instance and isinstance(version, int) and version >= 0:
            ACKNOWLEDGEMENTS.add(self._client.key.environment_id, self._client.instance, self._client.sdk, version)

    async def _write(self, client: Client) -> None:
        while not client.is_closed:
            for event in await client.take():
                await self.send(text_data=event.frame)
            # Pings are the server's business here (uvicorn's ws_ping_interval).
            client.needs_keep_alive = False
        if client.is_slow:
            await self.close(_TOO_SLOW, "too slow")
        else:
            reason = "" if client.retry_milliseconds is None else f"retry={client.retry_milliseconds}"
            await self.close(_RESTART, reason)


websocket = URLRouter([path(each[1:], StreamConsumer.as_asgi()) for each in routes.WEBSOCKET.paths])
