"""Sessions share one pair of servers: started once, stopped by the last to leave, data kept."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import psycopg
import pytest
from redis import Redis

from flagship import embedded
from flagship.embedded import postgres, redis
from flagship.embedded.layout import Layout
from flagship.embedded.process import wait_until

pytestmark = pytest.mark.processes

REPOSITORY = Path(__file__).resolve().parents[2]
HOLD_UNTIL_TOLD = """
import sys
from pathlib import Path
from flagship import embedded
with embedded.session(Path(sys.argv[1]), fsync=False):
    print("in", flush=True)
    sys.stdin.readline()
print("out", flush=True)
"""


@pytest.fixture(scope="module")
def var_dir(tmp_path_factory):
    # A space and capitals, because clones lie under such names too.
    return tmp_path_factory.mktemp("embedded") / "My Clone" / "var"


@pytest.fixture
def layout(var_dir):
    return Layout.of(var_dir)


@pytest.fixture
def holders(var_dir, layout):
    """Start processes that each hold a session until a line arrives; whatever still runs at the end is killed."""
    running: list[subprocess.Popen[str]] = []

    def start() -> subprocess.Popen[str]:
        holder = subprocess.Popen(
            [sys.executable, "-c", HOLD_UNTIL_TOLD, str(var_dir)],
            cwd=REPOSITORY,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        running.append(holder)
        return holder

    yield start
    for holder in running:
        holder.kill()
        holder.communicate()
    # The keeper's turn; the next test must not meet these servers.
    assert wait_until(lambda: running_pids(layout) == (None, None), seconds=120)


def running_pids(layout: Layout) -> tuple[int | None, int | None]:
    return postgres.running_pid(layout), redis.running_pid(layout)


def starts_logged(layout: Layout) -> int:
    return layout.postgres_log.read_text().count("database system is ready to accept connections")


def test_session__entered__serves_both_and_left__stops_both_and_keeps_the_data(var_dir, layout):
    with embedded.session(var_dir, fsync=False):
        with psycopg.connect(embedded.database_url(var_dir)) as connection:
            connection.execute("CREATE TABLE IF NOT EXISTS kept (id int)")
            connection.execute("INSERT INTO kept VALUES (7)")
        with Redis.from_url(embedded.redis_url(var_dir)) as client:
            client.set("kept", "7")
    assert running_pids(layout) == (None, None)
    with embedded.session(var_dir, fsync=False):
        with psycopg.connect(embedded.database_url(var_dir)) as connection:
            assert connection.execute("SELECT id FROM kept").fetchone() == (7,)
        with Redis.from_url(embedded.redis_url(var_dir)) as client:
            assert client.get("kept") == b"7"


def test_session__servers_running__listen_on_no_port_and_ignore_the_terminal(var_dir, layout):
    with embedded.session(var_dir, fsync=False):
        for pid in running_pids(layout):
            assert pid is not None
            assert os.getsid(pid) == pid
            assert psutil.Process(pid).uids().real != 0
        with psycopg.connect(embedded.database_url(var_dir)) as connection:
            assert connection.execute("SHOW listen_addresses").fetchone() == ("",)
        with Redis.from_url(embedded.redis_url(var_dir)) as client:
            assert client.config_get("port") == {"port": "0"}


def test_session__default_durability__is_full_and_never_evicts(var_dir):
    with embedded.session(var_dir):
        with psycopg.connect(embedded.database_url(var_dir)) as connection:
            assert connection.execute("SHOW fsync").fetchone() == ("on",)
            assert connection.execute("SHOW server_encoding").fetchone() == ("UTF8",)
        with Redis.from_url(embedded.redis_url(var_dir)) as client:
            assert client.config_get("appendonly") == {"appendonly": "yes"}
            assert client.config_get("appendfsync") == {"appendfsync": "everysec"}
            assert client.config_get("maxmemory-policy") == {"maxmemory-policy": "noeviction"}


def test_session__nested__is_ended_by_the_outer_one(var_dir, layout):
    with embedded.session(var_dir, fsync=False):
        before = running_pids(layout)
        with embedded.session(var_dir, fsync=False):
            assert running_pids(layout) == before
        assert running_pids(layout) == before
    assert running_pids(layout) == (None, None)


def test_session__several_processes_at_once__start_one_pair_and_the_last_stops_it(holders, layout, var_dir):
    with embedded.session(var_dir, fsync=False):
        pass
    starts_before = starts_logged(layout)
    together = [holders() for _ in range(4)]
    for holder in together:
        assert holder.stdout.readline() == "in\n"
    assert starts_logged(layout) == starts_before + 1
    pids = running_pids(layout)
    for holder in together[:-1]:
        holder.communicate("leave\n")
        assert running_pids(layout) == pids
    together[-1].communicate("leave\n")
    assert running_pids(layout) == (None, None)


def test_session__killed_outright__leaves_servers_that_the_next_session_uses(holders, layout, var_dir):
    holder = holders()
    assert holder.stdout.readline() == "in\n"
    pids = running_pids(layout)
    companion = holders()
    assert companion.stdout.readline() == "in\n"
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    with embedded.session(var_dir, fsync=False):
        assert running_pids(layout) == pids


def test_session__killed_outright_and_nobody_follows__is_cleaned_up_by_the_keeper(holders, layout):
    holder = holders()
    assert holder.stdout.readline() == "in\n"
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    assert wait_until(lambda: running_pids(layout) == (None, None), seconds=120)
    assert layout.keeper_log.read_text() == ""


def test_session__block_raises__stops_the_servers_all_the_same(var_dir, layout):
    with pytest.raises(ZeroDivisionError), embedded.session(var_dir, fsync=False):
        raise ZeroDivisionError
    assert running_pids(layout) == (None, None)


def test_session__forked_child_leaves_the_block__does_not_stop_the_parents_servers(var_dir, layout):
    script = (
        "import os, sys\nfrom pathlib import Path\nfrom flagship import embedded\n"
        "from flagship.embedded import postgres\nfrom flagship.embedded.layout import Layout\n"
        "var = Path(sys.argv[1])\n"
        "with embedded.session(var, fsync=False):\n"
        "    child = os.fork()\n"
        "    if child:\n"
        "        os.waitpid(child, 0)\n"
        "        print(postgres.running_pid(Layout.of(var)) is not None)\n"
        "if not child:\n"
        "    os._exit(0)\n"
    )
    finished = subprocess.run(
        [sys.executable, "-c", script, str(var_dir)], cwd=REPOSITORY, capture_output=True, text=True, check=True
    )
    assert finished.stdout == "True\n"
    assert running_pids(layout) == (None, None)


def test_session__one_server_wanted__starts_only_that(var_dir, layout):
    with embedded.session(var_dir, fsync=False, with_postgres=False):
        assert postgres.running_pid(layout) is None
        assert redis.running_pid(layout) is not None
