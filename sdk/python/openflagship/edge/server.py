"""The server of an edge, alone or as one of several processes."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import sys
from typing import Any

import uvicorn

from openflagship.edge.application import Edge
from openflagship.edge.processes import START_FAILED, Place, sharing
from openflagship.edge.settings.edge_settings import EdgeSettings
from openflagship.edge.settings.variables import tls_files
from openflagship.serving.descriptors import Refusals, most_connections
from openflagship.serving.interpreter import settle

_GRACE_SECONDS = 3
# Longer than callers keep idle connections, so that the caller is the one that closes.
_KEEP_ALIVE_SECONDS = 75


class EdgeServer(uvicorn.Server):
    """Ends the streams before it waits for the other requests."""

    def __init__(self, config: uvicorn.Config, edge: Edge) -> None:
        super().__init__(config)
        self._edge = edge
        self._refusals = Refusals()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        self._refusals.watch(asyncio.get_running_loop())
        await super().startup(sockets)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._edge.drain()
        await super().shutdown(sockets)
        self._refusals.stop()


def _protocol() -> Any:
    try:
        from openflagship.edge.protocol import EdgeProtocol  # noqa: PLC0415 - it needs httptools, which is CPython's
    except ImportError:
        return "auto"
    return EdgeProtocol


def configure(edge: Edge, **address: Any) -> uvicorn.Config:
    return uvicorn.Config(
        edge,
        **address,
        http=_protocol(),
        ws="none",
        lifespan="on",
        access_log=False,
        # The edge identifies callers by their key alone.
        proxy_headers=False,
        server_header=False,
        date_header=False,
        log_config=None,
        timeout_graceful_shutdown=_GRACE_SECONDS,
        timeout_keep_alive=_KEEP_ALIVE_SECONDS,
        limit_concurrency=most_connections(edge.settings.most_connections),
    )


def serve(host: str, port: int, place: Place) -> None:
    """Serve as one of several processes."""
    log_plainly()
    edge = edge_of(place)
    run(edge, configure(edge, host=host, port=port, **tls_files(os.environ)), [sharing(host, port)])


def run(edge: Edge, config: uvicorn.Config, sockets: list[socket.socket] | None = None) -> None:
    server = EdgeServer(config, edge)
    server.run(sockets)
    if not server.started:
        sys.exit(START_FAILED)


def log_plainly() -> None:
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")


def edge_of(place: Place | None = None) -> Edge:
    return Edge(EdgeSettings.from_environ(os.environ), settle, place)
