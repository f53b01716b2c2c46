"""Fixtures for whoever tests with flags: a factory, and what was really published on Redis."""

from collections.abc import Callable, Iterator
from typing import Any

import orjson
import pytest
from django_redis import get_redis_connection

from flags import services
from flags.models import FlagConfig
from flags.propagation.publishing import CHANNEL
from tenancy.models import Environment
from tenancy.testing import ALICE


@pytest.fixture
def make_flag(environment: Environment) -> Callable[..., FlagConfig]:
    """Create a flag through the service; on, with its rollout, unless told otherwise."""

    def _make(key: str = "new-checkout", where: Environment = environment, **payload: Any) -> FlagConfig:
        config, _ = services.create_flag(
            actor=ALICE, environment=where, payload={"key": key, "enabled": True, **payload}
        )
        return config

    return _make


@pytest.fixture
def published(db: None) -> Iterator[Callable[[], list[dict[str, Any]]]]:
    """Listen on the real channel; calling it returns what came since the last call."""
    with get_redis_connection("default").pubsub() as subscription:
        subscription.subscribe(CHANNEL)
        while (subscription.get_message(timeout=60) or {}).get("type") != "subscribe":
            pass

        def _published() -> list[dict[str, Any]]:
            found = []
            # What was published before this PING has arrived before its answer.
            subscription.ping()
            while (message := subscription.get_message(timeout=60)) is not None and message["type"] != "pong":
                found.append(orjson.loads(message["data"]))
            return found

        yield _published
