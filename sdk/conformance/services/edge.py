"""The test service of the edge: each client is an edge on a port of its own, which is asked over HTTP."""

from __future__ import annotations

import json
import socket
import threading
import time
from typing import Any

import uvicorn
from openflagship.edge import EdgeEnvironment, EdgeSettings
from openflagship.edge.application import Edge

from sdk.conformance.connection import Connection
from sdk.conformance.services.serving import options_of, serve

_PATIENCE_SECONDS = 60.0


class Edged:
    def __init__(self, url: str, key: str, options: dict[str, Any]) -> None:
        found = options_of(options)
        # An edge is asked while it starts.
        found["start_wait_seconds"] = 0
        keep_alive = found.pop("keep_alive_seconds", 15.0)
        environment = EdgeEnvironment(server_key=key, signing_secret=found.pop("signing_secret", None))
        settings = EdgeSettings(url=url, environments=(environment,), keep_alive_seconds=keep_alive, options=found)
        self.edge = Edge(settings)
        self._socket = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}"
        config = uvicorn.Config(self.edge, lifespan="on", log_config=None, timeout_graceful_shutdown=1)
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._server.run, args=([self._socket],), daemon=True)
        self._thread.start()
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while not self._server.started and self._thread.is_alive() and time.monotonic() < deadline:
            time.sleep(0.005)
        if not self._server.started:
            raise ValueError("the edge did not start")
        self._connection = Connection(self.url, _PATIENCE_SECONDS, {"Authorization": f"Bearer {key}"})

    def _ask(self, method: str, path: str, body: Any = None) -> Any:
        return json.loads(self._connection.ask(method, path, body)[1])

    def evaluate(self, question: dict[str, Any]) -> dict[str, Any]:
        body = {"flagKey": question["flag"], "userId": question["userId"], "attributes": question["attributes"]}
        answer: dict[str, Any] = self._ask("POST", "/api/evaluate", body)
        # Whoever asks an edge has the default, not the edge.
        return {**answer, "value": answer["value"] if answer.get("variant") is not None else question["default"]}

    def all(self, user_id: str, attributes: dict[str, Any]) -> dict[str, Any]:
        answer = self._ask("POST", "/api/flags/evaluate/all", {"userId": user_id, "attributes": attributes})
        return {key: one["value"] for key, one in answer["flags"].items()}

    def track(self, event: str, user_id: str, value: float | None, properties: dict[str, Any]) -> None:
        raise NotImplementedError

    def flush(self, seconds: float) -> bool:
        raise NotImplementedError

    def ready(self, seconds: float) -> str:
        deadline = time.monotonic() + seconds
        while (found := self.status()["source"]) != "server" and time.monotonic() < deadline:
            time.sleep(0.01)
        return {"server": "network", "stored": "store"}.get(found, found or "nothing")

    def status(self) -> dict[str, Any]:
        found: dict[str, Any] = self._ask("GET", "/readyz")["environments"][0]
        return {**found, "edgeUrl": self.url}

    def close(self) -> list[str]:
        self._connection.close()
        self.edge.drain()
        self._server.should_exit = True
        self._thread.join(_PATIENCE_SECONDS)
        self._socket.close()
        return ["the edge's server"] if self._thread.is_alive() else []


if __name__ == "__main__":
    serve(Edged)
