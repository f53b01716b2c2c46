"""Where events wait to be stored; the one place that lists the brokers and chooses one."""

from collections.abc import Callable, Mapping
from functools import cache
from typing import Final

from analytics.pipeline.brokers.base import Broker
from tenancy.process_memory import on_reset


def _redis() -> Broker:
    from analytics.pipeline.brokers.redis import RedisBroker  # noqa: PLC0415 - only the one chosen is imported

    return RedisBroker()


BROKERS: Final[Mapping[str, Callable[[], Broker]]] = {"redis": _redis}


@cache
def broker() -> Broker:
    """Return this process's broker."""
    return BROKERS["redis"]()


on_reset(broker.cache_clear)
