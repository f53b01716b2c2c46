"""How workers of servers end: the second table of the processes page, row by row, with the servers themselves."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
import redis
from celery import Celery
from small_platform import KEY, SmallPlatform, eventually, free_port
from test_client_endings import PAGE
from test_client_redis_store import server  # noqa: F401 - a fixture

# What is sent in these tests is sent at a process's end, or never.
LATER = '"flush_seconds": 3600, "flush_count": 10_000, "start_wait_seconds": 60, "close_wait_seconds": 60'
ROWS = dict(re.findall(r"^\| ((?:Celery|gunicorn|RQ|Lambda|`Async)[^|]*?) \| (sent|lost|late)", PAGE.read_text(), re.M))
SHOP = """
import os, sys
from pathlib import Path
from celery import Celery
from openflagship import FlagShip

app = Celery("shop", broker="filesystem://")
app.conf.broker_transport_options = {broker}
flags = FlagShip({key!r}, {url!r}, **{{ {options} }})
PARENT = os.getpid()

@app.task(ignore_result=True)
def check(user):
    is_on = flags.is_enabled("asked", user)
    Path("{folder}/done", f"{{user}} {{is_on}} {{os.getpid() != PARENT}}").touch()
"""


@contextmanager
def running(command: list[str], folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    environment = {**os.environ, "PYTHONPATH": f"{folder}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"}
    # Celery would take it for a Django project, that of the platform's own tests.
    environment.pop("DJANGO_SETTINGS_MODULE", None)
    process = subprocess.Popen(
        [sys.executable, *command], cwd=folder, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        start_new_session=True,
    )  # fmt: skip
    try:
        yield process
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait(60)


def users(platform: SmallPlatform) -> list[str]:
    return sorted(event["userId"] for event in platform.exposures())


def test_page__of_servers__has_the_rows_that_are_tested() -> None:
    assert [(row.partition(":")[0].partition(",")[0], told) for row, told in ROWS.items()] == [
        ("Celery", "sent"), ("Celery", "sent"), ("gunicorn", "sent"), ("gunicorn", "lost"), ("RQ", "lost"),
        ("Lambda-like hosts", "late"), ("`AsyncFlagShip`", "lost"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("pool", "tasks", "options"),
    [
        # By default nothing is told to a client of how its workers end.
        ("prefork --max-tasks-per-child 10", 300, ""),
        ("threads", 3, LATER),
        ("gevent", 3, LATER),
    ],
    ids=["prefork", "threads", "gevent"],
)
def test_celery__each_pool__sends_what_every_task_saw(
    platform: SmallPlatform, tmp_path: Path, pool: str, tasks: int, options: str
) -> None:
    for name in ("queue", "done"):
        (tmp_path / name).mkdir()
    folder = str(tmp_path / "queue")
    broker = {"data_folder_in": folder, "data_folder_out": folder, "control_folder": str(tmp_path / "control")}
    text = SHOP.format(folder=tmp_path, key=KEY, url=platform.url, options=options, broker=broker)
    (tmp_path / "shop.py").write_text(text)
    # Before there is a worker: this broker's files are seen half written by one that looks too early.
    with Celery("told", broker="filesystem://", set_as_current=False) as told:
        told.conf.broker_transport_options = broker
        for number in range(tasks):
            told.send_task("shop.check", (f"u{number}",), ignore_result=True)
    command = f"-m celery -A shop worker -c 2 -l warning --without-mingle --without-gossip --pool {pool}".split()
    with running(command, tmp_path) as worker:
        eventually(lambda: len(list((tmp_path / "done").iterdir())) == tasks, seconds=200)
        worker.terminate()
        worker.wait(90)

    is_forked = pool.startswith("prefork")
    assert {path.name.partition(" ")[2] for path in (tmp_path / "done").iterdir()} == {f"True {is_forked}"}
    assert users(platform) == sorted(f"u{number}" for number in range(tasks))


GUNICORN = """
import os, signal
from openflagship import FlagShip

flags = FlagShip({key!r}, {url!r}, **{{ {options} }})

