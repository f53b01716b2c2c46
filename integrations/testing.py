"""A receiver of webhooks on a port of its own, which answers as a test says, and a webhook that reaches it."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import orjson
import pytest
from standardwebhooks.webhooks import Webhook

from audit.actors import Actor
from integrations import services
from integrations.models import WebhookEndpoint
from integrations.services import IssuedWebhook
from tenancy.models import Environment, User
from tenancy.testing import ALICE


def acts_as(user: User) -> Actor:
    return Actor(kind="user", id=str(user.pk), label=user.username)


@dataclass(frozen=True, slots=True)
class Received:
    """A request, and how it was answered."""

    path: str
    headers: dict[str, str]
    body: bytes
    behaviour: str
    at: float = field(default_factory=time.time)

    @property
    def id(self) -> str:
        return self.headers["webhook-id"]

    @property
    def event(self) -> dict[str, Any]:
        return orjson.loads(self.body)

    def verify(self, secret: str) -> Any:
        return Webhook(secret).verify(self.body, self.headers)


@dataclass
class Receiver:
    """`behave` takes a request's number and path, and names a behaviour: `ok`, a status, `hang`, `redirect` …"""

    behave: Callable[[int, str], str] = lambda _number, _path: "ok"
    received: list[Received] = field(default_factory=list)
    released: threading.Event = field(default_factory=threading.Event)
    port: int = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def taken(self, path: str = "/") -> list[Received]:
        """What was answered with success at a path."""
        return [one for one in self.received if one.behaviour == "ok" and one.path == path]


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    receiver: Receiver

    def do_POST(self) -> None:
        receiver = self.receiver
        length = int(self.headers["Content-Length"])
        body = self.rfile.read(length)
        if len(body) < length:
            # The sender was killed in the midst of it: nothing was delivered.
            self.close_connection = True
            return
        behaviour = receiver.behave(len(receiver.received), self.path)
        headers = {name.lower(): value for name, value in self.headers.items()}
        receiver.received.append(Received(self.path, headers, body, behaviour))
        self.close_connection = True
        if behaviour == "hang":
            receiver.released.wait(60)
        elif behaviour == "drip":
            # Each byte comes in time, and the whole never does.
            self.wfile.write(b"HTTP/1.1 200 OK\r\nX-Slow: ")
            while not receiver.released.wait(0.02):
                self.wfile.write(b"x")
        elif behaviour == "garbage":
            self.wfile.write(b"\x00\xff\xfe not HTTP \r\n\r\n" * 20)
        elif behaviour == "close":
            return
        elif behaviour == "large":
            self._answer(200, b"\x00\xff" * 100_000)
        elif behaviour.startswith("retry "):
            self._answer(503, b"", **{"retry-after": behaviour.removeprefix("retry ")})
        elif behaviour == "redirect":
            self._answer(302, b"", location=f"{receiver.url}/inner")
        else:
            self._answer(200 if behaviour == "ok" else int(behaviour), b"thanks")

    def _answer(self, status: int, body: bytes, **headers: str) -> None:
        self.send_response(status)
        for name, value in {"content-length": str(len(body)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, *_: Any) -> None:
        """A caller that gave up has closed its side."""


@contextmanager
def receiving(found: Receiver) -> Iterator[Receiver]:
    """Inside it the receiver answers on a port of its own."""
    server = _Server(("127.0.0.1", 0), type("Handler", (_Handler,), {"receiver": found}))
    found.port = server.server_address[1]
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    try:
        yield found
    finally:
        found.released.set()
        server.shutdown()
        server.server_close()


@pytest.fixture
def receiver(settings: Any) -> Iterator[Receiver]:
    settings.WEBHOOK_ALLOWED_NETWORKS = ["127.0.0.0/8"]
    with receiving(Receiver()) as found:
        yield found


@pytest.fixture
def make_webhook(environment: Environment, receiver: Receiver) -> Callable[..., IssuedWebhook]:
    """Make a webhook of acme that is told of everything, at a path of the receiver."""

    def make(path: str = "/", **fields: Any) -> IssuedWebhook:
        payload = {"name": f"hook {path}", "url": f"{receiver.url}{path}", "events": ["*"], **fields}
        organization = environment.project.organization
        return services.create_webhook(actor=ALICE, organization=organization, payload=payload)

    return make


@pytest.fixture
def webhook(make_webhook: Callable[..., IssuedWebhook]) -> WebhookEndpoint:
    return make_webhook().endpoint
