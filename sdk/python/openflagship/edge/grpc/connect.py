"""An address of an edge where flagd's service speaks Connect, which is HTTP/1.1, beside the edge's own port."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

import uvicorn

from openflagship.edge.processes import bound, sharing
from openflagship.rpc.connect import ConnectApplication
from openflagship.rpc.server import Tls
from openflagship.serving.timed_protocol import TimedProtocol

_START_SECONDS = 0.01
# Longer than callers keep idle connections, so that the caller is the one that closes.
_KEEP_ALIVE_SECONDS = 300
_MOST_CONNECTIONS = 4_096


class _Server(uvicorn.Server):
    @contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        """Leave the signals to the edge's own server, which ends this one."""
        yield


class ConnectServer:
    """Starts and ends as the servers of gRPC do."""

    def __init__(self, host: str, port: int, application: ConnectApplication, *, is_shared: bool) -> None:
        self.host, self.port = host, port
        self._application = application
        self._is_shared = is_shared
        self._serving: asyncio.Task[None] | None = None

    async def start(self, tls: Tls | None = None) -> None:
        """Raises OSError where the address is taken, or is none."""
        files: dict[str, Any] = {}
        if tls is not None:
            files = {"ssl_certfile": str(tls.certificate), "ssl_keyfile": str(tls.key)}
            if tls.client_ca is not None:
                files |= {"ssl_ca_certs": str(tls.client_ca), "ssl_cert_reqs": ssl.CERT_REQUIRED}
        address = (self.host, self.port)
        listening = sharing(*address) if self._is_shared else bound(*address, socket.SO_REUSEADDR)
        self.port = listening.getsockname()[1]
        config = uvicorn.Config(
            self._application,
            http=TimedProtocol,
            ws="none",
            lifespan="off",
            access_log=False,
            proxy_headers=False,
            server_header=False,
            date_header=False,
            log_config=None,
            limit_concurrency=_MOST_CONNECTIONS,
            timeout_keep_alive=_KEEP_ALIVE_SECONDS,
            **files,
        )
        self._server = _Server(config)
        serving = asyncio.create_task(self._server.serve([listening]))
        while not self._server.started and not serving.done():  # noqa: ASYNC110 - uvicorn tells it in no other way
            await asyncio.sleep(_START_SECONDS)
        if not self._server.started:
            listening.close()
            raise OSError(f"Connect cannot listen on {self.host}:{self.port}: {serving.exception()}")
        self._serving = serving

    async def stop(self, grace_seconds: float) -> None:
        """End the calls that are open, at the latest after so long."""
        if self._serving is not None:
            self._server.config.timeout_graceful_shutdown = int(grace_seconds)
            self._server.should_exit = True
            await self._serving
