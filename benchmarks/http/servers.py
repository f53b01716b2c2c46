"""The processes that `benchmarks.http` measures: FlagShip's own, the bare applications, and when they are at rest."""

import http.client
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager

import orjson

from benchmarks.world import ROOT

VAR_DIR = ROOT / "var" / "bench-http"
WEB, STREAM, EDGE, FLOOR_WSGI, FLOOR_DJANGO, FLOOR_UVICORN, FLOOR_GRANIAN = range(8142, 8149)
FLOOR_RSGI = 8150  # the rival has the one between
SMALL = 50


def small_environment() -> str:
    """A project of as many flags as the rival is given; returns its server key."""
    from audit.actors import system  # noqa: PLC0415 - after setup
    from flags.services import create_flag  # noqa: PLC0415 - likewise
    from tenancy import services  # noqa: PLC0415 - likewise
    from tenancy.models import Organization  # noqa: PLC0415 - likewise

    actor, organization = system("benchmark"), Organization.objects.get()
    project = services.create_project(actor=actor, organization=organization, key="small", name="Small")
    environment = services.create_environment(actor=actor, project=project, key="production", name="Production")
    for number in range(SMALL):
        plan = {"attribute": "plan", "operator": "in", "value": ["pro", "free"]}
        rollout = [{"variant": "treatment", "percent": 50}]
        payload = {"key": f"flag-{number}", "enabled": True}
        payload |= {"rules": [{"priority": 1, "conditions": [plan], "rollout": rollout}]} if number % 2 else {}
        payload |= {} if number % 2 else {"rollout": rollout}
        create_flag(actor=actor, environment=environment, payload=payload)
    return services.issue_credential(
        actor=actor, kind="server", name="small", organization=organization, environment=environment
    ).secret


def all_servers(stack: ExitStack, variables: dict[str, str], edge_keys: str) -> dict[int, int]:
    """Everything that answers, by port; the values are process ids."""
    python = [sys.executable, "-m"]
    granian = [*python, "granian", "--host", "127.0.0.1", "--workers", "1", "--no-ws"]
    wsgi = [*granian, "--interface", "wsgi", "--blocking-threads", "1"]
    rsgi = [*granian, "--interface", "rsgi", "--http", "1"]
    edge = {
        "FLAGSHIP_EDGE_URL": f"http://127.0.0.1:{WEB}",
        "FLAGSHIP_EDGE_STREAM_URL": f"http://127.0.0.1:{STREAM}",
        "FLAGSHIP_EDGE_KEYS": edge_keys,
        "FLAGSHIP_EDGE_PORT": str(EDGE),
    }
    stream = {"STREAM_PORT": str(STREAM), "PROCESS_NAME": "stream"}
    commands: list[tuple[int, list[str], dict[str, str]]] = [
        (WEB, [*rsgi, "--port", str(WEB), "flagship.rsgi:application"], {"PROCESS_NAME": "web"}),
        (STREAM, [sys.executable, "manage.py", "stream"], stream),
        (EDGE, [*python, "openflagship.edge"], edge),
        (FLOOR_WSGI, [*wsgi, "--port", str(FLOOR_WSGI), "benchmarks.http.floors:wsgi"], {}),
        (FLOOR_DJANGO, [*wsgi, "--port", str(FLOOR_DJANGO), "benchmarks.http.floors_django:application"], {}),
        (FLOOR_RSGI, [*rsgi, "--port", str(FLOOR_RSGI), "benchmarks.http.floors:rsgi"], {}),
        (
            FLOOR_GRANIAN,
            [*granian, "--interface", "asgi", "--port", str(FLOOR_GRANIAN), "benchmarks.http.floors:asgi"],
            {},
        ),
        (
            FLOOR_UVICORN,
            [*python, "uvicorn", "--port", str(FLOOR_UVICORN), "--no-access-log", "benchmarks.http.floors:asgi"],
            {},
        ),
    ]
    found = {}
    for port, command, more in commands:
        found[port] = stack.enter_context(running(command, {**variables, **more}))
        if port in {WEB, STREAM, EDGE}:
            _until_ready(port)
    for port in set(found) - {WEB, STREAM, EDGE}:
        _until_ready(port, "/", wanted=range(100, 600))
    return found


@contextmanager
def running(command: Sequence[str], variables: dict[str, str]) -> Iterator[int]:
    process = subprocess.Popen(command, cwd=ROOT, env=variables)
    try:
        yield process.pid
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _until_ready(port: int, path: str = "/readyz", wanted: Sequence[int] = (200,)) -> None:
    deadline = time.monotonic() + 90
    while time.monotonic() < deadline:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
        try:
            body = orjson.dumps({"flagKey": "flag-1", "userId": "u"})
            connection.request("GET" if path != "/" else "POST", path, body)
            if connection.getresponse().status in wanted:
                return
        except OSError:
            pass
        finally:
            connection.close()
        time.sleep(0.2)
    raise TimeoutError(f"Nothing answers on port {port}.")


def metric_total(*names: str) -> float:
    """What web's and the edge's metrics of these names add up to."""
    total = 0.0
    for port in (WEB, EDGE):
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        connection.request("GET", "/metrics")
        for row in connection.getresponse().read().decode().splitlines():
            if row.startswith(names):
                total += float(row.rpartition(" ")[2])
        connection.close()
    return total


def wait_until_sent() -> None:
    """Wait until no exposure waits in a process: sending them is not to be the next row's work."""
    deadline = time.monotonic() + 60
    time.sleep(0.3)
    while (
        metric_total("flagship_exposure_buffer_depth", "flagship_edge_events_pending") and time.monotonic() < deadline
    ):
        time.sleep(0.1)


def wait_until_stored() -> None:
    """What the closed loops left in the stream is not this table's."""
    from analytics.pipeline.brokers import broker  # noqa: PLC0415 - after setup

    deadline = time.monotonic() + 300
    while broker().length() and time.monotonic() < deadline:
        time.sleep(0.5)
