"""Choosing the TCP ports to listen on before anything is started, with words for the case that they are taken."""

from __future__ import annotations

import errno
import socket
from contextlib import suppress

import psutil

PORTS_TRIED = 50


class PortError(RuntimeError):
    """No port to listen on; the message says who holds it and what to do."""


def choose_port(host: str, wanted: int, *, option: str, is_explicit: bool, taken: frozenset[int] = frozenset()) -> int:
    """`wanted` if it is free. If not, whoever asked for it by name gets an error, and a default moves to the next."""
    if not 1 <= wanted <= 65_535:
        raise PortError(f"{option} is {wanted}; a port is between 1 and 65535.")
    candidates = [wanted] if is_explicit else range(wanted, min(wanted + PORTS_TRIED, 65_536))
    for port in candidates:
        if port not in taken and _is_free(host, port):
            return port
    if is_explicit and wanted in taken:
        raise PortError(f"Port {wanted} is for another process of this run already. Choose another with {option}.")
    if is_explicit:
        raise PortError(
            f"Port {wanted} on {host} is taken{_by_whom(wanted)}. Stop that process, or choose another with {option}."
        )
    raise PortError(f"Ports {wanted} to {candidates[-1]} on {host} are all taken. Choose another with {option}.")


def _is_free(host: str, port: int) -> bool:
    """Raises PortError where the trouble is not that somebody has the port."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    except socket.gaierror as error:
        raise PortError(f"There is no address {host!r} to listen on: {error.strerror}.") from error
    with socket.socket(family, kind, protocol) as probe:
        # A port in TIME_WAIT is free for a server, which sets the same option.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(address)
            probe.listen()
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise PortError(f"Cannot listen on port {port} of {host}: {error.strerror}.") from error
            return False
    return True


def _by_whom(port: int) -> str:
    with suppress(psutil.Error):  # other people's sockets are not ours to see everywhere
        for connection in psutil.net_connections("tcp"):
            if connection.status == psutil.CONN_LISTEN and connection.laddr.port == port and connection.pid:
                return f" by {psutil.Process(connection.pid).name()} (pid {connection.pid})"
    return ""
