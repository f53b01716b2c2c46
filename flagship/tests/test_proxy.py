"""The shipped Caddyfile in the real Caddy before real processes: what anybody outside sees."""

import json
import re
import socket
import statistics
import threading
import time
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
import urllib3
from django.urls import URLPattern, URLResolver, get_resolver
from openflagship.wire.routes import DATA_PLANE

from flags.testing.cluster import Cluster
from flags.testing.proxy import Proxy, loopback_address
from flags.testing.streams import Stream, eventually

pytestmark = [pytest.mark.processes, pytest.mark.xdist_group("proxy")]

DATA_PORT, CONTROL_PORT, STREAM_PORT = 8000, 8000, 8001
MEBIBYTE = 1024 * 1024


@pytest.fixture(scope="module")
def site(tmp_path_factory, embedded_servers) -> Iterator[Any]:
    """Two web groups and two stream processes behind Caddy, each on an address of its own."""
    folder = tmp_path_factory.mktemp("site")
    data, control, *streams = (loopback_address() for _ in range(4))
    with Cluster(embedded_servers, folder, web_workers=1, processes=(), variables={"POLL_SECONDS": "1"}) as cluster:
        for name, host, threads in (("web-data", data, "1"), ("web-control", control, "4")):
            cluster.start(
                name,
                line="web",
                host=host,
                port=DATA_PORT,
                variables={"WEB_THREADS": threads, "ALLOWED_HOSTS": "*"},
            )
        for number, host in enumerate(streams):
            cluster.start(f"stream-{number}", line="stream", host=host, port=STREAM_PORT)
        with Proxy(folder, {"web-data": [data], "web-control": [control], "stream": streams}) as proxy:
            yield SimpleNamespace(cluster=cluster, proxy=proxy, data=data, control=control, streams=streams)


def ask(host: str, port: int, method: str, path: str, body: bytes = b"", **headers: str) -> tuple[int, str, bytes]:
    """Status, content type and body of one request on a connection of its own."""
    with urllib3.PoolManager(retries=False, timeout=60) as pool:
        response = pool.request(
            method,
            f"http://{host}:{port}{path}",
            body=body or None,
            headers={"Content-Type": "application/json", **headers},
            redirect=False,
        )
        return response.status, response.headers.get("Content-Type", ""), response.data


def outside(site: Any, method: str, path: str, body: bytes = b"", **headers: str) -> tuple[int, str, bytes]:
    return ask(site.proxy.host, site.proxy.port, method, path, body, **headers)


def every_path() -> list[str]:
    """Each route of Django and of the data plane, with something in each parameter."""

    def walk(patterns: list[Any], prefix: str) -> Iterator[str]:
        for one in patterns:
            route = prefix + re.sub(r"<(?:int:)?(?:\w+:)?\w+>", "1", str(one.pattern))
            if isinstance(one, URLResolver):
                yield from walk(one.url_patterns, route)
            elif isinstance(one, URLPattern):
                yield "/" + route

    data_plane = [re.sub(r"\{.*?\}", "production", path) for route in DATA_PLANE for path in route.paths]
    django = [path for path in walk(get_resolver().url_patterns, "") if not re.search(r"[\^$?(\\]", path)]
    return sorted({*data_plane, *django} - {"/ws/stream"})


def test_routes__each_asked_from_outside__is_answered_by_its_own_group_and_figures_by_nobody(site):
    differing = {}
    for path in every_path():
        group, port = site.control, CONTROL_PORT
        for route in DATA_PLANE:
            if any(re.fullmatch(re.sub(r"\{.*?\}", ".+", known), path) for known in route.paths):
                group, port = (site.data, DATA_PORT) if route.process == "data" else (site.streams[1], STREAM_PORT)
        here = ask(group, port, "GET", path)[0]
        there = outside(site, "GET", path)[0]
        if there != here:
            differing[path] = (here, there)

    assert differing == {"/metrics": (200, 404)}
    for path in ("/METRICS", "//metrics", "/%6detrics", "/metrics/", "/metrics?a=b", "/api/../metrics"):
        assert outside(site, "GET", path)[0] == 404, path


@pytest.mark.parametrize(
    ("path", "size", "status"),
    [
        ("/api/evaluate", 6 * MEBIBYTE, 413),
        ("/api/events/exposure", 5 * MEBIBYTE + 2, 413),
        ("/api/events/exposure", int(5.6e6), 413),
        ("/api/events/exposure", int(6.4e6), 413),
        ("/api/environments/production/import", 8 * MEBIBYTE, 400),
        ("/api/environments/production/import", 64 * MEBIBYTE + 2, 413),
        ("/admin/login/", 6 * MEBIBYTE, 413),
    ],
)
def test_body__of_a_size__is_refused_with_words_or_reaches_its_process(site, path, size, status):
    secret = site.cluster.token if "import" in path else site.cluster.server_key
    content = b"x" * size
    headers = {"Authorization": f"Bearer {secret}", "X-Tenant-ID": "acme"}

    for _ in range(3):  # a cut answer comes by chance
        found, kind, body = outside(site, "POST", path, content, **headers)
        assert found == status, body[:300]
        if path.startswith("/api"):
            assert kind.startswith("application/json")
            assert json.loads(body)["errors"][0]["detail"]
    assert outside(site, "GET", "/readyz")[0] == 200
    assert evaluated(site)[0] == 200  # nobody was taken for dead


