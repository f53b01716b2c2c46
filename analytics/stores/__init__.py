"""Where events are stored and aggregated; the one place that chooses the implementation."""

from functools import cache

from analytics.stores.base import EventStore


@cache
def store() -> EventStore:
    from analytics.stores.postgres import PostgresStore  # noqa: PLC0415 - only the one chosen is imported

    return PostgresStore()