def application(environ, start_response):
    user = environ["PATH_INFO"][1:]
    flags.is_enabled("asked", user)
    if user == "hung":
        # What gunicorn does after `timeout` to a worker that does not hear its first signal.
        os.kill(os.getpid(), signal.SIGKILL)
    start_response("200 OK", [])
    return [b"ok"]
"""


def test_gunicorn__a_worker_ends_or_is_killed__sends_as_the_page_says(platform: SmallPlatform, tmp_path: Path) -> None:
    (tmp_path / "service.py").write_text(GUNICORN.format(key=KEY, url=platform.url, options=LATER))
    port = free_port()

    def ask(user: str, seconds: float = 60) -> bool:
        with suppress(OSError), urllib.request.urlopen(f"http://127.0.0.1:{port}/{user}", timeout=seconds) as response:
            return bool(response.read() == b"ok")
        return False

    command = (
        f"-m gunicorn service:application --preload --bind 127.0.0.1:{port} --max-requests 2 --timeout 90 "
        "--graceful-timeout 60"
    )
    with running(command.split(), tmp_path) as gunicorn:
        eventually(lambda: ask("first"))
        eventually(lambda: ask("second"))
        # It has reached `max_requests`.
        eventually(lambda: users(platform) == ["first", "second"])
        assert not ask("hung")
        eventually(lambda: ask("third"))
        gunicorn.terminate()
        gunicorn.wait(90)

    assert users(platform) == ["first", "second", "third"]


JOBS = """
import sys
from openflagship import FlagShip
from redis import Redis
from rq import Queue, SimpleWorker, Worker

flags = FlagShip({key!r}, {url!r}, **{{ {options} }})

def check(user, flushes):
    assert flags.is_enabled("asked", user)
    if flushes:
        assert flags.flush(60)

def main(path):
    import jobs
    connection = Redis(unix_socket_path=path)
    for worker, name, flushes in [(Worker, "lost", False), (Worker, "flushed", True), (SimpleWorker, "simple", False)]:
        queue = Queue(name, connection=connection)
        queue.enqueue(jobs.check, name, flushes)
        worker([queue], connection=connection).work(burst=True)
        assert queue.finished_job_registry.count == 1
"""


def test_rq__a_work_horse_and_a_simple_worker__send_as_the_page_says(
    platform: SmallPlatform,
    server: redis.Redis,  # noqa: F811 - the fixture
    tmp_path: Path,
) -> None:
    (tmp_path / "jobs.py").write_text(JOBS.format(key=KEY, url=platform.url, options=LATER))
    path = server.connection_pool.connection_kwargs["path"]
    with running(["-c", f"import jobs; jobs.main({path!r})"], tmp_path) as process:
        assert process.wait(150) == 0

    assert users(platform) == ["flushed", "simple"]


ENDS: dict[str, str] = {
    # A frozen process is ended without a word.
    "on demand": "client = FlagShip(*where, mode='on_demand'); client.is_enabled('asked', 'u'); {call}; os._exit(0)",
    "asyncio": "asyncio.run(main())",
}
SCRIPT = """
import asyncio, os
from openflagship import AsyncFlagShip, FlagShip

where = ({key!r}, {url!r})

async def main():
    client = AsyncFlagShip(*where, **{{ {options} }})
    await client.start()
    client.is_enabled("asked", "u")
    {call}

if __name__ == "__main__":
    {end}
"""


@pytest.mark.parametrize(
    ("call", "end", "is_sent"),
    [
        ("pass", "on demand", False),
        ("client.flush(60)", "on demand", True),
        ("pass", "asyncio", False),
        ("await client.close()", "asyncio", True),
    ],
)
def test_call__of_the_page__sends_what_is_lost_without_it(
    platform: SmallPlatform, tmp_path: Path, call: str, end: str, is_sent: bool
) -> None:
    text = SCRIPT.format(
        key=KEY, url=platform.url, options=LATER, end=ENDS[end].format(call=call), call=call if end == "asyncio" else ""
    )
    (tmp_path / "service.py").write_text(text)
    with running(["service.py"], tmp_path) as process:
        assert process.wait(150) == 0

    assert users(platform) == (["u"] if is_sent else [])
