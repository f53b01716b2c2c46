"""The state of a client, for health checks and people."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Status:
    """`connection`: not_started, starting, streaming, polling, reconnecting, refused, offline or closed.

    `source`: where the configuration came from (bootstrap, stored, server; empty: none was had, so callers get their
    defaults). `events_pending` wait to be sent, `events_dropped` found the queue full, `events_rejected` were refused
    by the server, `events_lost` could not be sent before the client was closed or were no use to the server.
    """

    connection: str
    is_ready: bool
    source: str
    config_version: int
    is_stale: bool
    age_seconds: float | None
    flags: int
    reconnects: int
    error: str | None
    events_pending: int
    events_sent: int
    events_dropped: int
    events_rejected: int
    events_lost: int
    is_breaker_open: bool
    instance: str
