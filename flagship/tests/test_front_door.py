"""The web process as it is shipped, from outside: half-sent requests hold up nobody, and what WSGI carried arrives."""

import asyncio
import socket
import time
from contextlib import ExitStack

import orjson
import pytest
import urllib3
from openflagship.wire import reading
from openflagship.wire.errors import RefusedError

from flags.testing.cluster import Cluster
from flagship.serving import bodies
from flagship.serving.bodies import Arrivals

pytestmark = [pytest.mark.processes, pytest.mark.xdist_group("front door")]


@pytest.fixture(scope="module")
def cluster(tmp_path_factory, embedded_servers):
    with Cluster(embedded_servers, tmp_path_factory.mktemp("front-door"), web_workers=1) as running:
        yield running


def half_sent(port, head, secret=""):
    connection = socket.create_connection(("127.0.0.1", port), timeout=20)
    authorization = f"Authorization: Bearer {secret}\r\n" if secret else ""
    connection.sendall(f"{head} HTTP/1.1\r\nHost: localhost\r\n{authorization}".encode())
    return connection


def latencies(cluster, seconds):
    pool = urllib3.PoolManager(retries=False)
    body = orjson.dumps({"flagKey": "flag-0", "userId": "u"})
    headers = {"Authorization": f"Bearer {cluster.server_key}", "Content-Type": "application/json"}
    found, end = [], time.monotonic() + seconds
    while time.monotonic() < end:
        began = time.monotonic()
        url = f"http://127.0.0.1:{cluster.web_port}/api/evaluate"
        assert pool.request("POST", url, body=body, headers=headers, timeout=5).status == 200
        found.append(time.monotonic() - began)
        time.sleep(0.005)
    return sorted(found)


def test_bodies__eight_half_sent__hold_up_no_evaluation_and_are_gone_within_15_seconds(cluster):
    port, began = cluster.web_port, time.monotonic()
    with ExitStack() as opened:
        connections = []
        for number in range(8):
            path = ("/api/auth/token", "/api/evaluate", "/api/events/exposure", "/admin/login/")[number % 4]
            connection = opened.enter_context(half_sent(port, f"POST {path}", cluster.server_key if number % 4 else ""))
            length = "Content-Length: 1000\r\n\r\n{" if number < 6 else "Transfer-Encoding: chunked\r\n\r\n1\r\n{\r\n"
            connection.sendall(f"Content-Type: application/json\r\n{length}".encode())
            connections.append(connection)
        # A head that never ends.
        connections.append(opened.enter_context(half_sent(port, "GET /healthz")))

        measured = latencies(cluster, 5)
        answers = []
        for connection in connections:
            answer = b""
            while more := connection.recv(4096):
                answer += more
            answers.append(answer)
        assert time.monotonic() - began < 20

    # One that waited for a half-sent body would wait for seconds.
    assert measured[int(len(measured) * 0.99)] < 1
    assert all(answer.startswith(b"HTTP/1.1 408 ") for answer in answers[:8])
    assert orjson.loads(answers[0].partition(b"\r\n\r\n")[2])["errors"][0]["code"] == "request_timeout"


def test_request__every_kind_of_body_and_answer__arrives_as_over_wsgi(cluster):
    url = f"http://127.0.0.1:{cluster.web_port}"
    headers = {"Authorization": f"Bearer {cluster.server_key}", "Content-Type": "application/json"}
    managing = {"Authorization": f"Bearer {cluster.token}", "X-Tenant-ID": "acme"}
    body = orjson.dumps({"flagKey": "flag-0", "userId": "ünïcødé"})

    in_chunks = urllib3.request("POST", f"{url}/api/evaluate", body=iter([body[:9], body[9:]]), headers=headers)
    assert (in_chunks.status, in_chunks.json()["flagKey"]) == (200, "flag-0")
    for name in ("Origin", "If-None-Match"):
        plain = urllib3.request("POST", f"{url}/api/evaluate", body=body, headers={**headers, name: "http://a.example"})
        assert (plain.status, plain.json()["flagKey"]) == (200, "flag-0")
    unknown = urllib3.request("GET", f"{url}/api/flags/caf%C3%A9%2F?x=%C3%A9", headers=managing)
    assert (unknown.status, unknown.json()["errors"][0]["code"]) == (404, "not_found")
    export = urllib3.request("GET", f"{url}/api/audit/export?as=jsonl", headers=managing)
    assert export.status == 200
    assert all(orjson.loads(line)["hash"] for line in export.data.splitlines())
    styles = urllib3.request("GET", f"{url}/static/admin/css/base.css")
    assert (styles.status, len(styles.data)) == (200, int(styles.headers["Content-Length"]))
    head = urllib3.request("HEAD", f"{url}/healthz")
    assert (head.status, head.data) == (200, b"")
    large = urllib3.request("POST", f"{url}/api/evaluate", body=b"x" * 6_000_000, headers=headers)
    assert (large.status, large.json()["errors"][0]["code"]) == (413, "payload_too_large")
    login = urllib3.request("POST", f"{url}/admin/login/", fields={"username": "x"})
    assert login.status == 403


