"""What a client does when the server is away, broken, slow or against it: it comes back, never too fast, never not."""

from __future__ import annotations

import time
from typing import Any

from sdk.conformance.answers import Answer, brief_stream, cut, drip, reset, silent, status, whole
from sdk.conformance.documents import flag, keep_alive, off
from sdk.conformance.endpoints import CERTIFICATE, SNAPSHOT, STREAM, Endpoints
from sdk.conformance.registry import QUICK, Run, case, equal, expect
from sdk.conformance.service import TLS, Client

# Half of the first ceiling, less what clocks and sockets differ by.
_LEAST_PAUSE = QUICK["firstBackoffSeconds"] / 2 - 0.01


def _comes_back(run: Run, server: Endpoints, client: Client) -> None:
    """The stream is open again, and a change on it is applied."""
    before = client.value()
    run.until(lambda: server.streams, "the stream is open again")
    server.change(off() if before else flag())
    run.until(lambda: client.value() is not before, "a change is applied")


def _spaced(server: Endpoints, path: str, least: float = _LEAST_PAUSE) -> None:
    pauses = server.pauses(path)
    expect(all(pause >= least for pause in pauses), f"connections too close to each other: {pauses}")


@case("retry", "an orderly end of the stream: it is asked for again after a pause", is_for_pages=True)
def orderly(run: Run) -> None:
    server = run.server()
    client = run.following(server)
    server.end_streams()
    run.until(lambda: len(server.of(STREAM)) == 2, "the stream is asked for again")
    _comes_back(run, server, client)
    _spaced(server, STREAM)


@case("retry", "connections refused: the client serves what it had and comes back", is_for_pages=True)
def refused(run: Run) -> None:
    server = run.server()
    client = run.following(server)
    server.stop()
    equal(client.value(), True)
    time.sleep(0.2)
    server.start()
    _comes_back(run, server, client)


@case("retry", "the stream is reset in the middle")
def stream_reset(run: Run) -> None:
    server = run.server()
    server.scripts[STREAM].extend([brief_stream(b"id: 2\nevent: flag_", is_reset=True)] * 2)
    client = run.client(server)
    run.until(lambda: len(server.of(STREAM)) == 3, "the stream is asked for again")
    _comes_back(run, server, client)
    _spaced(server, STREAM)


def _broken(title: str, path: str, *answers: Answer, is_for_pages: bool = True, **options: Any) -> None:
    """At `path` these answers come first, and the client gets over each."""

    @case("retry", title, is_for_pages=is_for_pages)
    def play(run: Run) -> None:
        server = run.server()
        server.scripts[path].extend(answers)
        client = run.client(server, startWaitSeconds=0.01, **options)
        run.until(lambda: not server.scripts[path], "all broken answers are had")
        run.until(lambda: client.value() is True, "the flag is served")
        _comes_back(run, server, client)
        _spaced(server, path)


_broken("the snapshot's connection is reset", SNAPSHOT, reset, reset)
_broken("the snapshot ends in the middle", SNAPSHOT, cut, cut)
_broken("the snapshot is no JSON, and then no snapshot", SNAPSHOT, whole(b"<html>"), whole(b'{"contract": 99}'))
_broken("a snapshot that never begins is given up", SNAPSHOT, silent, connectSeconds=0.3)
_broken("a snapshot that drips is given up", SNAPSHOT, drip(), answerSeconds=0.4)
# A browser gives up no stream by itself, and waits before it connects again as long as it likes.
_BY_ITSELF: dict[str, Any] = {"is_for_pages": False}
_broken("the stream's connection is reset before an answer", STREAM, reset, reset, **_BY_ITSELF)
_broken("a stream that never begins is given up", STREAM, silent, connectSeconds=0.3, **_BY_ITSELF)
_broken("a stream that drips is given up", STREAM, drip("text/event-stream"), silenceSeconds=0.4, **_BY_ITSELF)
_broken("a stream of another content type is none", STREAM, drip("text/html"), whole(b"[]"))

for _code in (401, 403, 404, 500):
    _broken(f"the snapshot is refused with {_code}", SNAPSHOT, status(_code))
    _broken(f"the stream is refused with {_code}", STREAM, status(_code))
_others = [status(code) for code in (400, 405, 408, 429, 502, 503, 504)]
_broken("the snapshot is refused with any other status", SNAPSHOT, *_others, mostBackoffSeconds=0.1)
_broken("the stream is refused with any other status", STREAM, *_others, mostBackoffSeconds=0.1)


