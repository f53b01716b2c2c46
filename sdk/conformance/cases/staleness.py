"""When answers are marked stale: by the clock, and by what the sender says of its own news."""

from __future__ import annotations

import time

from sdk.conformance.answers import silent, status
from sdk.conformance.documents import flag, keep_alive, off, sse
from sdk.conformance.endpoints import SNAPSHOT, STREAM
from sdk.conformance.registry import Run, case, equal
from sdk.conformance.service import Service


@case("staleness", "without news for the limit answers are marked, although the follower hangs")
def by_the_clock(run: Run) -> None:
    server = run.server()
    server.always[STREAM] = silent
    client = run.client(server, staleAfterSeconds=0.4)
    run.until(lambda: client.value() is True, "the flag is served")
    run.until(lambda: client.is_stale, "answers are marked stale")
    equal(client.answer()["stale"], True)
    equal(client.value(), True)


@case("staleness", "keep-alives hold answers current", is_slow=True)
def kept_current(run: Run) -> None:
    server = run.server()
    client = run.following(server, staleAfterSeconds=5.0)
    for _ in range(10):
        time.sleep(0.6)
        server.say(keep_alive())
    equal(client.is_stale, False)
    run.until(lambda: client.is_stale, "answers are marked stale")
    server.say(keep_alive())
    run.until(lambda: not client.is_stale, "answers are current again")


@case("staleness", "a stream that drips holds nothing current")
def dripping(run: Run) -> None:
    server = run.server()
    client = run.following(server, staleAfterSeconds=0.5)

    def is_stale() -> bool:
        server.say(b"x")
        return client.is_stale

    run.until(is_stale, "answers are marked stale")


@case("staleness", "a keep-alive that tells of its sender's old news makes stale, and a fresh one current")
def sender_age(run: Run) -> None:
    server = run.server()
    client = run.following(server)
    server.say(keep_alive(50))
    time.sleep(0.1)
    equal(client.is_stale, False)
    server.say(keep_alive(61))
    run.until(lambda: client.is_stale, "answers are marked stale")
    server.say(sse("flag_updated", off(), 2))
    run.until(lambda: client.value() is False, "a change is applied")
    equal(client.is_stale, True, "stale after an old event of a sender without news")
    server.say(keep_alive(0.5))
    run.until(lambda: not client.is_stale, "answers are current again")


@case("staleness", "a snapshot and a stream of a sender without news are stale from the start")
def stale_sender(run: Run) -> None:
    server = run.server()
    server.snapshot_headers["X-FlagShip-Age"] = server.stream_headers["X-FlagShip-Age"] = "300"
    client = run.following(server)
    run.until(lambda: client.is_stale, "answers are marked stale")
    equal(client.value(), True)
    server.snapshot_headers["X-FlagShip-Age"] = server.stream_headers["X-FlagShip-Age"] = "0"
    server.end_streams()
    run.until(lambda: not client.is_stale, "answers are current again")


@case("staleness", "polls of a sender without news are stale, and 304 says its age too")
def stale_polls(run: Run) -> None:
    server = run.server()
    client = run.client(server, mode="poll")
    run.until(lambda: client.value() is True, "the flag is served")
    server.snapshot_headers["X-FlagShip-Age"] = "300"
    run.until(lambda: client.is_stale, "answers are marked stale")
    server.snapshot_headers["X-FlagShip-Age"] = "1.5"
    run.until(lambda: not client.is_stale, "answers are current again")


@case("staleness", "what is said of an age that is none is passed over")
def odd_age(run: Run) -> None:
    server = run.server()
    server.snapshot_headers["X-FlagShip-Age"] = "NaN"
    client = run.following(server)
    server.say(b": keep-alive age=soon\n\n: keep-alive age=-5\n\n")
    server.change(flag("second"))
    run.until(lambda: client.value("second", default=None) is True, "a change is applied")
    equal(client.is_stale, False)


@case("staleness", "the server comes back: answers are current again")
def comes_back(run: Run) -> None:
    server = run.server()
    client = run.following(server, staleAfterSeconds=0.4)
    server.always[SNAPSHOT] = server.always[STREAM] = status(503)
    server.end_streams()
    run.until(lambda: client.is_stale, "answers are marked stale")
    server.always.clear()
    run.until(lambda: not client.is_stale, "answers are current again")


@case("staleness", "a client behind an edge that is cut off from its server becomes stale with it", is_slow=True)
def behind_an_edge(run: Run) -> None:
    server = run.server()
    edges = Service("edge")
    run.on_exit(edges.close)
    edge = run.client_of(edges, server, keepAliveSeconds=0.1)
    run.until(lambda: edge.value() is True, "the edge serves the flag")
    client = run.client(server, url=edge.status()["edgeUrl"], staleAfterSeconds=2.0)
    run.until(lambda: client.value() is True, "the flag is served")

    def is_current() -> bool:
        server.say(keep_alive())
        return not client.is_stale

    server.stop()
    # The edge goes on with its keep-alives: nothing but what they say makes the client stale.
    run.until(lambda: client.is_stale, "answers are marked stale")
    equal((edge.is_stale, client.value(), client.status()["connection"]), (False, True, "streaming"))
    server.start()
    run.until(is_current, "answers are current again")
