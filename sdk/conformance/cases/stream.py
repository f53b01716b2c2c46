"""How a stream is asked for, read and caught up with."""

from __future__ import annotations

import json
import time

from sdk.conformance.answers import status
from sdk.conformance.documents import SERVER_KEY, flag, off, sse
from sdk.conformance.endpoints import SNAPSHOT, STREAM
from sdk.conformance.registry import Run, case, equal, expect
from sdk.conformance.service import RENAMES_NOTHING


@case("stream", "the request names the key, the version and what is accepted")
def request_form(run: Run) -> None:
    server = run.server()
    run.following(server)
    asked = server.of(STREAM)[0]
    equal(asked.method, "GET")
    equal(asked.headers.get("authorization"), f"Bearer {SERVER_KEY}")
    equal(asked.headers.get("accept"), "text/event-stream")
    equal(asked.headers.get("last-event-id"), "1")
    expect(asked.headers.get("x-flagship-sdk"), "X-FlagShip-SDK is missing")
    expect(asked.headers.get("user-agent"), "User-Agent is missing")


@case("stream", "the instance's name is the same for stream and acknowledgement", RENAMES_NOTHING)
def instance_name(run: Run) -> None:
    server = run.server()
    client = run.following(server, instance="pod-7")
    run.until(server.acknowledged, "the version is acknowledged")
    equal(client.status()["instance"], "pod-7")
    equal(server.of(STREAM)[0].headers.get("x-flagship-instance"), "pod-7")
    equal({one["instance"] for one in server.acknowledged()}, {"pod-7"})


@case("stream", "an applied version is acknowledged")
def acknowledged(run: Run) -> None:
    server = run.server()
    run.following(server)
    server.change(off())
    run.until(lambda: 2 in [one["version"] for one in server.acknowledged()], "version 2 is acknowledged")


@case("stream", "malformed JSON leaves the last good state, and the whole is fetched")
def malformed(run: Run) -> None:
    _recovers_from(run, sse("flag_updated", "{broken", 2))


@case("stream", "JSON of another shape leaves the last good state, and the whole is fetched")
def misshapen(run: Run) -> None:
    _recovers_from(run, sse("flag_updated", ["no", "flag"], 2))


@case("stream", "a snapshot that is none leaves the last good state, and the whole is fetched")
def no_snapshot(run: Run) -> None:
    _recovers_from(run, sse("snapshot", {"contract": 99}, 2))


def _recovers_from(run: Run, said: bytes) -> None:
    server = run.server()
    client = run.following(server)
    server.say(said)
    run.until(lambda: len(server.of(SNAPSHOT)) == 2 and server.streams, "the whole is fetched again")
    equal(client.value(), True)
    server.change(off())
    run.until(lambda: client.value() is False, "the next change is applied")


@case("stream", "kinds that are not known are passed over, JSON or not, and their ids noted")
def unknown_kinds(run: Run) -> None:
    server = run.server()
    client = run.following(server)
    server.version = 4
    server.say(sse("moon_phase", {"key": "asked"}, 2) + sse("moon_phase", "no json", 3) + sse("moon_phase", "", 4))
    server.change(off())
    run.until(lambda: client.value() is False, "a change after them is applied")
    server.end_streams()
    run.until(lambda: len(server.of(STREAM)) == 2, "the stream is asked for again")
    equal(server.of(STREAM)[1].headers.get("last-event-id"), "5")
    equal(len(server.of(SNAPSHOT)), 1, "fetched snapshots")


@case("stream", "the place of an unknown kind is where the client begins again")
def unknown_kind_noted(run: Run) -> None:
    server = run.server()
    client = run.following(server)
    server.say(sse("moon_phase", "no json", 7))
    run.until(lambda: client.version == 7, "the id is noted")
    server.end_streams()
    run.until(lambda: len(server.of(STREAM)) == 2, "the stream is asked for again")
    equal(server.of(STREAM)[1].headers.get("last-event-id"), "7")


@case("stream", "a cut stream is caught up with by Last-Event-ID, without a snapshot")
def catch_up(run: Run) -> None:
    server = run.server()
    client = run.following(server)
    server.change(flag("second"))
    run.until(lambda: client.version == 2, "the first change is applied")
    server.always[STREAM] = status(503)
    server.end_streams()
    run.until(lambda: not server.streams, "the stream has ended")
    server.change(off())
    server.change(off("second"))
    del server.always[STREAM]
    run.until(lambda: client.version == 4, "what was missed is applied")
    equal((client.value(), client.value("second")), (False, False))
    equal({one.headers.get("last-event-id") for one in server.of(STREAM)}, {"1", "2"})
    equal(len(server.of(SNAPSHOT)), 1, "fetched snapshots")


@case("stream", "a snapshot in place of what was missed replaces everything")
def snapshot_instead(run: Run) -> None:
    server = run.server(flag(), flag("second"))
    client = run.following(server)
    server.replace({"contract": 1, "environment": {}, "flags": {"third": flag("third")}, "segments": {}})
    run.until(lambda: client.value("third") is True, "the snapshot is applied")
    equal(client.value("asked", default="gone"), "gone")


@case("stream", "an earlier snapshot on the stream is taken: the server went back to a backup")
def earlier_snapshot(run: Run) -> None:
    server = run.server()
    server.version = 9
    client = run.following(server)
    earlier = {**server.document(), "version": 3, "flags": {"asked": off()}}
    server.say(sse("snapshot", earlier, 3))
    run.until(lambda: client.version == 3, "the earlier snapshot is applied")
    equal(client.value(), False)


@case("stream", "events in pieces, with other line ends and comments between, are whole")
def pieces(run: Run) -> None:
    server = run.server()
    client = run.following(server)
    text = sse("flag_updated", json.dumps(off(), indent=1), 2).replace(b"\n", b"\r\n")
    for start in range(0, len(text), 40):
        server.say(text[start : start + 40])
        time.sleep(0.001)
    run.until(lambda: client.version == 2, "the change is applied")
    server.say(b": a comment\n\n\nretry: 10\nunknown: field\n" + sse("flag_updated", flag(), 3))
    run.until(lambda: client.version == 3, "what follows a comment is applied")
    equal(client.value(), True)


@case("stream", "sixty changes and eight cuts: every change once, in order, and one stream at a time")
def changes_and_cuts(run: Run) -> None:
    server = run.server(flag("number-0"))
    client = run.following(server)
    for number in range(60):
        server.change(flag(f"number-{number}", name=str(number)))
        if number % 8 == 3:
            server.end_streams()
    run.until(lambda: client.version == 61, "the last change is applied")
    equal(set(client.all()), {f"number-{number}" for number in range(60)})
    equal(len(server.of(SNAPSHOT)), 1, "fetched snapshots")
