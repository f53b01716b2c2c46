"""Exposures and conversions: how they are sent, sent again, bounded and left unsent."""

from __future__ import annotations

import socket
import socketserver
import threading
from typing import Any

from sdk.conformance.answers import status
from sdk.conformance.documents import SERVER_KEY, off
from sdk.conformance.endpoints import CERTIFICATE
from sdk.conformance.registry import Run, case, equal, expect
from sdk.conformance.service import EVENTS, HTTP, PROXY, TLS

_EXPOSURE, _CONVERSION = "/api/events/exposure", "/api/events/conversion"
# Nothing is sent by itself: the case asks for it.
_BY_HAND = {"flushSeconds": 3600.0, "flushCount": 100_000}


@case("events", "a post has the key, a type, and an id for each event", EVENTS, is_for_pages=True)
def form(run: Run) -> None:
    server = run.server()
    client = run.following(server, **_BY_HAND)
    client.track("purchase", "user-1", 9.5, currency="EUR")
    expect(client.flush(), "it was not flushed")
    asked = server.of(_CONVERSION)[0]
    equal(asked.method, "POST")
    equal(asked.headers.get("authorization"), f"Bearer {SERVER_KEY}")
    expect(asked.headers.get("content-type", "").startswith("application/json"), "it is not sent as JSON")
    (event,) = asked.json["events"]
    equal((event["eventName"], event["userId"], event["value"]), ("purchase", "user-1", 9.5))
    equal(event["properties"], {"currency": "EUR"})


@case("events", "one exposure for each unit, variant and version", EVENTS, is_for_pages=True)
def exposures(run: Run) -> None:
    server = run.server()
    client = run.following(server, **_BY_HAND)
    for _ in range(3):
        client.answer(user="user-1")
        client.answer(user="user-2")
    server.change(off())
    run.until(lambda: client.version == 2, "the change is applied")
    client.answer(user="user-1")
    client.all("user-3")
    expect(client.flush(), "it was not flushed")
    found = sorted((event["userId"], event["variant"]) for event in server.events("exposure"))
    equal(found, [("user-1", "control"), ("user-1", "treatment"), ("user-2", "treatment")])


@case("events", "a failed post is sent again with the same ids", EVENTS, is_for_pages=True)
def same_ids(run: Run) -> None:
    server = run.server()
    server.scripts[_EXPOSURE].extend([status(500), status(503)])
    client = run.following(server)
    client.answer()
    run.until(lambda: len(server.of(_EXPOSURE)) == 3, "it is sent again")
    sent = [one.json["events"] for one in server.of(_EXPOSURE)]
    equal(sent[1], sent[0])
    equal(sent[2], sent[0])
    client.answer(user="user-2")
    run.until(lambda: len(server.of(_EXPOSURE)) == 4, "the next event is sent")
    expect(server.of(_EXPOSURE)[3].json["events"] != sent[0], "the next event is the one before it")


@case("events", "each post has an id of its own, and the same when it is sent again", EVENTS)
def payload_id(run: Run) -> None:
    server = run.server()
    server.scripts[_CONVERSION].extend([status(503)])
    client = run.following(server, **_BY_HAND)
    for user in ("user-1", "user-2"):
        client.track("purchase", user)
        run.until(client.flush, "it is sent")
    first, again, second = [one.headers.get("idempotency-key") for one in server.of(_CONVERSION)]
    expect(first, "Idempotency-Key is missing")
    equal(again, first)
    expect(second != first, "two posts have the same id")


@case("events", "a summary of what was evaluated is sent, although the queue is full", EVENTS)
def summary(run: Run) -> None:
    server = run.server()
    client = run.following(server, mostEvents=1, usageSeconds=0.1, flushCount=100_000)
    for number in range(5):
        client.answer(user=f"user-{number}")
    client.answer("nobody-knows-it", default=7)
    counts: dict[tuple[str, str], int] = {}

    def is_summed() -> bool:
        counts.clear()
        for one in server.of("/api/events/usage"):
            for row in one.json["flags"]:
                key = row["flagKey"], row["reason"]
                counts[key] = counts.get(key, 0) + row["count"]
        return counts.get(("asked", "ROLLOUT")) == 5

    run.until(is_summed, "five evaluations are summed up")
    run.until(
        lambda: any("nobody-knows-it" in str(one.json) for one in server.of("/api/events/usage")),
        "the unknown key is said",
    )


@case("events", "Retry-After of a refused post is obeyed", EVENTS, is_for_pages=True)
def retry_after(run: Run) -> None:
    server = run.server()
    server.scripts[_EXPOSURE].append(status(429, Retry_After="1"))
    client = run.following(server)
    client.answer()
    run.until(lambda: len(server.of(_EXPOSURE)) == 2, "it is sent again")
    expect(server.pauses(_EXPOSURE)[0] >= 0.95, f"it was sent too soon: {server.pauses(_EXPOSURE)}")


