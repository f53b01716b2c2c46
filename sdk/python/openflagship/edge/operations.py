"""The operations of an edge, and one call of one."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from openflagship.edge.callers import Caller
from openflagship.edge.source import Source
from openflagship.wire import bodies, routes
from openflagship.wire.asgi import AsgiRequest, Headers, Send
from openflagship.wire.errors import RefusedError


@dataclass(slots=True)
class Call:
    """One request of a known caller to a known route. `headers` go with every answer to it."""

    request: AsgiRequest
    send: Send
    caller: Caller
    source: Source
    parameter: str
    headers: Headers = ()


@dataclass(frozen=True, slots=True)
class Operation:
    """What answers a route. One that `needs_configuration` is refused until the environment has one.

    One without `handle` is for the credentials of further edges, and about no one environment.
    """

    route: routes.Route
    handle: Callable[[Call], Awaitable[None]] | None
    needs_server_key: bool = False
    needs_configuration: bool = True
    # Whether it never waits for anything but its own body.
    is_at_once: bool = False
    # What follows from these. An attribute is cheaper than a look through a route.
    method: str = field(init=False)
    is_guarded: bool = field(init=False)
    is_timed: bool = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "method", self.route.method)
        object.__setattr__(self, "is_guarded", self.handle is None or self.needs_server_key)
        object.__setattr__(self, "is_timed", self.handle is not None and self.route.process == "data")


async def ofrep_json(request: AsgiRequest, most_bytes: int) -> tuple[Any, int]:
    """The parsed body and its size. Raises OfrepError for one that is no JSON."""
    try:
        return await request.json(most_bytes)
    except RefusedError as error:
        raise bodies.OfrepError.of(error) from error
