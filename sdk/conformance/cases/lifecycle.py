"""How a client begins and ends."""

from __future__ import annotations

import time

from sdk.conformance.answers import silent, status
from sdk.conformance.documents import SERVER_KEY, off
from sdk.conformance.endpoints import SNAPSHOT, STREAM
from sdk.conformance.registry import Run, case, equal, expect
from sdk.conformance.service import BOOTSTRAP, EVENTS, ON_DEMAND, REFUSES_KEYS, TELLS_SOURCE, ServiceError


@case("lifecycle", "close ends the stream, and leaves no thread, timer or socket", is_for_pages=True)
def closed(run: Run) -> None:
    server = run.server()
    client = run.following(server)
    equal(client.close(), [])
    run.until(lambda: not server.streams and server.open_connections == 0, "all connections are closed")
    asked = len(server.asked)
    time.sleep(0.2)
    equal(len(server.asked), asked, "requests after close")


@case("lifecycle", "close while the server says nothing ends soon, and leaves nothing", is_for_pages=True)
def closed_while_waiting(run: Run) -> None:
    server = run.server()
    server.always[SNAPSHOT] = silent
    client = run.client(server, startWaitSeconds=0.01, closeWaitSeconds=0.5)
    run.until(lambda: server.of(SNAPSHOT), "the snapshot is asked for")
    before = time.monotonic()
    equal(client.close(), [])
    expect(time.monotonic() - before < 10, "close took long")
    run.until(lambda: server.open_connections == 0, "all connections are closed")


@case("lifecycle", "close says goodbye", TELLS_SOURCE)
def goodbye(run: Run) -> None:
    server = run.server()
    client = run.following(server)
    run.until(server.acknowledged, "the version is acknowledged")
    client.close()
    equal(server.acknowledged()[-1].get("goodbye"), True)


@case("lifecycle", "after close evaluation goes on from memory, and events are refused", EVENTS)
def after_close(run: Run) -> None:
    server = run.server()
    client = run.following(server)
    run.service.ask("POST", f"{client._path}/close")
    equal(client.value(), True)
    client.track("purchase")
    asked = len(server.asked)
    equal(client.status()["eventsPending"], 0, "events that wait after close")
    client.flush(0.1)
    equal(len(server.asked), asked, "requests after close")
    equal(client.status()["connection"], "closed")


@case("lifecycle", "a key that is revoked while running is said, and works again once it is restored")
def revoked(run: Run) -> None:
    server = run.server()
    client = run.following(server)
    server.key = "fs_server_other"
    server.end_streams()
    run.until(lambda: client.status()["connection"] == "refused", "the refusal is said")
    expect("unknown, expired or revoked" in client.status()["error"], "the server's reason is not said")
    expect(SERVER_KEY not in client.status()["error"], "the key is in the error")
    equal(client.value(), True)
    server.key = SERVER_KEY
    run.until(lambda: server.streams, "the stream is open again")
    server.change(off())
    run.until(lambda: client.value() is False, "a change is applied")


@case("lifecycle", "keys of the wrong kind are refused by name", REFUSES_KEYS)
def wrong_keys(run: Run) -> None:
    server = run.server()
    for key in ("fs_client_secret", "fs_manage_secret"):
        try:
            run.client(server, key=key)
        except ServiceError as error:
            expect(key[:10] in str(error), f"the refusal names no kind: {error}")
            expect("secret" not in str(error).replace("signing secret", ""), f"the refusal has the key: {error}")
        else:
            expect(False, f"{key} was taken")
    equal(server.asked, [])


@case("lifecycle", "ready waits, and says what is served from", TELLS_SOURCE)
def ready(run: Run) -> None:
    server = run.server()
    server.scripts[SNAPSHOT].append(status(500))
    client = run.client(server, startWaitSeconds=0.01)
    equal(client.ready(30), "network")
    server.stop()
    client = run.client(server, startWaitSeconds=0.01, closeWaitSeconds=0.1)
    before = time.monotonic()
    equal(client.ready(0.2), "nothing")
    expect(time.monotonic() - before >= 0.15, "it did not wait")
    equal(client.value(default="default"), "default")


@case("lifecycle", "ready waits no longer once the key is refused", TELLS_SOURCE)
def ready_refused(run: Run) -> None:
    server = run.server()
    server.key = "fs_server_other"
    client = run.client(server, startWaitSeconds=0.01)
    before = time.monotonic()
    equal(client.ready(60), "nothing")
    expect(time.monotonic() - before < 30, "it waited for a key that is refused")


@case("lifecycle", "a bootstrap is served until the network has answered", BOOTSTRAP)
def bootstrap(run: Run) -> None:
    server = run.server()
    document = {**server.document(), "version": 1, "flags": {"asked": off()}}
    server.version = 2
    server.always[SNAPSHOT] = status(500)
    client = run.client(server, bootstrap=document, startWaitSeconds=0.01)
    equal((client.value(default="default"), client.ready(0.05)), (False, "bootstrap"))
    del server.always[SNAPSHOT]
    equal(client.ready(30), "network")
    equal(client.value(), True)


@case("lifecycle", "offline nobody is asked, and nothing is stale", BOOTSTRAP)
def offline(run: Run) -> None:
    server = run.server()
    client = run.client(server, mode="offline", bootstrap=server.document(), staleAfterSeconds=0.05)
    time.sleep(0.1)
    equal((client.value(), client.is_stale), (True, False))
    client.close()
    equal(server.asked, [])


@case("lifecycle", "on demand nothing runs in the background, and a call refreshes what is too old", ON_DEMAND)
def on_demand(run: Run) -> None:
    server = run.server()
    client = run.client(server, mode="on_demand", pollSeconds=0.2, closeWaitSeconds=0.1)
    equal(server.asked, [])
    equal(client.value(), True)
    asked = len(server.asked)
    time.sleep(0.4)
    equal((len(server.asked), len(server.of(STREAM))), (asked, 0), "requests without a call")
    server.version, server.flags = 2, {"asked": off()}
    equal(client.value(), False)
    server.stop()
    time.sleep(0.25)
    equal(client.value(), False)
    equal(client.close(), [])