def evaluated(site: Any) -> tuple[int, float]:
    started = time.monotonic()
    body = json.dumps({"flagKey": "flag-0", "userId": "u"}).encode()
    status, _, _ = outside(site, "POST", "/api/evaluate", body, Authorization=f"Bearer {site.cluster.server_key}")
    return status, time.monotonic() - started


def test_slow_clients__half_a_body_each__hold_up_nobody_and_are_gone_while_a_stream_stays(site):
    stream = Stream(site.proxy.port, site.cluster.server_key, host=site.proxy.host)
    assert stream.next() is not None
    head = b"POST %s HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n{"
    slow = []
    for path in (b"/api/evaluate", b"/api/events/exposure", b"/api/flags", b"/admin/login/") * 2:
        slow.append(socket.create_connection((site.proxy.host, site.proxy.port), timeout=60))
        slow[-1].sendall(head % path)
    began = time.monotonic()

    answers = [evaluated(site) for _ in range(200)]
    for connection in slow:
        connection.recv(10_000)  # an answer or the end
        while connection.recv(10_000):
            pass
        connection.close()
    gone_after = time.monotonic() - began

    assert {status for status, _ in answers} == {200}
    assert statistics.quantiles([seconds for _, seconds in answers], n=100)[98] < 0.5
    assert 5 < gone_after < 15
    # The time a body may take ends no stream.
    manage = site.cluster.manage
    manage("POST", "flags/flag-0/kill", {"reason": "slow clients"}, host=site.proxy.host, port=site.proxy.port)
    assert eventually(lambda: stream.next().event == "kill_switch")
    stream.close()
    manage("POST", "flags/flag-0/kill/release", {}, host=site.proxy.host, port=site.proxy.port)


def test_stream__one_of_two_processes_is_gone__every_client_gets_the_other_within_moments(site):
    site.cluster.kill("stream-0")
    started = time.monotonic()
    streams = [Stream(site.proxy.port, site.cluster.server_key, host=site.proxy.host) for _ in range(12)]
    assert [stream.status for stream in streams] == [200] * 12
    assert time.monotonic() - started < 3

    # A host that vanished answers nothing at all: here, a listener whose queue is full.
    vanished = socket.socket()
    vanished.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    vanished.bind((site.streams[0], STREAM_PORT))
    vanished.listen(0)
    fillers = []
    for _ in range(8):
        filler = socket.socket()
        filler.setblocking(False)
        filler.connect_ex((site.streams[0], STREAM_PORT))
        fillers.append(filler)
    time.sleep(3.5)  # until the proxy has forgotten what it knew of that address
    started = time.monotonic()
    streams += [Stream(site.proxy.port, site.cluster.server_key, host=site.proxy.host) for _ in range(4)]
    assert [stream.status for stream in streams[-4:]] == [200] * 4
    assert time.monotonic() - started < 3 * 4
    for one in (vanished, *fillers, *streams):
        one.close()


def test_upgrade__a_new_process_beside_the_old_one_which_then_ends__no_evaluation_fails(site):
    """As the runbook upgrades: two replicas, one after the other."""
    answers = []
    is_over = threading.Event()

    def evaluate():
        while not is_over.is_set():
            answers.append(evaluated(site)[0])

    caller = threading.Thread(target=evaluate)
    caller.start()
    new = loopback_address()
    site.cluster.start("web-new", line="web", host=new, port=DATA_PORT, variables={"ALLOWED_HOSTS": "*"})
    site.proxy.names.addresses["web-data"] = [site.data, new]
    eventually(lambda: len(answers) > 50)
    site.cluster.stop("web-data")
    after = len(answers)
    eventually(lambda: len(answers) > after + 50)
    site.proxy.names.addresses["web-data"] = [new]
    eventually(lambda: len(answers) > after + 150)
    is_over.set()
    caller.join(60)
    site.data = new

    assert set(answers) == {200}


def test_proxy__reloaded_and_stopped_with_open_streams__is_done_within_its_grace(site):
    stream = Stream(site.proxy.port, site.cluster.server_key, host=site.proxy.host)
    assert stream.status == 200
    started = time.monotonic()
    site.proxy.reload()
    assert time.monotonic() - started < 8
    assert evaluated(site)[0] == 200

    started = time.monotonic()
    site.proxy.stop()
    assert time.monotonic() - started < 8
    stream.close()
    site.proxy.start()
    assert evaluated(site)[0] == 200
