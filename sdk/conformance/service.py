"""The harness's side of the protocol: a test service as a process, and clients within it."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sdk.conformance import golang, javascript
from sdk.conformance.connection import Connection

ROOT = Path(__file__).parents[2]
_PATIENCE_SECONDS = 90

# What a service may be able to do; a case names what it needs.
EVALUATES, EVENTS, STORES, ON_DEMAND, BOOTSTRAP, TLS, PROXY, REFUSES_KEYS, TELLS_SOURCE, RENAMES_NOTHING, PAGE = (
    "evaluates", "events", "stores", "on_demand", "bootstrap", "tls", "proxy", "refuses_keys", "tells_source",
    "own_instance", "page",
)  # fmt: skip
# Is told a gRPC port besides the address.
GRPC = "grpc"
# Whatever it sends is a request over HTTP.
HTTP = "http"


@dataclass(frozen=True, slots=True)
class Kind:
    """One test service: how it is started, and what its SDK has. `why_not` says why it lacks the others.

    `tools` are what its machine has to have besides Python, by the names of the tests' marks. `prepare` builds it.
    `groups`: of cases, where not all are its own.
    """

    command: tuple[str, ...]
    capabilities: frozenset[str]
    why_not: str = ""
    tools: tuple[str, ...] = ()
    prepare: Callable[[], None] | None = None
    groups: frozenset[str] = frozenset()


def _python(name: str) -> tuple[str, ...]:
    return (sys.executable, "-m", f"sdk.conformance.services.{name}")


def _node(version: int) -> Kind:
    # The program is found when the service is started: it may have to be fetched.
    command = (f"node-{version}", "sdk/conformance/services/node.mjs")
    return Kind(command, _SDK | {ON_DEMAND}, tools=("node", f"node_{version}"), prepare=javascript.build)


_SDK = frozenset({HTTP, EVALUATES, EVENTS, STORES, BOOTSTRAP, TLS, PROXY, REFUSES_KEYS, TELLS_SOURCE, RENAMES_NOTHING})
# By name. A service of another language is one more line here; it runs where its command can be run.
KINDS: dict[str, Kind] = {
    "python-threads": Kind(_python("python_threads"), _SDK | {ON_DEMAND}),
    "python-asyncio": Kind(_python("python_asyncio"), _SDK, "a call of an asyncio client may not wait for the network"),
    "node-20": _node(20),
    "node-22": _node(22),
    "node-24": _node(24),
    "browser": Kind(
        _python("browser"),
        frozenset({EVENTS, PAGE}),
        "a page is given one user's answers and no rules; certificates, proxies and files are its browser's, and so is "
        "when a stream that broke is asked for again",
        tools=("browser", "node"),
        prepare=javascript.build,
    ),
    "go": Kind((str(golang.PROGRAM),), _SDK | {ON_DEMAND}, tools=("go",), prepare=golang.build),
    "go-grpc": Kind(
        (str(golang.GRPC_PROGRAM),),
        frozenset({GRPC, EVALUATES, EVENTS, RENAMES_NOTHING}),
        "it is `go` with another transport: certificates, proxies and packing are gRPC's, the rest is what `go` holds",
        tools=("go",),
        prepare=golang.build_grpc,
        groups=frozenset({"stream", "updates", "events", "lifecycle"}),
    ),
    "edge": Kind(_python("edge"), frozenset({EVALUATES, STORES, TLS}), "an edge is a server and has no calls"),
}


class ServiceError(Exception):
    """The test service answered with an error."""


class Service:
    """A running test service."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.kind = KINDS[name]
        if self.kind.prepare is not None:
            self.kind.prepare()
        program, *arguments = self.kind.command
        if program.startswith("node-"):
            program = str(javascript.node(int(program.removeprefix("node-"))))
        self._process = subprocess.Popen([program, *arguments], cwd=ROOT, stdout=subprocess.PIPE, text=True)
        stdout = self._process.stdout
        url = "" if stdout is None else stdout.readline().strip()
        if not url.startswith("http"):
            raise ServiceError(f"{name} did not say its address")
        self._connection = Connection(url, _PATIENCE_SECONDS)

    def ask(self, method: str, path: str, body: Any = None) -> Any:
        status, content = self._connection.ask(method, path, body)
        if status >= 400:
            raise ServiceError(content.decode())
        return json.loads(content or b"null")

    def close(self) -> None:
        try:
            self.ask("DELETE", "/")
            # Some servers end once nobody is connected any more.
            self._connection.close()
            self._process.wait(_PATIENCE_SECONDS)
        finally:
            self._process.kill()
            self._process.wait(_PATIENCE_SECONDS)
            if self._process.stdout is not None:
                self._process.stdout.close()


class Client:
    """One client of the SDK under test."""

    def __init__(self, service: Service, url: str, key: str, options: dict[str, Any]) -> None:
        """Raises ServiceError where the SDK refuses to make one."""
        self._service = service
        made = service.ask("POST", "/clients", {"url": url, "key": key, "options": options})
        self._path = f"/clients/{made['id']}"
        self.is_closed = False

    def answers(self, questions: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
        """Each question is `{flag, userId, attributes, default}`."""
        found: list[dict[str, Any]] = self._service.ask("POST", f"{self._path}/evaluate", {"questions": questions})[
            "answers"
        ]
        return found

    def answer(
        self, flag: str = "asked", user: str | None = "user-1", default: Any = None, **attributes: Any
    ) -> dict[str, Any]:
        return self.answers([{"flag": flag, "userId": user, "attributes": attributes, "default": default}])[0]

    def value(self, flag: str = "asked", user: str | None = "user-1", default: Any = None) -> Any:
        return self.answer(flag, user, default)["value"]

    def all(self, user: str = "user-1") -> dict[str, Any]:
        found: dict[str, Any] = self._service.ask("POST", f"{self._path}/all", {"userId": user, "attributes": {}})
        return found

    def track(self, event: str, user: str = "user-1", value: float | None = None, **properties: Any) -> None:
        body = {"event": event, "userId": user, "value": value, "properties": properties}
        self._service.ask("POST", f"{self._path}/track", body)

    def flush(self, seconds: float = 30.0) -> bool:
        return bool(self._service.ask("POST", f"{self._path}/flush", {"seconds": seconds})["flushed"])

    def ready(self, seconds: float = 30.0) -> str:
        return str(self._service.ask("POST", f"{self._path}/ready", {"seconds": seconds})["servedFrom"])

    def status(self) -> dict[str, Any]:
        found: dict[str, Any] = self._service.ask("GET", f"{self._path}/status")
        return found

    @property
    def version(self) -> int:
        return int(self.status()["configVersion"])

    @property
    def is_stale(self) -> bool:
        return bool(self.status()["stale"])

    def close(self) -> list[str]:
        """Close it, and return the names of the threads, tasks and timers that it left."""
        self.is_closed = True
        found: list[str] = self._service.ask("DELETE", self._path)["left"]
        return found

    def forget(self) -> None:
        """Let the service drop it."""
        if not self.is_closed:
            self.close()
