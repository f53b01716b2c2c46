"""The cases, a module for each group. Importing this registers them all."""

from sdk.conformance.cases import (
    events,
    lifecycle,
    page,
    poll,
    retry,
    staleness,
    store,
    stream,
    stream_address,
    stream_updates,
    vectors,
)

__all__ = [
    "events",
    "lifecycle",
    "page",
    "poll",
    "retry",
    "staleness",
    "store",
    "stream",
    "stream_address",
    "stream_updates",
    "vectors",
]
