"""For tests with events: each store, real and emptied afterwards, and what waits in the broker."""

from collections.abc import Callable, Iterator

import clickhouse_connect
import pytest
from pytest_django import Settings

from analytics.event_records import Batch, unpack
from analytics.pipeline.brokers import broker
from analytics.pipeline.brokers import redis as redis_broker
from analytics.stores import store
from analytics.stores.clickhouse.store import ClickHouseStore
from analytics.stores.protocols import EventStore

STORES = {"postgresql": "", "clickhouse": "chdb://memory"}
UseStore = Callable[[str], EventStore]


def streamed() -> list[Batch]:
    """Take the batches that wait in the broker. The next call returns those that came since."""
    return [unpack(delivery.payload) for delivery in broker().take("tests", limit=10_000, wait_seconds=0.01)]


def empty_stream() -> None:
    """Remove every batch from the broker, taken or not."""
    while found := [
        *broker().reclaim("tests", limit=1000, idle_seconds=0),
        *broker().take("tests", limit=1000, wait_seconds=0.01),
    ]:
        broker().done(found)


@pytest.fixture(scope="session", autouse=True)
def _patient_with_redis() -> Iterator[None]:
    """On a busy machine Redis may answer late: a batch would go another way, or twice, which tests of others count."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(redis_broker, "_IMPATIENT_SECONDS", 60)
        yield


@pytest.fixture(scope="session")
def _clickhouse_engine() -> Iterator[None]:
    """Keep the embedded ClickHouse running once a test needs it. Each stop leaves open files and threads."""
    client = clickhouse_connect.get_client(dsn=STORES["clickhouse"])
    yield
    client.close()


@pytest.fixture
def use_store(request: pytest.FixtureRequest, db: None, settings: Settings) -> Iterator[UseStore]:
    """Use one of STORES for events from here on."""
    used = []

    def _use(kind: str) -> EventStore:
        if kind == "clickhouse":
            request.getfixturevalue("_clickhouse_engine")
        settings.ANALYTICS_URL = STORES[kind]
        store.cache_clear()
        used.append(store())
        return used[-1]

    yield _use
    for one in used:
        if isinstance(one, ClickHouseStore):
            one.drop_tables()
