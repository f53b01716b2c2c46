"""What a page's SDK has that a server's has not: one user at a time, answers in the page, copies in its storage."""

from __future__ import annotations

from sdk.conformance.answers import status
from sdk.conformance.documents import asking, off
from sdk.conformance.endpoints import SNAPSHOT
from sdk.conformance.registry import Run, case, equal, expect
from sdk.conformance.service import PAGE, ServiceError

_CONVERSION = "/api/events/conversion"


@case("page", "keys that belong on a server are refused by name", PAGE, is_for_pages=True)
def wrong_keys(run: Run) -> None:
    server = run.server()
    for key in ("fs_server_secret", "fs_manage_secret", "fs_sign_secret"):
        try:
            run.client(server, key=key)
        except ServiceError as error:
            expect(key.removesuffix("secret") in str(error), f"the refusal names no kind: {error}")
            expect("_secret" not in str(error), f"the refusal has the key: {error}")
        else:
            expect(False, f"{key} was taken")
    equal(server.asked, [])


@case("page", "one user's answers never serve another, whether the network answers or not", PAGE, is_for_pages=True)
def one_user(run: Run) -> None:
    condition = {"attribute": "userId", "operator": "equals", "value": "user-1"}
    server = run.server(asking([condition]))
    client = run.following(server)
    equal((client.value(user="user-1"), client.value(user="user-2")), (True, False))
    server.stop()
    equal((client.value(user="user-1", default="none"), client.value(user="user-3", default="none")), ("none", "none"))


@case("page", "a kept copy serves its user's next start, of its key alone", PAGE, is_for_pages=True)
def kept(run: Run) -> None:
    server = run.server()
    for key in ("fs_client_first", "fs_client_second"):
        server.key = key
        equal(run.client(server, key=key, isStoring=True).value(), True)
    server.stop()
    for key in ("fs_client_first", "fs_client_second"):
        again = run.client(server, key=key, isStoring=True)
        equal((again.value(default="none"), again.ready(0.01)), (True, "store"))
    other = run.client(server, key="fs_client_first", isStoring=True, userId="user-2")
    equal(other.value(user="user-2", default="none"), "none")
    equal(run.client(server, key="fs_client_third", isStoring=True).value(default="none"), "none")


@case(
    "page",
    "what a server wrote into the page serves at once, this user alone",
    PAGE,
    is_for_pages=True,
)
def written(run: Run) -> None:
    server = run.server(off())
    server.always[SNAPSHOT] = status(500)
    flags = '{"key": "asked", "value": true, "variant": "treatment"}'
    text = f'{{"flags": [{flags}], "metadata": {{"configVersion": 1, "targetingKey": "user-1"}}}}'
    signed = {"answers": text, "signature": "sha256=of-the-servers"}
    for user, expected in (("user-1", True), ("user-2", "none")):
        client = run.client(server, bootstrap=signed, userId=user)
        equal(client.value(user=user, default="none"), expected)
    del server.always[SNAPSHOT]
    run.until(lambda: client.value(user="user-2") is False, "the network's answer takes its place")


@case("page", "a post that is too large is sent in halves", PAGE, is_for_pages=True)
def too_large(run: Run) -> None:
    server = run.server()
    server.scripts[_CONVERSION].append(status(413))
    client = run.following(server, flushSeconds=3600.0)
    for number in range(5):
        client.track("purchase", "user-1", number)
    expect(client.flush(), "it was not flushed")
    equal(sorted(event["value"] for event in server.events("conversion")), [0, 1, 2, 3, 4])
    equal(client.status()["eventsDropped"], 0)
