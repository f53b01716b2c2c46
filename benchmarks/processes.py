"""The processes the events' benchmarks measure, and short ways to start, stop and wait for them."""

import http.client
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass

import psutil

from benchmarks.world import EVENTS_DIR, ROOT

FLAG = "new-checkout"


@dataclass(frozen=True, slots=True)
class Tenant:
    """An environment made for one run, with a flag that everybody is exposed to."""

    environment_id: int
    secret: str
    token: str
    organization: str


def tenant() -> Tenant:
    from audit.actors import system  # noqa: PLC0415 - after setup
    from flags.services import create_flag  # noqa: PLC0415 - likewise
    from tenancy import services  # noqa: PLC0415 - likewise
    from tenancy.models import User  # noqa: PLC0415 - likewise
    from tenancy.roles import Role  # noqa: PLC0415 - likewise

    actor, slug = system("benchmark"), f"bench-{time.time_ns()}"
    organization = services.create_organization(actor=actor, slug=slug, name="Benchmark")
    project = services.create_project(actor=actor, organization=organization, key="web", name="Web")
    environment = services.create_environment(actor=actor, project=project, key="production", name="Production")
    payload = {"key": FLAG, "enabled": True, "rollout": [{"variant": "treatment", "percent": 50}]}
    create_flag(actor=actor, environment=environment, payload=payload)
    issued = services.issue_credential(
        actor=actor, kind="server", name="bench", organization=organization, environment=environment
    )
    user = User.objects.create(username=slug)
    services.add_member(actor=actor, user=user, role=Role.EDITOR, organization=organization)
    managing = services.issue_credential(actor=actor, kind="manage", name="bench", organization=organization, user=user)
    return Tenant(environment.pk, issued.secret, managing.secret, slug)


@contextmanager
def web(
    variables: dict[str, str], port: int, *, workers: int = 2, application: str = "flagship.rsgi:application"
) -> Iterator[int]:
    """Web workers as in the Procfile; inside the `with` they answer. Gives the process's id."""
    command = [
        *(sys.executable, "-m", "granian", "--interface", "rsgi", "--host", "127.0.0.1", "--port", str(port)),
        *("--workers", str(workers), "--http", "1", "--no-ws", application),
    ]
    with serving(command, variables, lambda: _is_up(port)) as pid:
        yield pid


@contextmanager
def serving(command: Sequence[str], variables: dict[str, str], is_up: Callable[[], bool]) -> Iterator[int]:
    """The process of a command; inside the `with` it is up. Gives its id."""
    process = start(command, variables)
    try:
        until(is_up, seconds=120)
        yield process.pid
    finally:
        stop(process)


@contextmanager
def ingest(variables: dict[str, str], processes: int = 1) -> Iterator[None]:
    running = [start([sys.executable, "manage.py", "ingest"], variables) for _ in range(processes)]
    try:
        yield
    finally:
        for process in running:
            stop(process)


@contextmanager
def server_away(name: str, how: signal.Signals) -> Iterator[None]:
    """The benchmark's own Redis or PostgreSQL is down inside the `with`, and up again after it."""
    from django.db import connection  # noqa: PLC0415 - after setup

    from flagship import embedded  # noqa: PLC0415 - likewise

    process = server(name)
    process.send_signal(how)
    process.wait(timeout=60)
    try:
        yield
    finally:
        with embedded.session(EVENTS_DIR):
            connection.close()


def server(name: str) -> psutil.Process:
    for process in psutil.process_iter(["name", "cmdline"]):
        command = " ".join(process.info["cmdline"] or [])
        if name in (process.info["name"] or "") and str(EVENTS_DIR) in command:
            return process
    raise LookupError(f"no {name} under {EVENTS_DIR}")


def cpu_seconds(process: psutil.Process) -> float:
    """What the process and those it has started have used; one that ended meanwhile is left out."""
    used = 0.0
    for member in (process, *process.children(recursive=True)):
        with suppress(psutil.NoSuchProcess):
            times = member.cpu_times()
            used += times.user + times.system
    return used


def start(command: Sequence[str], variables: dict[str, str]) -> "subprocess.Popen[bytes]":
    return subprocess.Popen(command, cwd=ROOT, env=variables)


def stop(process: "subprocess.Popen[bytes]") -> None:
    process.terminate()
    try:
        process.wait(timeout=20)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def until(condition: Callable[[], bool], *, seconds: float, every: float = 0.01) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError("the benchmark's processes did not get there in time")
        time.sleep(every)


def _is_up(port: int) -> bool:
    try:
        client = http.client.HTTPConnection("127.0.0.1", port, timeout=2)
        client.request("GET", "/readyz")
        return client.getresponse().status == 200
    except OSError:
        return False