def test_header__with_an_underscore__never_reaches_the_application(cluster):
    url = f"http://127.0.0.1:{cluster.web_port}/api/evaluate"
    sent = {"X_Api_Key": cluster.server_key, "Content-Type": "application/json"}

    answer = urllib3.request("POST", url, body=b"{}", headers=sent)

    assert (answer.status, answer.json()["errors"][0]["code"]) == (401, "not_authenticated")


class Sender:
    """A body that arrives in pieces, with pauses."""

    def __init__(self, pieces, pause=0.0):
        self._pieces, self._pause = pieces, pause

    async def __call__(self):
        return b"".join([piece async for piece in self])

    async def __aiter__(self):
        for piece in self._pieces:
            yield piece
            await asyncio.sleep(self._pause)


def read(sender, length, *, most=1 << 20, at_once=1):
    async def _read():
        arrivals = Arrivals()
        arrivals.start(asyncio.get_running_loop())
        reading = [asyncio.ensure_future(arrivals.read(sender, length, most)) for _ in range(at_once)]
        found = await asyncio.gather(*reading, return_exceptions=True)
        assert arrivals.bytes_arriving == 0
        return found

    return asyncio.run(_read())


@pytest.mark.parametrize(
    ("sender", "length", "outcome"),
    [
        (Sender([b"a"] * 4), 4, b"aaaa"),
        (Sender([b"a"] * 4), None, b"aaaa"),
        (Sender([b"a"] * 2, pause=0.5), 2, 408),
        (Sender([b"a"] * 9, pause=0.3), None, 408),
        # Slow, and yet above the least rate.
        (Sender([b"a" * 100_000] * 6, pause=0.2), None, b"a" * 600_000),
        (Sender([b"a"] * 4), 1 << 21, 413),
        (Sender([b"a" * 700_000] * 2), None, 413),
    ],
)
def test_arrival__of_a_body__is_bounded_in_time_and_bytes(sender, length, outcome, monkeypatch):
    monkeypatch.setattr(reading, "BODY_SECONDS", 0.4)
    monkeypatch.setattr(bodies, "_SWEEP_SECONDS", 0.05)

    (found,) = read(sender, length)

    assert (found.status if isinstance(found, RefusedError) else found) == outcome


def test_arrivals__more_than_the_memory_for_them__are_told_to_come_back(monkeypatch):
    monkeypatch.setattr(bodies, "MOST_BYTES_ARRIVING", 2_500)
    monkeypatch.setattr(bodies, "_SMALL_BYTES", 100)

    found = read(Sender([b"a" * 1_000, b""], pause=0.05), 1_000, at_once=3)

    assert [each.status if isinstance(each, RefusedError) else len(each) for each in found] == [1_000, 1_000, 503]
    assert dict(found[2].headers)["Retry-After"] == "1"


def test_arrivals__large_bodies_announced_and_not_sent__take_no_room_from_others(monkeypatch):
    monkeypatch.setattr(reading, "BODY_SECONDS", 0.4)
    monkeypatch.setattr(bodies, "_SWEEP_SECONDS", 0.05)
    most = bodies.MOST_BYTES_ARRIVING // 4

    async def _read():
        arrivals = Arrivals()
        arrivals.start(asyncio.get_running_loop())
        silent = [asyncio.ensure_future(arrivals.read(Sender([b""], pause=60), most, most)) for _ in range(4)]
        await asyncio.sleep(0)
        found = [await arrivals.read(Sender([b"a" * size]), size, most) for size in (1_000, 100_000)]
        return [len(each) for each in found], await asyncio.gather(*silent, return_exceptions=True)

    sizes, refused = asyncio.run(_read())

    assert sizes == [1_000, 100_000]
    assert [error.status for error in refused] == [408] * 4
