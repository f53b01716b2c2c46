"""The runner waits for every `/readyz`, tells what is missing, and can be called off."""

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from flagship.runner import readiness
from flagship.runner.readiness import state, wait_until_ready

HOST = "127.0.0.1"


@pytest.fixture(autouse=True)
def _patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """An endpoint that has no turn on a busy machine is asked once all the same."""
    monkeypatch.setattr(readiness, "REQUEST_SECONDS", 90.0)


class Endpoint(HTTPServer):
    """Answers 503 `starting` so many times, then 200."""

    def __init__(self, unready_answers: int) -> None:
        super().__init__((HOST, 0), Handler)
        self.unready_answers = unready_answers
        self.paths: list[str] = []

    @property
    def address(self) -> tuple[str, int]:
        return HOST, self.server_port


class Handler(BaseHTTPRequestHandler):
    server: Endpoint

    def do_GET(self) -> None:
        self.server.paths.append(self.path)
        ready = self.server.unready_answers <= 0
        self.server.unready_answers -= 1
        body = b'{"status": "ready"}' if ready else b'{"status": "starting"}'
        self.send_response(200 if ready else 503)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_args: object) -> None:
        """Nothing to the test's stderr."""


@pytest.fixture
def serve() -> Iterator:
    endpoints: list[tuple[Endpoint, threading.Thread]] = []

    def start(unready_answers: int) -> Endpoint:
        endpoint = Endpoint(unready_answers)
        thread = threading.Thread(target=endpoint.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        endpoints.append((endpoint, thread))
        return endpoint

    yield start
    for endpoint, thread in endpoints:
        endpoint.shutdown()
        thread.join()
        endpoint.server_close()


def test_wait__endpoints_become_ready_one_after_another__returns_when_all_are(serve):
    reports: list[str] = []
    early, late = serve(0), serve(3)
    missing = wait_until_ready(
        {"web": early.address, "stream": late.address},
        seconds=90,
        cancelled=threading.Event(),
        report=reports.append,
    )
    assert missing == {}
    assert [report.split(" after")[0] for report in reports] == ["web is ready", "stream is ready"]
    assert early.paths == ["/readyz"]
    assert late.paths == ["/readyz"] * 4


def test_wait__one_never_ready__says_which_and_why(serve):
    missing = wait_until_ready(
        {"web": serve(0).address, "stream": serve(10_000).address},
        seconds=3,
        cancelled=threading.Event(),
        report=lambda _text: None,
    )
    assert missing == {"stream": "HTTP 503, starting"}


def test_wait__called_off__returns_at_once(serve):
    cancelled = threading.Event()
    cancelled.set()
    endpoint = serve(10_000)
    assert wait_until_ready({"web": endpoint.address}, seconds=60, cancelled=cancelled, report=print) == {}
    assert endpoint.paths == []


def test_state__nobody_listens__says_so(serve):
    endpoint = Endpoint(0)
    endpoint.server_close()
    assert state(*endpoint.address) == "not listening yet"
