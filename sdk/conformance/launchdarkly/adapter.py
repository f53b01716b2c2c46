"""The harness's "test service": it reads the flags that the harness serves, and asks one of our SDKs about them."""

from __future__ import annotations

import itertools
import json
import threading
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final

from sdk.conformance.documents import SERVER_KEY
from sdk.conformance.launchdarkly.translation import NotExpressibleError, context_of, environment_of
from sdk.conformance.service import Client, Service

# Evaluation alone: what else the harness knows is LaunchDarkly's own protocol.
CAPABILITIES: Final = ["server-side", "user-type"]
_SECONDS: Final = 30.0
_REASONS: Final = {
    "DISABLED": "OFF",
    "DEFAULT": "FALLTHROUGH",
    "TARGET_MATCH": "TARGET_MATCH",
    "RULE_MATCH": "RULE_MATCH",
    "PREREQUISITE_FAILED": "PREREQUISITE_FAILED",
    "ERROR": "ERROR",
}


class Adapter:
    """One SDK behind the harness's routes."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._clients: dict[str, _Asked] = {}
        self._ids = itertools.count(1)
        self._lock = threading.Lock()
        adapter = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                said = {"name": f"openflagship-{service.name}", "capabilities": CAPABILITIES}
                self._answer(200, said)

            def do_POST(self) -> None:
                asked = json.loads(self.rfile.read(int(self.headers.get("Content-Length") or 0)) or b"{}")
                try:
                    with adapter._lock:
                        if self.path == "/":
                            self._answer(201, {}, Location=f"{adapter.url}/clients/{adapter.create(asked)}")
                        else:
                            self._answer(200, adapter.command(self.path.rpartition("/")[2], asked))
                except NotExpressibleError as error:
                    self._answer(400, f"It does not apply: {error}.")

            def do_DELETE(self) -> None:
                with adapter._lock:
                    adapter.close(self.path.rpartition("/")[2])
                self._answer(204, None)

            def _answer(self, status: int, said: Any, **headers: str) -> None:
                body = b"" if status == 204 else json.dumps(said).encode()
                self.send_response(status)
                for name, value in {**headers, "Content-Length": str(len(body))}.items():
                    self.send_header(name.replace("_", "-"), value)
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                """The harness says what it asks."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def create(self, asked: dict[str, Any]) -> str:
        configuration = asked["configuration"]
        data = _first_put(configuration["streaming"]["baseUri"], configuration.get("credential") or "")
        name = str(next(self._ids))
        self._clients[name] = _Asked(self._service, data)
        return name

    def command(self, name: str, asked: dict[str, Any]) -> Any:
        if asked["command"] != "evaluate":
            raise NotExpressibleError(f"there is no command {asked['command']}")
        return self._clients[name].evaluate(asked["evaluate"])

    def close(self, name: str) -> None:
        client = self._clients.pop(name, None)
        if client is not None:
            client.close()


class _Asked:
    """A client of our SDK that has the harness's flags."""

    def __init__(self, service: Service, data: dict[str, Any]) -> None:
        self._flags = data.get("flags") or {}
        snapshot, self._refused = environment_of(data)
        options = {"mode": "offline", "bootstrap": snapshot, "isSendingEvents": False}
        self._client = Client(service, "http://127.0.0.1:9", SERVER_KEY, options)

    def close(self) -> None:
        self._client.close()

    def evaluate(self, asked: dict[str, Any]) -> dict[str, Any]:
        key = asked["flagKey"]
        if key in self._refused:
            raise NotExpressibleError(self._refused[key])
        user, attributes = context_of(asked)
        question = {"flag": key, "userId": user, "attributes": attributes, "default": asked.get("defaultValue")}
        answer = self._client.answers([question])[0]
        said: dict[str, Any] = {"value": answer["value"]}
        if asked.get("detail"):
            said["reason"] = self._reason(key, answer, user, attributes)
            if answer.get("variant"):
                said["variationIndex"] = int(answer["variant"].removeprefix("v"))
        return said

    def _reason(self, key: str, answer: dict[str, Any], user: str, attributes: dict[str, Any]) -> dict[str, Any]:
        kind = _REASONS.get(answer["reason"])
        if kind is None:
            raise NotExpressibleError(f"the reason {answer['reason']} is ours alone")
        if kind == "ERROR":
            return {"kind": kind, "errorKind": answer.get("errorCode")}
        if kind == "RULE_MATCH":
            ids = [rule.get("id") or f"rule-{place}" for place, rule in enumerate(self._flags[key]["rules"])]
            return {"kind": kind, "ruleIndex": ids.index(answer["ruleId"]), "ruleId": answer["ruleId"]}
        if kind == "PREREQUISITE_FAILED":
            return {"kind": kind, "prerequisiteKey": self._failed(key, user, attributes)}
        return {"kind": kind}

    def _failed(self, key: str, user: str, attributes: dict[str, Any]) -> str:
        """The first prerequisite that is not met. Our reason does not name it, so the SDK is asked about each."""
        for one in self._flags[key]["prerequisites"]:
            question = {"flag": one["key"], "userId": user, "attributes": attributes, "default": None}
            answer = self._client.answers([question])[0]
            if answer.get("variant") != f"v{one['variation']}" or answer["reason"] == "DISABLED":
                return str(one["key"])
        return ""


def _first_put(address: str, credential: str) -> dict[str, Any]:
    """All flags, which the harness's stream begins with."""
    request = urllib.request.Request(f"{address.rstrip('/')}/all", headers={"Authorization": credential})
    with urllib.request.urlopen(request, timeout=_SECONDS) as stream:
        for line in stream:
            if line.startswith(b"data:"):
                found: dict[str, Any] = json.loads(line.removeprefix(b"data:"))["data"]
                return found
    raise NotExpressibleError("the stream ends without flags")
