"""uvicorn for streams: it ends streams before a shutdown waits for them, and can abort a connection."""

import asyncio
import socket
from typing import Any

import structlog
import uvicorn
from django.conf import settings
from openflagship.serving import interpreter
from openflagship.serving.descriptors import Refusals, most_connections
from openflagship.serving.uvicorn_protocol import AtOnceProtocol
from openflagship.wire import routes

from flags.streaming.hub import HUB

log = structlog.get_logger(__name__)

_BACKLOG = 4_096
_ACKNOWLEDGED = frozenset(routes.ACKNOWLEDGE.paths)
# A connection that sends no further request is closed.
_IDLE_SECONDS = 15
_GRACE_SECONDS = 3


class StreamProtocol(AtOnceProtocol):
    """Answers acknowledgements at once."""

    def target_of(self, path: str) -> Any:
        return routes.ACKNOWLEDGE if path in _ACKNOWLEDGED else None


class StreamServer(uvicorn.Server):
    """A server whose responses do not end by themselves, so a shutdown has to end them first.

    One that `has_process` sets the interpreter of its process for itself.
    """

    def __init__(self, config: uvicorn.Config, *, has_process: bool = False) -> None:
        super().__init__(config)
        self._has_process = has_process
        self._refusals = Refusals()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        self._refusals.watch(asyncio.get_running_loop())
        await super().startup(sockets)
        if self._has_process:
            interpreter.switch_often()
            interpreter.settle()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        HUB.drain()
        await super().shutdown(sockets)
        self._refusals.stop()


def serve(application: Any, *, host: str, port: int) -> None:
    """Serve until SIGTERM or SIGINT."""
    log.info("stream_serves", host=host, port=port)
    StreamServer(configure(application, host=host, port=port), has_process=True).run()
    log.info("stream_stopped")


def configure(application: Any, **address: Any) -> uvicorn.Config:
    return uvicorn.Config(
        application,
        **address,
        http=StreamProtocol,
        lifespan="on",
        loop="uvloop",
        backlog=_BACKLOG,
        limit_concurrency=most_connections(settings.STREAM_MAX_CONNECTIONS),
        timeout_keep_alive=_IDLE_SECONDS,
        timeout_graceful_shutdown=_GRACE_SECONDS,
        # structlog is set up already. A line for each connection would be one for each reconnect of each client.
        log_config=None,
        log_level="warning",
        access_log=False,
        # Whose word is taken for a caller's address is settled in one place (tenancy.callers.addresses).
        proxy_headers=False,
        server_header=False,
        date_header=False,
        ws_per_message_deflate=False,
    )
