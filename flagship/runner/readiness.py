"""Waiting until every HTTP process answers 200 on `/readyz`, telling how far each one is."""

from __future__ import annotations

import http.client
import json
import socket
import threading
import time
from collections.abc import Callable, Mapping
from typing import Final

POLL_SECONDS = 0.5
REPORT_EVERY_SECONDS = 5.0
REQUEST_SECONDS = 5.0


def state(host: str, port: int) -> str:
    """`ready`, or a few words on what is missing."""
    connection = http.client.HTTPConnection(host, port, timeout=REQUEST_SECONDS)
    try:
        connection.request("GET", "/readyz")
        response = connection.getresponse()
        body = response.read()
    except (OSError, http.client.HTTPException) as error:
        return "not listening yet" if isinstance(error, ConnectionRefusedError) else f"no answer: {error}"
    finally:
        connection.close()
    if response.status == 200:
        return "ready"
    try:
        return f"HTTP {response.status}, {json.loads(body)['status']}"
    except (ValueError, KeyError, TypeError):
        return f"HTTP {response.status}"


def listening(host: str, port: int) -> str:
    """`ready` once somebody listens: of a process that speaks no HTTP/1. Its own health service says more."""
    try:
        socket.create_connection((host, port), REQUEST_SECONDS).close()
    except OSError as error:
        return "not listening yet" if isinstance(error, ConnectionRefusedError) else f"no answer: {error}"
    return "ready"


PROBES: Final[Mapping[str, Callable[[str, int], str]]] = {"grpc": listening}


def wait_until_ready(
    endpoints: Mapping[str, tuple[str, int]],
    *,
    seconds: float,
    cancelled: threading.Event,
    report: Callable[[str], None],
) -> dict[str, str]:
    """What each endpoint still lacks after at most `seconds`: empty when all are ready, or when cancelled."""
    started = last_report = time.monotonic()
    missing = dict.fromkeys(endpoints, "not asked yet")
    while missing and not cancelled.is_set():
        for name in list(missing):
            missing[name] = PROBES.get(name, state)(*endpoints[name])
            if missing[name] == "ready":
                del missing[name]
                report(f"{name} is ready after {time.monotonic() - started:.1f} s")
        now = time.monotonic()
        if missing and now - started > seconds:
            return missing
        if missing and now - last_report > REPORT_EVERY_SECONDS:
            last_report = now
            report("; ".join(f"waiting for {name} ({words})" for name, words in missing.items()))
        if missing:
            cancelled.wait(POLL_SECONDS)
    return {}
