"""Where events are stored and aggregated; the one place that chooses the implementation."""

from functools import cache

from django.conf import settings

from analytics.stores.protocols import EventStore
from tenancy.process_memory import on_reset


@cache
def store() -> EventStore:
    if settings.ANALYTICS_URL:
        from analytics.stores.clickhouse.store import ClickHouseStore  # noqa: PLC0415 - only the one chosen is imported

        return ClickHouseStore(settings.ANALYTICS_URL)
    from analytics.stores.postgres.store import PostgresStore  # noqa: PLC0415 - likewise

    return PostgresStore()


on_reset(store.cache_clear)