@case(
    "retry", "a silent stream is given up after two missed keep-alives, and not before", is_slow=True, is_for_pages=True
)
def silent_stream(run: Run) -> None:
    server = run.server()
    client = run.following(server, silenceSeconds=5.0)
    for _ in range(10):
        time.sleep(0.6)
        server.say(keep_alive())
    equal(len(server.of(STREAM)), 1, "streams while keep-alives come")
    run.until(lambda: len(server.of(STREAM)) == 2, "the silent stream is given up")
    _comes_back(run, server, client)


@case("retry", "streams that end at once: pauses grow, and no whole is fetched each time")
def flapping(run: Run) -> None:
    server = run.server()
    server.always[STREAM] = brief_stream(b"retry: 1\n\n" + keep_alive())
    client = run.client(server, mostBackoffSeconds=1.0)
    run.until(lambda: len(server.of(STREAM)) >= 6, "six streams have ended")
    pauses = server.pauses(STREAM)[:5]
    _spaced(server, STREAM)
    expect(min(pauses[3:]) > 0.15, f"the pauses do not grow: {pauses}")
    equal(len(server.of(SNAPSHOT)), 1, "fetched snapshots")
    equal(client.value(), True)


@case("retry", "pauses start anew after a stream that lasted")
def anew(run: Run) -> None:
    server = run.server()
    server.scripts[STREAM].extend([brief_stream()] * 5)
    client = run.client(server, mostBackoffSeconds=2.0, healthySeconds=0.3)
    run.until(lambda: len(server.of(STREAM)) == 6 and client.status()["connection"] == "streaming", "a stream lasts")
    for _ in range(3):
        _end_after_a_while(run, server)
    _, _, _, _, grown, *again = server.pauses(STREAM)
    expect(grown > 0.35, f"the pauses did not grow: {server.pauses(STREAM)}")
    # The least of three: a busy machine may hold one up.
    expect(min(again) < grown, f"the pauses did not start anew: {server.pauses(STREAM)}")
    _comes_back(run, server, client)


def _end_after_a_while(run: Run, server: Endpoints) -> None:
    asked = len(server.of(STREAM))
    time.sleep(0.6)
    server.end_streams()
    run.until(lambda: len(server.of(STREAM)) > asked, "the stream is asked for again")


@case("retry", "a refused key is asked with again after long pauses, for as long as it takes")
def refused_key(run: Run) -> None:
    server = run.server()
    server.key = "fs_server_another"
    client = run.client(server, startWaitSeconds=0.01, firstBackoffSeconds=0.02, mostRefusedSeconds=0.4)
    run.until(lambda: len(server.of(SNAPSHOT)) >= 4, "it is asked again")
    # Ten times the usual pause and more.
    _spaced(server, SNAPSHOT, 0.09)
    equal(client.status()["connection"], "refused")
    server.key = server.of(SNAPSHOT)[0].headers["authorization"].removeprefix("Bearer ")
    run.until(lambda: client.value() is True, "the flag is served once the key works")
    _comes_back(run, server, client)


@case("retry", "Retry-After is obeyed", is_for_pages=True)
def retry_after(run: Run) -> None:
    server = run.server()
    server.scripts[SNAPSHOT].append(status(503, Retry_After="1"))
    client = run.client(server, startWaitSeconds=0.01)
    run.until(lambda: client.value() is True, "the flag is served")
    _spaced(server, SNAPSHOT, 0.95)


@case("retry", "a failed TLS handshake ends nothing", TLS)
def tls_failure(run: Run) -> None:
    server = run.server(is_tls=True)
    server.stop()
    server.is_tls = False
    server.start()
    client = run.client(server, startWaitSeconds=0.01, connectSeconds=0.5, caFile=str(CERTIFICATE))
    run.until(lambda: client.status()["error"], "an error is said")
    server.stop()
    server.is_tls = True
    server.start()
    run.until(lambda: client.value() is True, "the flag is served")
    _comes_back(run, server, client)


@case("retry", "a certificate that nobody vouches for is refused, again and again", TLS)
def unknown_certificate(run: Run) -> None:
    server = run.server(is_tls=True)
    client = run.client(server, startWaitSeconds=0.01)
    error = run.until(lambda: client.status()["error"], "an error is said")
    expect("certificate" in error.lower(), f"the error names no certificate: {error!r}")
    equal(server.asked, [])
