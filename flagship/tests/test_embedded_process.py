"""What is said of a process that ends while it is looked at."""

import os
import subprocess
import sys
from collections.abc import Iterator

import psutil
import pytest

from flagship.embedded import process


@pytest.fixture
def child() -> Iterator[subprocess.Popen]:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as running:
        yield running
        running.kill()


@pytest.fixture
def ends_between_the_questions(monkeypatch, child):
    """The child ends, and is reaped, when psutil has just said that it runs."""
    plain = psutil.Process.is_running

    def is_running(self: psutil.Process) -> bool:
        answer = plain(self)
        child.kill()
        child.wait()
        return answer

    monkeypatch.setattr(psutil.Process, "is_running", is_running)


def test_lives__running__is_true(child):
    assert process.lives(psutil.Process(child.pid))
    assert process.is_alive(child.pid)


def test_lives__ends_while_it_is_asked__is_false(child, ends_between_the_questions):
    assert not process.lives(psutil.Process(child.pid))


def test_is_alive__ends_while_it_is_asked__is_false(child, ends_between_the_questions):
    assert not process.is_alive(child.pid)


def test_lives__zombie__is_false(child):
    asked = psutil.Process(child.pid)
    child.kill()
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    assert not process.lives(asked)
    assert not process.is_alive(child.pid)


def test_lives__pid_became_anothers__is_false(child, monkeypatch):
    asked = psutil.Process(child.pid)
    assert process.lives(asked)
    # The identity psutil compares: the pid and when its process began.
    monkeypatch.setattr(asked, "_ident", (child.pid, asked.create_time() - 3600))
    assert not process.lives(asked)
