"""How processes end: the table of the processes page, row by row, as processes of their own."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from small_platform import KEY, SmallPlatform

PAGE = Path(__file__).resolve().parents[3] / "docs" / "guides" / "python-sdk" / "processes.md"
HEAD = """
import multiprocessing, os, signal, sys, warnings
from concurrent.futures import ProcessPoolExecutor
from openflagship import FlagShip
warnings.simplefilter("ignore")

def make():
    later = {{"flush_seconds": 3600, "start_wait_seconds": 60, "close_wait_seconds": 60}}
    return FlagShip({key!r}, {url!r}, **later)

def work():
    assert make().is_enabled("asked", "user-1")

def fork(flushes):
    child = os.fork()
    if child == 0:
        client.is_enabled("asked", "user-1")
        if flushes:
            client.flush(60)
        os._exit(0)
    os.waitpid(child, 0)

def run(method):
    worker = multiprocessing.get_context(method).Process(target=work)
    worker.start()
    worker.join()

def keep(queue, handles):
    global started
    started = queue
    if handles:
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))

def work_on():
    work()
    started.put(None)
    signal.pause()

def pool(handles=False, is_left=True):
    context = multiprocessing.get_context("spawn")
    queue = context.SimpleQueue()
    with context.Pool(1, keep, (queue, handles)) as workers:
        if is_left:
            # An idle worker may be told to end before it is killed.
            workers.apply_async(work_on)
            queue.get()
        else:
            workers.apply(work)
            workers.close()
            workers.join()

if __name__ == "__main__":
    client = make()
"""
ENDS = {
    "comes to its end": 'client.is_enabled("asked", "user-1")',
    "calls `sys.exit`": 'client.is_enabled("asked", "user-1"); sys.exit(3)',
    "ends by an exception": 'client.is_enabled("asked", "user-1"); 1 / 0',
    "is a `multiprocessing` worker, forked": 'run("fork")',
    "is a `multiprocessing` worker, spawned": 'run("spawn")',
    "is a worker of `ProcessPoolExecutor`": "with ProcessPoolExecutor(1) as pool: pool.submit(work).result()",
    "is a worker of `multiprocessing.Pool`, closed and joined": "pool(is_left=False)",
    "is a worker of `multiprocessing.Pool` at the end of its `with`": "pool()",
    "is a worker of `multiprocessing.Pool`, with a handler of SIGTERM": "pool(handles=True)",
    "is a fork that calls `os._exit`": "fork(False)",
    "is a fork that flushes and calls `os._exit`": "fork(True)",
    "is ended by SIGTERM without a handler": 'client.is_enabled("asked", "user-1"); os.kill(os.getpid(), 15)',
    "is ended by SIGTERM with a handler": (
        "signal.signal(signal.SIGTERM, lambda *_: sys.exit(0)); "
        'client.is_enabled("asked", "user-1"); os.kill(os.getpid(), signal.SIGTERM)'
    ),
}
ROWS = dict(re.findall(r"^\| ((?:comes|calls|ends|is) [^|]*?) \| (sent|lost) \|", PAGE.read_text(), re.MULTILINE))


def test_page__of_processes__has_the_rows_that_are_tested() -> None:
    assert list(ROWS) == list(ENDS)


@pytest.mark.parametrize("process", ENDS)
def test_process__at_its_end__has_sent_what_the_page_says(
    process: str, platform: SmallPlatform, tmp_path: Path
) -> None:
    script = tmp_path / "service.py"
    script.write_text(HEAD.format(key=KEY, url=platform.url) + f"    {ENDS[process]}\n")
    subprocess.run([sys.executable, script], capture_output=True, timeout=150, check=False)

    assert [event["userId"] for event in platform.exposures()] == (["user-1"] if ROWS[process] == "sent" else [])
