"""The route table of the data plane: Django's URLs, the fast lane, the stream process and the edge derive from it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Generic, Literal, TypeVar

# Paths below both prefixes answer alike.
API_PREFIXES: Final = ("/api/", "/v1/")
OFREP_PREFIX: Final = "/ofrep/v1/"
# Below these, each answer is JSON, errors included.
JSON_PREFIXES: Final = (*API_PREFIXES, "/ofrep/")

Target = TypeVar("Target")


@dataclass(frozen=True, slots=True)
class Route:
    """One operation and every path that reaches it.

    A template is relative to the prefixes. It may end in a parameter: `{name}` stands for one segment of the path,
    `{name:path}` for all that is left. `process` names the group of processes that a proxy sends the paths to.
    `plain` are whole paths without a prefix, for clients that were written to other documents.
    """

    method: Literal["GET", "POST"]
    templates: tuple[str, ...]
    prefixes: tuple[str, ...] = API_PREFIXES
    process: Literal["data", "stream"] = "data"
    plain: tuple[str, ...] = ()

    @property
    def paths(self) -> tuple[str, ...]:
        """Each template below each prefix, and the plain paths after them."""
        below = tuple(f"{prefix}{template}" for prefix in self.prefixes for template in self.templates)
        return below + self.plain

    @property
    def allow(self) -> str:
        """The value of the `Allow` header."""
        return "GET, HEAD, OPTIONS" if self.method == "GET" else "POST, OPTIONS"


EVALUATE: Final = Route("POST", ("flags/evaluate", "evaluate"), plain=("/evaluate",))
EVALUATE_ALL: Final = Route("POST", ("flags/evaluate/all",))
OFREP_FLAGS: Final = Route("POST", ("evaluate/flags",), (OFREP_PREFIX,))
# The whole rest is the key: a key that was sent with %2F in it is an unknown flag, not an unknown route.
OFREP_FLAG: Final = Route("POST", ("evaluate/flags/{key:path}",), (OFREP_PREFIX,))
OFREP_STREAM: Final = Route("GET", ("stream",), (OFREP_PREFIX,), "stream")
SNAPSHOT: Final = Route("GET", ("snapshot", "configs/{environment_key}"), plain=("/configs/{environment_key}",))
EXPOSURES: Final = Route("POST", ("events/exposure",), plain=("/events/exposure",))
CONVERSIONS: Final = Route("POST", ("events/conversion",), plain=("/events/conversion",))
METRICS: Final = Route("POST", ("events/metrics",), plain=("/events/metrics",))
USAGE: Final = Route("POST", ("events/usage",), plain=("/events/usage",))
ACKNOWLEDGE: Final = Route("POST", ("stream/ack",), process="stream")
STREAM: Final = Route(
    "GET",
    ("stream", "stream/{environment_key}", "events"),
    process="stream",
    plain=("/stream", "/stream/{environment_key}"),
)
# What an edge serves, by its credential.
EDGE_CONFIGURATION: Final = Route("GET", ("edge/configuration",))
EDGE_STREAM: Final = Route("GET", ("edge/stream",), process="stream")
WEBSOCKET: Final = Route("GET", ("stream",), ("/ws/",), "stream")

# The answer to OPTIONS, beside the `Allow` header.
OPTIONS_BODY: Final = {"renders": ["application/json"], "parses": ["application/json"]}

DATA_PLANE: Final = (
    EVALUATE,
    EVALUATE_ALL,
    OFREP_FLAGS,
    OFREP_FLAG,
    OFREP_STREAM,
    SNAPSHOT,
    EXPOSURES,
    CONVERSIONS,
    METRICS,
    USAGE,
    ACKNOWLEDGE,
    STREAM,
    EDGE_CONFIGURATION,
    EDGE_STREAM,
    WEBSOCKET,
)


class RouteMap(Generic[Target]):
    """What each path of some routes leads to."""

    def __init__(self, targets: Iterable[tuple[Route, Target]]) -> None:
        self._exact: dict[str, Target] = {}
        # The part before the parameter, whether the parameter takes the whole rest, and the target.
        self._prefixes: list[tuple[str, bool, Target]] = []
        for route, target in targets:
            for path in route.paths:
                head, brace, parameter = path.partition("{")
                if brace:
                    self._prefixes.append((head, parameter.endswith(":path}"), target))
                else:
                    self._exact[path] = target

    def find(self, path: str) -> tuple[Target, str] | None:
        """The target and the parameter's value, empty for a path without one; None for an unknown path."""
        target = self._exact.get(path)
        if target is not None:
            return target, ""
        for head, takes_rest, parametrised in self._prefixes:
            if path.startswith(head):
                value = path[len(head) :]
                if value and (takes_rest or "/" not in value):
                    return parametrised, value
        return None
