"""`openflagship-edge`, or `python -m openflagship.edge`: serve an edge until SIGTERM or SIGINT."""

from __future__ import annotations

import argparse
import os
import socket
import sys

from openflagship.edge import processes
from openflagship.edge.server import configure, edge_of, log_plainly, run, serve
from openflagship.edge.settings import variables

_MOST_PROCESSES = 256


def main() -> None:
    """Options set the address, variables all else: see docs/guides/edge.md."""
    parser = argparse.ArgumentParser(prog="openflagship-edge", description=__doc__)
    parser.add_argument("--host")
    parser.add_argument("--port")
    arguments = parser.parse_args()
    log_plainly()
    try:
        # Made here too, so that a variable that is wrong is said once, before any process starts.
        host, port = _address(arguments.host, arguments.port)
        count, edge, tls = _processes(), edge_of(), variables.tls_files(os.environ)
        if count > 1:
            for shared in edge.settings.grpc.shared():
                processes.check_free(*shared)
            del edge
            sys.exit(processes.run(host, port, count, serve))
    except (ValueError, OSError) as error:
        sys.exit(f"openflagship-edge: {error}")
    run(edge, configure(edge, host=host, port=port, **tls))


def _address(host: str | None, port: str | None) -> tuple[str, int]:
    """Host and port of the options, or else of the variables. Raises ValueError naming which."""
    name = "FLAGSHIP_EDGE_PORT" if port is None else "--port"
    number = variables.port(os.environ.get(name) or "8090" if port is None else port, name)
    name = "FLAGSHIP_EDGE_HOST" if host is None else "--host"
    found = os.environ.get(name) or "127.0.0.1" if host is None else host
    try:
        socket.getaddrinfo(found, number, type=socket.SOCK_STREAM)
    except (OSError, ValueError) as error:
        raise ValueError(f"{name}: {found!r} is no address of this machine: {error}") from error
    return found, number


def _processes() -> int:
    text = os.environ.get("FLAGSHIP_EDGE_PROCESSES") or "1"
    if not (text.isascii() and text.isdigit() and 1 <= int(text) <= _MOST_PROCESSES):
        raise ValueError(f"FLAGSHIP_EDGE_PROCESSES: give a number of processes from 1 to {_MOST_PROCESSES}.")
    if int(text) > 1 and not hasattr(socket, "SO_REUSEPORT"):
        raise ValueError("FLAGSHIP_EDGE_PROCESSES: this system cannot share a port; leave it out.")
    return int(text)


if __name__ == "__main__":
    main()
