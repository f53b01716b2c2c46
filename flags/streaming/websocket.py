"""The stream over WebSocket, a Channels consumer on the same hub; acknowledgements come back on the same connection."""

from __future__ import annotations

import asyncio
from typing import Any
from urllib.parse import parse_qs

import orjson
from channels.consumer import get_handler_name
from channels.exceptions import StopConsumer
from channels.generic.websocket import AsyncWebsocketConsumer
from channels.routing import URLRouter
from django.urls import path
from openflagship.wire import routes, sse
from openflagship.wire.acknowledgements import acknowledgement_of
from openflagship.wire.asgi import JSON, AsgiRequest, refusal
from openflagship.wire.errors import RefusedError

from flags.propagation.acknowledgements import ACKNOWLEDGEMENTS
from flags.streaming.client import Client
from flags.streaming.http import address_of, admit, authenticate_or_ask, client_of, limit, needs_rules, refuse_future
from flags.streaming.hub import HUB, UnknownEnvironmentError
from flags.streaming.places import PLACES

# Close codes: 1012 is "service restart"; those from 4000 on carry the HTTP status they stand for.
_RESTART, _TOO_SLOW, _INVALID, _TOO_MUCH = 1012, 1008, 1007, 4429


class StreamConsumer(AsyncWebsocketConsumer):
    """`{event, version, data}` out, `{"ack": version, features?, notUnderstood?}` in.

    `?lastEventId=` asks for what was missed since.
    """

    # No channel layer: the hub has the process's one subscription, and a layer would add one for each connection.
    channel_layer_alias = "none"
    _client: Client | None = None
    _writer: asyncio.Task[None] | None = None
    # The key and the address whose place it has.
    _place: tuple[str, str] | None = None

    # Channels closes old connections of the database around each message, in the one thread that everything in the
    # process shares: whatever is at work there would hold up every connection. Nothing here uses the database on it.
    async def dispatch(self, message: dict[str, Any]) -> None:
        await getattr(self, get_handler_name(message))(message)

    async def websocket_disconnect(self, message: dict[str, Any]) -> None:
        await self.disconnect(message["code"])
        raise StopConsumer

    async def connect(self) -> None:
        request = AsgiRequest(self.scope)
        try:
            key = await authenticate_or_ask(request)
            needs_rules(key)
            limit(key, self.scope)
            admit(key, "")
            PLACES.take(key.prefix, address_of(self.scope))
            self._place = (key.prefix, address_of(self.scope))
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
        if self._place is not None:
            PLACES.give_back(*self._place)
            self._place = None
        if self._client is not None:
            self._client.close()
            HUB.leave(self._client)
        if self._writer is not None:
            self._writer.cancel()

    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        client = self._client
        if client is None:
            return
        try:
            limit(client.key, self.scope)
            message: Any = orjson.loads(text_data or bytes_data or b"")
            said = acknowledgement_of({
                **message, "instance": client.instance or "unnamed", "sdk": client.sdk, "version": message["ack"]
            })  # fmt: skip
            await refuse_future(client.key, said.version)
        except RefusedError as error:
            await self.close(_TOO_MUCH if error.status == 429 else _INVALID, str(error)[:120])
        except (ValueError, TypeError, KeyError):
            await self.close(_INVALID, 'Send {"ack": version}.')
        else:
            if client.instance:
                environment_id = client.key.environment_id
                ACKNOWLEDGEMENTS.add(environment_id, client.instance, client.sdk, said.version, said.understanding)

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


_router = URLRouter([path(each[1:], StreamConsumer.as_asgi()) for each in routes.WEBSOCKET.paths])


async def websocket(scope: Any, receive: Any, send: Any) -> None:
    """Every WebSocket of the stream process; another path is a 404, as it is over HTTP."""
    if scope["path"] in routes.WEBSOCKET.paths:
        await _router(scope, receive, send)
        return
    await receive()
    if "websocket.http.response" in scope.get("extensions", {}):
        error = RefusedError(404, f"Here is {routes.WEBSOCKET.paths[0]}, and nothing else.")
        status, body, headers = refusal(error, AsgiRequest(scope).identify())
        start = [(b"content-type", JSON), *headers]
        await send({"type": "websocket.http.response.start", "status": status, "headers": start})
        await send({"type": "websocket.http.response.body", "body": orjson.dumps(body)})
    else:
        await send({"type": "websocket.close"})