@case("events", "a large post is packed", EVENTS, HTTP)
def packed(run: Run) -> None:
    server = run.server()
    client = run.following(server, **_BY_HAND)
    for number in range(30):
        client.track("purchase", f"user-{number}", number, note="x" * 100)
    expect(client.flush(), "it was not flushed")
    equal(server.of(_CONVERSION)[0].headers.get("content-encoding"), "gzip")
    equal(len(server.events("conversion")), 30)


@case("events", "no more than the capacity wait, and the dropped ones are counted", EVENTS, is_for_pages=True)
def capacity(run: Run) -> None:
    server = run.server()
    client = run.following(server, mostEvents=5, **_BY_HAND)
    for number in range(20):
        client.track("purchase", f"user-{number}")
    equal(client.status()["eventsDropped"], 15)
    expect(client.flush(), "it was not flushed")
    equal(len(server.events("conversion")), 5)
    client.track("purchase", "later")
    expect(client.flush(), "it was not flushed")
    equal(server.events("conversion")[-1]["userId"], "later")


@case("events", "each refused event of an accepted post is counted", EVENTS)
def rejected(run: Run) -> None:
    server = run.server()
    refusal = b'{"accepted": 1, "rejected": [{"index": 1, "code": "invalid", "detail": "no such thing"}]}'
    server.scripts[_CONVERSION].append(lambda call: call.respond(202, refusal))
    client = run.following(server, **_BY_HAND)
    client.track("one")
    client.track("two")
    client.flush()
    found = client.status()
    equal((found["eventsSent"], found["eventsRejected"]), (1, 1))


@case("events", "switched off, nothing is sent", EVENTS, is_for_pages=True)
def switched_off(run: Run) -> None:
    server = run.server()
    client = run.following(server, isSendingEvents=False)
    client.answer()
    client.track("purchase")
    client.flush()
    client.close()
    equal([one.path for one in server.asked if one.path.startswith("/api/events/")], [])


@case("events", "what waits is sent on close", EVENTS, is_for_pages=True)
def on_close(run: Run) -> None:
    server = run.server()
    client = run.following(server, **_BY_HAND)
    client.answer()
    client.track("purchase")
    client.close()
    equal((len(server.events("exposure")), len(server.events("conversion"))), (1, 1))


@case("events", "over TLS with an authority of one's own", EVENTS, TLS)
def own_authority(run: Run) -> None:
    server = run.server(is_tls=True)
    client = run.following(server, caFile=str(CERTIFICATE))
    client.answer()
    run.until(lambda: server.events("exposure"), "the exposure arrives")


@case("events", "everything goes through the proxy", EVENTS, PROXY)
def through_proxy(run: Run) -> None:
    server = run.server()
    proxy = _Proxy(server.port)
    run.on_exit(proxy.close)
    # No such host: only the proxy can find it.
    client = run.following(server, url="http://flags.invalid", proxy=proxy.url)
    client.answer()
    run.until(lambda: server.events("exposure"), "the exposure arrives")
    paths = {one.path.removeprefix("http://flags.invalid") for one in server.asked}
    expect({"/api/snapshot", "/api/stream", _EXPOSURE} <= paths, f"not everything came: {paths}")


class _Proxy(socketserver.ThreadingTCPServer):
    """Leads every connection to one port, and takes the scheme and host out of the request's first line."""

    daemon_threads = True
    allow_reuse_address = True

    def __init__(self, port: int) -> None:
        self.target = port
        super().__init__(("127.0.0.1", 0), _ProxyHandler)
        self.url = f"http://127.0.0.1:{self.server_address[1]}"
        threading.Thread(target=self.serve_forever, args=(0.01,), daemon=True).start()

    def close(self) -> None:
        self.shutdown()
        self.server_close()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A peer that hangs up is no error of the harness."""


class _ProxyHandler(socketserver.BaseRequestHandler):
    def handle(self) -> None:
        target: int = self.server.target  # type: ignore[attr-defined]  # the server above
        data = self.request.recv(65_536).replace(b"http://flags.invalid/", b"/", 1)
        with socket.create_connection(("127.0.0.1", target)) as onward:
            onward.sendall(data)
            back = threading.Thread(target=_pump, args=(onward, self.request), daemon=True)
            back.start()
            _pump(self.request, onward)
            back.join(30)


def _pump(source: socket.socket, target: socket.socket) -> None:
    try:
        while data := source.recv(65_536):
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)
    except OSError:
        pass
