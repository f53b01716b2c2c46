"""The browser's SDK in Chromium, on a page of another origin: changes, a second tab, an absent platform, no storage."""

from __future__ import annotations

import json
import queue
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from flagship.tests.browser.conftest import PATIENCE_MS, window
from sdk.conformance.javascript import SDK, build

pytestmark = [pytest.mark.browser, pytest.mark.node]

_PAGE = """<!doctype html><title>shop</title><p id="greeting"></p><script type="module">
import { FlagShip } from "/openflagship.js";
const client = window.client = new FlagShip("fs_client_test_key", "PLATFORM", { context: { targetingKey: "ada" } });
const show = () => { document.getElementById("greeting").textContent = client.getValue("greeting", "default"); };
client.onChange(show);
window.source = await client.ready();
show();
</script>"""
_NO_STORAGE = 'Object.defineProperty(window, "localStorage", { get() { throw new Error("forbidden"); } });'


class Platform(ThreadingHTTPServer):
    """Serves the page at one address and answers it at another, which is another origin."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.greeting, self.is_away = "hello", False
        self.listeners: list[queue.SimpleQueue[bytes]] = []
        self.exposures: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self.page_url = f"http://127.0.0.1:{self.server_port}/"
        self.url = f"http://localhost:{self.server_port}"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A page that is closed hangs up."""

    def change(self, greeting: str) -> None:
        self.greeting = greeting
        for listener in self.listeners:
            listener.put(b'data: {"type":"refetchEvaluation"}\n\n')


class _Handler(BaseHTTPRequestHandler):
    server: Platform

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class's name
        """Say nothing."""

    def _send(self, status: int, kind: str, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Access-Control-Allow-Origin", "*")
        self.send_header("Access-Control-Allow-Headers", "authorization, content-type, if-none-match")
        self.send_header("Access-Control-Expose-Headers", "etag, retry-after")
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_OPTIONS(self) -> None:
        self._send(204, "text/plain", b"")

    def do_GET(self) -> None:
        if self.path == "/stream":
            self._stream()
        elif self.path == "/openflagship.js":
            self._send(200, "text/javascript", (SDK / "web/dist/index.js").read_bytes())
        elif self.path == "/":
            self._send(200, "text/html", _PAGE.replace("PLATFORM", self.server.url).encode())
        else:
            self._send(204, "text/plain", b"")

    def do_POST(self) -> None:
        sent = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self.path.startswith("/api/events/"):
            self._send(202, "application/json", b'{"accepted": 1, "rejected": []}')
            self.server.exposures.put(sent)
            return
        flags = [{"key": "greeting", "value": self.server.greeting, "variant": "a", "reason": "SPLIT"}]
        body = {"flags": flags, "eventStreams": [{"type": "sse", "endpoint": {"requestUri": "/stream"}}]}
        self._send(503 if self.server.is_away else 200, "application/json", json.dumps(body).encode())

    def _stream(self) -> None:
        news: queue.SimpleQueue[bytes] = queue.SimpleQueue()
        self.server.listeners.append(news)
        self.send_response(200)
        self.send_header("Access-Control-Allow-Origin", "*")
        self.send_header("Content-Type", "text/event-stream")
        self.end_headers()
        while True:
            self.wfile.write(news.get())
            self.wfile.flush()


@pytest.fixture
def platform() -> Iterator[Platform]:
    build()
    server = Platform()
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


def _shows(page: Any, text: str) -> None:
    page.locator("#greeting", has_text=text).wait_for(timeout=PATIENCE_MS)


def test_page__of_another_origin__follows_in_every_tab__and_sends_when_it_is_left(
    chromium: Any, platform: Platform
) -> None:
    context = window(chromium)
    first, second = context.new_page(), context.new_page()
    for page in (first, second):
        page.goto(platform.page_url)
        _shows(page, "hello")
    while len(platform.listeners) < 2:
        first.wait_for_timeout(5)

    platform.change("good morning")

    for page in (first, second):
        _shows(page, "good morning")
    first.goto("about:blank")
    sent = platform.exposures.get(timeout=PATIENCE_MS / 1000)
    assert {(event["userId"], event["flagKey"], event["variant"]) for event in sent["events"]} == {
        ("ada", "greeting", "a")
    }
    platform.is_away = True
    first.goto(platform.page_url)
    _shows(first, "good morning")
    assert first.evaluate("source") == "store"
    platform.is_away = False
    context.set_offline(True)
    second.evaluate("client.identify({ targetingKey: 'bob' })")
    _shows(second, "default")
    context.set_offline(False)
    _shows(second, "good morning")
    context.close()


def test_page__without_storage__works_as_well(chromium: Any, platform: Platform) -> None:
    context = window(chromium)
    context.add_init_script(_NO_STORAGE)
    page = context.new_page()
    complaints: list[str] = []
    page.on("pageerror", lambda error: complaints.append(str(error)))

    page.goto(platform.page_url)

    _shows(page, "hello")
    assert page.evaluate("source") == "network"
    context.close()
    assert complaints == []
