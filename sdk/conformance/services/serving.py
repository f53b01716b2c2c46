"""The protocol's routes for Python: what the three services here share."""

from __future__ import annotations

import itertools
import json
import re
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Protocol

from openflagship import AsyncFlagShip, Context, FlagShip
from openflagship.client import FileStore, MemoryStore, RedisStore


class TestedClient(Protocol):
    """One client of an SDK, as a service hands it to `serve`."""

    def evaluate(self, question: dict[str, Any]) -> dict[str, Any]: ...

    def all(self, user_id: str, attributes: dict[str, Any]) -> dict[str, Any]: ...

    def track(self, event: str, user_id: str, value: float | None, properties: dict[str, Any]) -> None: ...

    def flush(self, seconds: float) -> bool: ...

    def ready(self, seconds: float) -> str: ...

    def status(self) -> dict[str, Any]: ...

    def close(self) -> list[str]: ...


def options_of(given: dict[str, Any]) -> dict[str, Any]:
    """The protocol's options as those of the Python SDK: the same names, in snake case."""
    found = {re.sub("[A-Z]", lambda letter: "_" + letter[0].lower(), name): value for name, value in given.items()}
    store = found.pop("store", None)
    if store is not None:
        found["store"] = store_of(store)
    return found


_shared = MemoryStore()


def store_of(given: dict[str, Any]) -> Any:
    """`{"kind": "memory"}`, `{"kind": "file", "path": …}` or `{"kind": "redis", "socket": …, "key": …}`."""
    if given["kind"] == "memory":
        return _shared
    if given["kind"] == "file":
        return FileStore(given["path"])
    import redis  # noqa: PLC0415 - only for whom it is installed, as for users of the SDK

    return RedisStore(redis.Redis(unix_socket_path=given["socket"]), given["key"])


class InMemory:
    """What both clients of Python answer alike, from memory."""

    _client: FlagShip | AsyncFlagShip

    def evaluate(self, question: dict[str, Any]) -> dict[str, Any]:
        context = Context(question["userId"], question["attributes"])
        return dict(self._client.variation_detail(question["flag"], context, question["default"]).to_dict())

    def all(self, user_id: str, attributes: dict[str, Any]) -> dict[str, Any]:
        return self._client.all_flags(Context(user_id, attributes))

    def track(self, event: str, user_id: str, value: float | None, properties: dict[str, Any]) -> None:
        self._client.track(event, user_id, value, properties)

    def status(self) -> dict[str, Any]:
        status = self._client.status()
        return {
            "connection": status.connection,
            "configVersion": status.config_version,
            "stale": status.is_stale,
            "error": status.error,
            "eventsSent": status.events_sent,
            "eventsDropped": status.events_dropped,
            "eventsRejected": status.events_rejected,
            "eventsLost": status.events_lost,
            "eventsPending": status.events_pending,
            "instance": status.instance,
        }


def serve(make: Callable[[str, str, dict[str, Any]], TestedClient]) -> None:
    """Say the address on standard output, and serve until `DELETE /`. `make(url, key, options)` makes a client."""
    clients: dict[str, TestedClient] = {}
    numbers = itertools.count(1)

    def create(body: dict[str, Any]) -> dict[str, Any]:
        client = make(body["url"], body["key"], body["options"])
        name = str(next(numbers))
        clients[name] = client
        return {"id": name}

    def act(client: TestedClient, name: str, body: dict[str, Any]) -> Any:
        if name == "evaluate":
            return {"answers": [client.evaluate(question) for question in body["questions"]]}
        if name == "all":
            return client.all(body["userId"], body["attributes"])
        if name == "track":
            return client.track(body["event"], body["userId"], body["value"], body["properties"])
        if name == "flush":
            return {"flushed": client.flush(body["seconds"])}
        if name == "close":
            return {"left": client.close()}
        if name == "ready":
            return {"servedFrom": client.ready(body["seconds"])}
        return client.status()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        # The head and the body go out together.
        wbufsize = -1

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class's name
            """Say nothing."""

        def _answer(self) -> None:
            size = int(self.headers.get("Content-Length", "0"))
            body = json.loads(self.rfile.read(size) or b"{}")
            _, *parts = self.path.split("/")
            said: Any
            try:
                if self.command == "DELETE" and parts == [""]:
                    said = None
                elif parts == ["clients"]:
                    said = create(body)
                elif self.command == "DELETE":
                    said = {"left": clients.pop(parts[1]).close()}
                else:
                    said = act(clients[parts[1]], parts[2], body)
                status = 200
            except Exception as error:  # noqa: BLE001 - the harness is told, and judges
                status, said = 400, f"{type(error).__name__}: {error}"
            content = json.dumps(said).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)
            if self.command == "DELETE" and parts == [""]:
                self.wfile.flush()
                threading.Thread(target=server.shutdown).start()

        do_GET = do_POST = do_DELETE = _answer  # noqa: N815 - the base class's names

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    print(f"http://127.0.0.1:{server.server_port}", flush=True)
    server.serve_forever(0.02)
    server.server_close()
