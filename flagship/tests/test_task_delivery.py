"""A task of a worker that dies runs again, once, within the visibility time-out; a living worker keeps its own."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from celery import Celery
from django.conf import settings

from flagship import embedded
from flagship.embedded.process import wait_until
from flagship.servers.task_delivery import renew

pytestmark = pytest.mark.processes

# The worker's settings are the product's, but for times that a test can wait for.
APP = """
import os, time
from django.conf import settings
import flagship.servers.task_delivery as delivery
delivery.RENEW_EVERY_SECONDS = 0.5
from flagship.celery import app
settings.CELERY_BROKER_TRANSPORT_OPTIONS["visibility_timeout"] = 3
app.conf.broker_transport_options = settings.CELERY_BROKER_TRANSPORT_OPTIONS

@app.task(name="test.slow")
def slow(path, seconds):
    with open(path, "a") as log:
        log.write(f"{os.getpid()} {os.getppid()}\\n")
    time.sleep(seconds)
    with open(path, "a") as log:
        log.write("done\\n")
"""


@pytest.fixture
def worker(tmp_path) -> Iterator:
    (tmp_path / "slow_app.py").write_text(APP)
    prefix = f"delivery-{os.getpid()}"
    environment = {
        **os.environ,
        "DJANGO_SETTINGS_MODULE": "flagship.settings",
        "PYTHONPATH": f"{tmp_path}:{settings.BASE_DIR}:{os.environ.get('PYTHONPATH', '')}",
        "REDIS_PREFIX": prefix,
        "WORKER_NICENESS": "1",
    }
    started: list[subprocess.Popen] = []

    def start() -> subprocess.Popen:
        command = ["-m", "celery", "-A", "slow_app", "worker", "--loglevel=WARNING", "--without-gossip", "-c", "1"]
        with (tmp_path / "worker.log").open("ab") as log:
            started.append(
                subprocess.Popen(
                    [sys.executable, *command], env=environment, cwd=settings.BASE_DIR, stdout=log, stderr=log
                )
            )
        return started[-1]

    start.prefix = prefix
    yield start
    for process in started:
        process.kill()
        process.wait(60)


def test_task__its_child_and_then_its_worker_are_killed__runs_again_each_time_and_to_its_end_once(worker, tmp_path):
    log = Path(tmp_path / "ran.log")
    sender = Celery("sender", broker=embedded.celery_broker_url(settings.REDIS_URL))
    sender.conf.broker_transport_options = {"global_keyprefix": f"{worker.prefix}:celery:"}
    sender.send_task("test.slow", [str(log), 8])

    def lines():
        return log.read_text().splitlines() if log.exists() else []

    first = worker()
    assert wait_until(lambda: len(lines()) == 1, seconds=120), (tmp_path / "worker.log").read_text()
    child = psutil.Process(int(lines()[0].split()[0]))
    assert child.nice() == min(psutil.Process().nice() + 1, 19)
    child.kill()
    assert wait_until(lambda: len(lines()) == 2, seconds=60), (tmp_path / "worker.log").read_text()

    first.kill()
    first.wait(60)
    os.kill(int(lines()[1].split()[0]), 9)
    worker()
    # Longer than the visibility time-out: it is vouched for, or it would run a fourth time.
    assert wait_until(lambda: "done" in lines(), seconds=120), (tmp_path / "worker.log").read_text()
    time.sleep(1)
    assert len([line for line in lines() if line != "done"]) == 3
    assert lines().count("done") == 1


def test_renew__nothing_held__asks_nobody():
    class Idle:
        class qos:  # noqa: N801 - kombu's name
            _delivered: dict = {}

    assert renew(Idle()) == 0


# What a worker does before its first task. In a process of its own: here, tests have imported the tasks already.
REGISTERED = """
from flagship.celery import app
from flagship.servers.schedule import CELERY_BEAT_SCHEDULE
app.loader.init_worker()
print(*sorted({entry["task"] for entry in CELERY_BEAT_SCHEDULE.values()} - set(app.tasks)))
"""


def test_schedule__each_of_its_tasks__is_known_to_a_worker():
    done = subprocess.run(
        [sys.executable, "-c", REGISTERED],
        cwd=settings.BASE_DIR,
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    assert done.stdout.split() == []
