"""`openflagship-edge`, or `python -m openflagship.edge`: serve an edge until SIGTERM or SIGINT."""

from __future__ import annotations

import argparse
import os
import socket
import sys

from openflagship.edge import processes
from openflagship.edge.server import configure, edge_of, log_plainly, run, serve, tls_of

_MOST_PROCESSES = 256


def main() -> None:
    """Options set the address, variables all else: see docs/guides/edge.md."""
    parser = argparse.ArgumentParser(prog="openflagship-edge", description=__doc__)
    parser.add_argument("--host", default=os.environ.get("FLAGSHIP_EDGE_HOST", "127.0.0.1"))
    parser.add_argument("--port", type=int, default=int(os.environ.get("FLAGSHIP_EDGE_PORT", "8090")))
    arguments = parser.parse_args()
    log_plainly()
    try:
        # Made here too, so that a variable that is wrong is said once, before any process starts.
        count, edge, tls = _processes(), edge_of(), tls_of()
        if count > 1:
            for host, port in edge.settings.grpc.shared():
                processes.check_free(host, port)
            del edge
            sys.exit(processes.run(arguments.host, arguments.port, count, serve))
    except (ValueError, OSError) as error:
        sys.exit(f"openflagship-edge: {error}")
    run(edge, configure(edge, host=arguments.host, port=arguments.port, **tls))


def _processes() -> int:
    text = os.environ.get("FLAGSHIP_EDGE_PROCESSES") or "1"
    if not (text.isascii() and text.isdigit() and 1 <= int(text) <= _MOST_PROCESSES):
        raise ValueError(f"FLAGSHIP_EDGE_PROCESSES: give a number of processes from 1 to {_MOST_PROCESSES}.")
    if int(text) > 1 and not hasattr(socket, "SO_REUSEPORT"):
        raise ValueError("FLAGSHIP_EDGE_PROCESSES: this system cannot share a port; leave it out.")
    return int(text)


if __name__ == "__main__":
    main()
