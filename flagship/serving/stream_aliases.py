"""What the stream process answers without a prefix beside its streams, for clients that know one address alone.

The data plane's own views answer, in a thread. A body is read here, within its bounds.
"""

import asyncio
from dataclasses import replace
from functools import cache
from typing import Any, Final

from asgiref.wsgi import WsgiToAsgi
from django.conf import settings
from django.core.handlers.wsgi import WSGIHandler
from openflagship.wire.asgi import Receive, Scope, Send, refusal, respond
from openflagship.wire.errors import RefusedError
from openflagship.wire.request_ids import HEADER, request_id_of
from openflagship.wire.routes import CONVERSIONS, EVALUATE, EXPOSURES, METRICS, SNAPSHOT, USAGE, RouteMap

from flags.streaming.http import BODY_SECONDS

_EVENTS: Final = frozenset(path for route in (EXPOSURES, CONVERSIONS, METRICS, USAGE) for path in route.plain)
_OF_THE_WIRE: Final = frozenset({b"content-length", b"transfer-encoding"})
_OTHERS: Final = RouteMap((replace(route, templates=()), True) for route in (EVALUATE, SNAPSHOT))


def is_one(path: str) -> bool:
    return path in _EVENTS or _OTHERS.find(path) is not None


@cache
def _application() -> Any:
    # Made with the first request of this kind: most stream processes never have one.
    return WsgiToAsgi(WSGIHandler())


async def answer(scope: Scope, receive: Receive, send: Send) -> None:
    # WSGI would take a header with an underscore for the one with a hyphen.
    headers = [(name, value) for name, value in scope["headers"] if b"_" not in name and name not in _OF_THE_WIRE]
    try:
        body = await _body(scope, receive)
    except RefusedError as error:
        given = dict(headers).get(HEADER.lower().encode(), b"").decode("latin-1")
        request_id = request_id_of(given)
        status, content, more = refusal(error, request_id)
        await respond(send, status, content, headers=(*more, (HEADER.lower().encode(), request_id.encode())))
        return

    # A body in chunks has no length of its own.
    headers.append((b"content-length", str(len(body)).encode()))

    async def whole() -> dict[str, Any]:
        return {"type": "http.request", "body": body, "more_body": False}

    await _application()({**scope, "headers": headers}, whole, send)


async def _body(scope: Scope, receive: Receive) -> bytes:
    most = settings.MAX_EVENTS_BODY_BYTES if scope["path"] in _EVENTS else settings.MAX_BODY_BYTES
    parts: list[bytes] = []
    size = 0
    try:
        async with asyncio.timeout(BODY_SECONDS):
            while True:
                message = await receive()
                if message["type"] == "http.disconnect":
                    raise RefusedError(400, "The body broke off. Send it again.", code="parse_error")
                parts.append(message.get("body", b""))
                size += len(parts[-1])
                if size > most:
                    raise RefusedError(413, f"The body is larger than {most:,} bytes.", code="payload_too_large")
                if not message.get("more_body"):
                    return b"".join(parts)
    except TimeoutError:
        detail = f"The body did not arrive within {BODY_SECONDS:g} seconds. Send it again."
        raise RefusedError(408, detail, code="request_timeout", headers=[("Connection", "close")]) from None
