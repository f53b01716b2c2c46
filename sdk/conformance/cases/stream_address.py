"""Where the stream is, and to whom the credential is shown."""

from __future__ import annotations

from sdk.conformance.answers import status
from sdk.conformance.documents import SERVER_KEY, off
from sdk.conformance.endpoints import SNAPSHOT, STREAM
from sdk.conformance.registry import Run, case, equal, expect


@case("address", "the stream that the snapshot names is followed, with the credential")
def named(run: Run) -> None:
    server, stream = run.server(), run.server()
    server.snapshot_headers["X-FlagShip-Stream"] = stream.url
    client = run.following(stream, url=server.url)
    equal(stream.of(STREAM)[0].headers.get("authorization"), f"Bearer {SERVER_KEY}")
    stream.change(off())
    run.until(lambda: client.value() is False, "a change on that stream is applied")
    equal(server.of(STREAM), [])


@case("address", "a stream address of one's own goes before the one that is named")
def given(run: Run) -> None:
    server, stream, stranger = run.server(), run.server(), run.server()
    server.snapshot_headers["X-FlagShip-Stream"] = stranger.url
    run.following(stream, url=server.url, streamUrl=stream.url)
    equal(stranger.asked, [])


@case("address", "a redirect to the named stream is followed, with the credential")
def redirect(run: Run) -> None:
    server, stream = run.server(), run.server()
    server.snapshot_headers["X-FlagShip-Stream"] = stream.url
    # The first attempt at the named one fails, so that the API's own address has its turn.
    stream.scripts[STREAM].append(status(500))
    server.always[STREAM] = status(307, Location=f"{stream.url}/api/stream")
    run.following(stream, url=server.url)
    equal(stream.of(STREAM)[-1].headers.get("authorization"), f"Bearer {SERVER_KEY}")
    equal(len(server.of(STREAM)), 1)


@case("address", "a redirect to a stranger is not followed, and polling goes on")
def stranger(run: Run) -> None:
    server, stranger_ = run.server(), run.server()
    server.always[STREAM] = status(307, Location=f"{stranger_.url}/api/stream")
    client = run.client(server, pollAfterSeconds=0.1)
    run.until(lambda: len(server.of(STREAM)) >= 3, "the stream is asked for again and again")
    server.version, server.flags = 2, {"asked": off()}
    run.until(lambda: client.value() is False, "a change is polled")
    equal(stranger_.asked, [])


@case("address", "a redirect of the snapshot is not followed, and is said")
def snapshot_redirect(run: Run) -> None:
    server, stranger_ = run.server(), run.server()
    server.always[SNAPSHOT] = status(301, Location=f"{stranger_.url}/api/snapshot")
    client = run.client(server, startWaitSeconds=0.01)
    error = run.until(lambda: client.status()["error"], "an error is said")
    expect(str(stranger_.port) in error, f"the error names no address: {error!r}")
    equal(stranger_.asked, [])


@case("address", "an address with a path and a slash at its end has the routes below it")
def prefix(run: Run) -> None:
    server = run.server()
    run.client(server, url=f"{server.url}/flags/", startWaitSeconds=0.01)
    run.until(lambda: server.of("/flags/api/snapshot"), "the snapshot is asked for below the path")
