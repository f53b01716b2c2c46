"""What the `stream` process serves: server-sent events and WebSockets over ASGI, without Django's request machinery.

Django's ASGI handler starts a thread for each request; ten thousand open streams have no use for that (docs/adr/0002).
"""

import asyncio
import os
from typing import Any

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "flagship.settings")
django.setup()

from channels.routing import ProtocolTypeRouter  # noqa: E402 - Django's apps must be loaded first
from django.db import connections  # noqa: E402 - likewise
from openflagship.wire.asgi import respond  # noqa: E402 - likewise

from flags.propagation.runtime import RUNTIME  # noqa: E402 - likewise
from flags.streaming import http  # noqa: E402 - likewise
from flags.streaming.hub import HUB  # noqa: E402 - likewise
from flags.streaming.websocket import websocket  # noqa: E402 - likewise
from flagship.health import metrics_text  # noqa: E402 - likewise
from flagship.serving import stream_aliases  # noqa: E402 - likewise
from tenancy.callers.shared_limits import SHARED_LIMITS  # noqa: E402 - likewise


async def _http(scope: Any, receive: Any, send: Any) -> None:
    if scope["path"] == "/metrics":
        content, content_type = await asyncio.to_thread(metrics_text)
        await respond(send, 200, content, content_type=content_type.encode())
        return
    if stream_aliases.is_one(scope["path"]):
        await stream_aliases.answer(scope, receive, send)
        return
    await http.application(scope, receive, send)


def _start() -> None:
    RUNTIME.start()
    SHARED_LIMITS.start()
    # The thread this ran in has no further use for its connection.
    connections.close_all()


async def _lifespan(_scope: Any, receive: Any, send: Any) -> None:
    while True:
        message = await receive()
        if message["type"] == "lifespan.startup":
            # It may wait for a database that is away, and signals must get through meanwhile.
            await asyncio.to_thread(_start)
            HUB.start()
            await send({"type": "lifespan.startup.complete"})
        else:
            await HUB.stop()
            await asyncio.to_thread(RUNTIME.stop)
            await asyncio.to_thread(SHARED_LIMITS.stop)
            await send({"type": "lifespan.shutdown.complete"})
            return


_by_type = ProtocolTypeRouter({"http": _http, "websocket": websocket, "lifespan": _lifespan})


async def application(scope: Any, receive: Any, send: Any) -> None:
    """Every request of the process. What has a target is answered at once (`StreamProtocol`)."""
    await (http.application if "target" in scope else _by_type)(scope, receive, send)
