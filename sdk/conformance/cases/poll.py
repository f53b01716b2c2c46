"""The snapshot asked for now and then: in the mode "poll", and while there is no stream."""

from __future__ import annotations

from sdk.conformance.answers import Asked, Call, reset, status
from sdk.conformance.documents import off
from sdk.conformance.endpoints import SNAPSHOT, STREAM, Endpoints
from sdk.conformance.registry import Run, case, equal, expect


@case("poll", "the snapshot is asked for with its ETag, and no stream", is_for_pages=True)
def etag(run: Run) -> None:
    server = run.server()
    client = run.client(server, mode="poll")
    run.until(lambda: len(server.of(SNAPSHOT)) >= 3, "the snapshot is asked for again")
    asked = server.of(SNAPSHOT)
    expect("if-none-match" not in asked[0].headers, "the first request names an ETag")
    expect(asked[1].headers.get("if-none-match"), "the second request names no ETag")
    equal(client.value(), True)
    equal(server.of(STREAM), [])


@case("poll", "a changed snapshot is applied whole", is_for_pages=True)
def changed(run: Run) -> None:
    server = run.server()
    client = run.client(server, mode="poll")
    run.until(lambda: client.value() is True, "the first snapshot is served")
    server.version, server.flags = 2, {"asked": off()}
    run.until(lambda: client.value() is False, "the second snapshot is served")


@case("poll", "an earlier snapshot comes from a process that lags, and is passed over")
def lagging(run: Run) -> None:
    server = run.server()
    server.version = 9
    client = run.client(server, mode="poll")
    run.until(lambda: client.value() is True, "the first snapshot is served")
    server.version, server.flags = 8, {"asked": off()}
    before = len(server.of(SNAPSHOT))
    run.until(lambda: len(server.of(SNAPSHOT)) >= before + 3, "it is polled")
    equal((client.value(), client.version), (True, 9))


@case("poll", "earlier snapshots for as long as answers may go without news: the server went back to a backup")
def went_back(run: Run) -> None:
    server = run.server()
    server.version = 9
    client = run.client(server, mode="poll", staleAfterSeconds=1.0)
    run.until(lambda: client.value() is True, "the first snapshot is served")
    server.version, server.flags = 3, {"asked": off()}
    run.until(lambda: client.version == 3, "the earlier snapshot is applied")
    equal(client.value(), False)


@case("poll", "after failures the pauses grow, and are normal after two good polls", is_for_pages=True)
def back_to_normal(run: Run) -> None:
    server = run.server()
    server.scripts[SNAPSHOT].extend([status(500)] * 5)
    client = run.client(server, mode="poll", startWaitSeconds=0.01, pollSeconds=0.05, mostBackoffSeconds=1.0)
    run.until(lambda: not server.scripts[SNAPSHOT], "all failures are had")
    run.until(lambda: client.value() is True, "the flag is served")
    run.until(lambda: len(server.of(SNAPSHOT)) >= 9, "it is polled on")
    pauses = server.pauses(SNAPSHOT)
    expect(pauses[3] > 0.15 and pauses[4] > 0.3, f"the pauses do not grow: {pauses}")
    # The least of three: a busy machine may hold one up.
    pause = min(_pause_after_failure(run, server) for _ in range(3))
    expect(pause < pauses[4], f"a failure after good polls is not the first again: {pause} after {pauses}")


def _pause_after_failure(run: Run, server: Endpoints) -> float:
    """Refuse one poll, and wait for three good ones."""
    failed: list[Asked] = []
    refuse = status(500)

    def answer(call: Call) -> None:
        failed.append(call.asked)
        refuse(call)

    def after() -> list[Asked]:
        return [one for one in server.of(SNAPSHOT) if failed and one.at > failed[0].at]

    server.scripts[SNAPSHOT].append(answer)
    run.until(lambda: len(after()) >= 3, "it is polled on after one more failure")
    again = after()[0]
    return again.at - (failed[0].ended_at or again.at)


@case("poll", "a broken connection between two polls costs one poll", is_for_pages=True)
def broken(run: Run) -> None:
    server = run.server()
    client = run.client(server, mode="poll")
    run.until(lambda: client.value() is True, "the flag is served")
    server.scripts[SNAPSHOT].append(reset)
    run.until(lambda: not server.scripts[SNAPSHOT], "the poll is broken")
    server.version, server.flags = 2, {"asked": off()}
    run.until(lambda: client.value() is False, "the next poll is applied")


@case("poll", "without a stream the client polls, and goes back to the stream")
def instead_of_stream(run: Run) -> None:
    server = run.server()
    server.always[STREAM] = status(500)
    client = run.client(server, pollAfterSeconds=0.1)
    run.until(lambda: len(server.of(SNAPSHOT)) >= 3, "it is polled")
    server.version, server.flags = 2, {"asked": off()}
    run.until(lambda: client.value() is False, "a poll is applied")
    del server.always[STREAM]
    run.until(lambda: server.streams, "the stream is followed")
    polls = len(server.of(SNAPSHOT))
    server.change(off("second"))
    run.until(lambda: client.value("second", default=None) is False, "a change on the stream is applied")
    expect(len(server.of(SNAPSHOT)) <= polls + 1, "it is polled beside the stream")
