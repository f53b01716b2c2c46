"""After a fork the child follows, sends and ends by itself, and touches nothing of its parent's."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
import time
from collections.abc import Callable

import pytest
from openflagship import FlagShip
from openflagship.client import core
from sdk_fixtures import treatment
from small_platform import SmallPlatform, eventually

Connect = Callable[..., FlagShip]
_THREADS = ["openflagship-announce", "openflagship-follow", "openflagship-send", "openflagship-watch"]
pytestmark = pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")


def wait_for(pid: int, seconds: float = 90) -> int:
    """The exit status of a child, which is killed if it hangs."""
    deadline = time.monotonic() + seconds
    while True:
        found, status = os.waitpid(pid, os.WNOHANG)
        if found:
            return os.waitstatus_to_exitcode(status)
        if time.monotonic() > deadline:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            pytest.fail("the child hung")
        time.sleep(0.01)


def test_fork__child__streams_and_sends_by_itself_and_the_parent_goes_on(
    platform: SmallPlatform, connect: Connect
) -> None:
    """Public reports LaunchDarkly python-server-sdk#174 and Split python#177: a forked worker's flags froze."""
    client = connect(flush_seconds=3600)
    eventually(lambda: platform.stream_count == 1)
    client.is_enabled("asked", "of-the-parent")
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            eventually(lambda: not client.is_enabled("asked", "of-the-child"))
            client.close()
            code = 0
        finally:
            os._exit(code)
    eventually(lambda: platform.stream_count == 2)
    platform.change(treatment(enabled=False))

    assert wait_for(pid) == 0
    eventually(lambda: not client.is_enabled("asked", "user-1"))
    assert client.status().reconnects == 0
    assert client.flush(60)
    users = [event["userId"] for event in platform.exposures()]
    assert users.count("of-the-parent") == 1
    assert "of-the-child" in users
    eventually(lambda: len({said["instance"] for said in platform.acknowledged}) == 2)


def test_fork__in_the_middle_of_traffic__twenty_children_all_answer(platform: SmallPlatform, connect: Connect) -> None:
    client = connect(flush_count=5)
    children = []
    for number in range(20):
        for user in range(50):
            client.is_enabled("asked", f"user-{number}-{user}")
        pid = os.fork()
        if pid == 0:
            os._exit(0 if client.is_enabled("asked", "child") and client.flush(60) else 1)
        children.append(pid)

    assert [wait_for(pid) for pid in children] == [0] * 20


def test_fork__no_hook_of_python_is_run__the_first_questions_restart_the_client_once(
    platform: SmallPlatform, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As under uWSGI, which forks in C."""
    client = connect(flush_seconds=3600)
    monkeypatch.setattr(core, "_clients", [])
    eventually(lambda: platform.stream_count == 1)
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            start = threading.Barrier(8)
            askers = [threading.Thread(target=lambda: start.wait() >= 0 and client.all_flags("u")) for _ in range(8)]
            sys.setswitchinterval(1e-6)
            for asker in askers:
                asker.start()
            for asker in askers:
                asker.join()
            eventually(lambda: not client.all_flags("user-1")["asked"])
            names = [thread.name for thread in threading.enumerate() if thread.name.startswith("openflagship")]
            code = 0 if sorted(names) == _THREADS else 2
        finally:
            os._exit(code)
    eventually(lambda: platform.stream_count == 2)
    platform.change(treatment(enabled=False))

    assert wait_for(pid) == 0


def in_worker(number: int) -> bool:
    assert CLIENT is not None
    return CLIENT.is_enabled("asked", f"worker-{number}")


CLIENT: FlagShip | None = None


def test_multiprocessing__forked_workers__send_what_they_saw_at_their_end(
    platform: SmallPlatform, connect: Connect
) -> None:
    global CLIENT  # noqa: PLW0603 - forked workers find it as services' workers do, at module level
    CLIENT = connect(flush_seconds=3600)
    context = multiprocessing.get_context("fork")
    workers = [context.Process(target=in_worker, args=(number,)) for number in range(3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(90)

    assert [worker.exitcode for worker in workers] == [0, 0, 0]
    assert sorted(event["userId"] for event in platform.exposures()) == ["worker-0", "worker-1", "worker-2"]
