"""`openflagship-edge`, or `python -m openflagship.edge`: serve an edge until SIGTERM or SIGINT."""

from __future__ import annotations

import argparse
import gc
import logging
import os
import socket
import sys
from typing import Any

import uvicorn

from openflagship.edge.application import Edge
from openflagship.edge.settings import EdgeSettings

_GRACE_SECONDS = 3
# Longer than callers keep idle connections, so that the caller is the one that closes.
_KEEP_ALIVE_SECONDS = 75


class EdgeServer(uvicorn.Server):
    """Ends the streams before it waits for the other requests."""

    def __init__(self, config: uvicorn.Config, edge: Edge) -> None:
        super().__init__(config)
        self._edge = edge

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._edge.drain()
        await super().shutdown(sockets)


def _settle() -> None:
    """Exclude the loaded flags from garbage collection: a pass over ten thousand flags would delay requests."""
    gc.unfreeze()
    gc.collect()
    gc.freeze()


def configure(edge: Edge, **address: Any) -> uvicorn.Config:
    return uvicorn.Config(
        edge,
        **address,
        lifespan="on",
        access_log=False,
        # The edge identifies callers by their key alone.
        proxy_headers=False,
        server_header=False,
        date_header=False,
        log_config=None,
        timeout_graceful_shutdown=_GRACE_SECONDS,
        timeout_keep_alive=_KEEP_ALIVE_SECONDS,
    )


def main() -> None:
    """Options set the address, variables all else: see docs/guides/edge.md."""
    parser = argparse.ArgumentParser(prog="openflagship-edge", description=__doc__)
    parser.add_argument("--host", default=os.environ.get("FLAGSHIP_EDGE_HOST", "127.0.0.1"))
    parser.add_argument("--port", type=int, default=int(os.environ.get("FLAGSHIP_EDGE_PORT", "8090")))
    arguments = parser.parse_args()
    certificate, key = (os.environ.get(f"FLAGSHIP_EDGE_TLS_{name}") or None for name in ("CERTIFICATE", "KEY"))
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    try:
        edge = Edge(EdgeSettings.from_environ(os.environ), _settle)
    except ValueError as error:
        sys.exit(f"openflagship-edge: {error}")
    if key and not certificate:
        sys.exit("openflagship-edge: FLAGSHIP_EDGE_TLS_KEY needs FLAGSHIP_EDGE_TLS_CERTIFICATE beside it.")
    for path in filter(None, (certificate, key)):
        if not os.path.isfile(path):
            sys.exit(f"openflagship-edge: there is no file {path}, which FLAGSHIP_EDGE_TLS_… names.")
    tls = {"ssl_certfile": certificate, "ssl_keyfile": key} if certificate else {}
    EdgeServer(configure(edge, host=arguments.host, port=arguments.port, **tls), edge).run()


if __name__ == "__main__":
    main()
