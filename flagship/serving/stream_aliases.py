"""What the stream process answers without a prefix beside its streams, for clients that know one address alone.

The data plane's own views answer, in a thread. A body is read here, within its bounds.
"""

from dataclasses import replace
from functools import cache
from typing import Any, Final

from asgiref.wsgi import WsgiToAsgi
from django.conf import settings
from django.core.handlers.wsgi import WSGIHandler
from openflagship.wire.asgi import Receive, Scope, Send, refusal, respond
from openflagship.wire.errors import PARSE_ERROR, RefusedError
from openflagship.wire.reading import GoneError, read_body
from openflagship.wire.request_ids import HEADER, request_id_of
from openflagship.wire.routes import CONVERSIONS, EVALUATE, EXPOSURES, METRICS, SNAPSHOT, USAGE, RouteMap

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
    try:
        return await read_body(receive, most)
    except GoneError as error:
        raise RefusedError(400, "The body broke off. Send it again.", code=PARSE_ERROR) from error
