"""Hosts that vanish without a word: the platform is stale meanwhile, back in seconds, and a kill is obeyed soon."""

import os
import time
from contextlib import ExitStack
from urllib.parse import urlsplit

import pytest

from flags.testing.cluster import Cluster
from flags.testing.network import VanishingHost, vanished
from flags.testing.streams import eventually

# Of one worker: the places for these hosts are made once.
pytestmark = [pytest.mark.processes, pytest.mark.namespaces, pytest.mark.xdist_group("vanishing")]

CUT_SECONDS = float(os.environ.get("FLAGSHIP_TEST_CUT_SECONDS", "15"))
# Left to itself, TCP notices after minutes. An idle machine needs a few seconds; a loaded one has room here.
KILL_SECONDS = float(os.environ.get("FLAGSHIP_TEST_KILL_SECONDS", "90"))
FAILOVER_SECONDS = 90


@pytest.fixture(scope="module")
def site(tmp_path_factory, embedded_servers):
    """A cluster whose PostgreSQL has two addresses, and Redis one."""
    folder = tmp_path_factory.mktemp("vanishing")
    layout = embedded_servers.layout.Layout.of(folder)
    socket = layout.socket_dir / embedded_servers.layout.POSTGRES_SOCKET_NAME
    with ExitStack() as stack:
        first, second = (stack.enter_context(VanishingHost({5432: socket})) for _ in range(2))
        redis = stack.enter_context(VanishingHost({6379: layout.redis_socket}))
        account = urlsplit(embedded_servers.database_url(folder))
        url = f"postgres://{account.username}@{first.host},{second.host}:5432/{account.path[1:]}"
        variables = {
            "DATABASE_URL": f"{url}?target_session_attrs=read-write",
            "REDIS_URL": f"redis://{redis.host}:6379/0",
            "STALE_AFTER_SECONDS": "5",
        }
        yield (
            stack.enter_context(Cluster(embedded_servers, folder, web_workers=1, variables=variables)),
            first,
            second,
            redis,
        )


def kill(cluster):
    """Kill as soon as the platform takes it; the seconds until it is obeyed."""
    began = time.monotonic()

    def taken():
        try:
            return cluster.manage("POST", "flags/flag-0/kill", {"variant": "control", "reason": "tried"})[0] == 202
        except OSError:
            return False

    eventually(taken, seconds=120)
    eventually(lambda: cluster.evaluate("flag-0")[1]["reason"] == "KILL_SWITCH", seconds=120)
    took = time.monotonic() - began
    cluster.manage("POST", "flags/flag-0/kill/release", {})
    eventually(lambda: cluster.evaluate("flag-0")[1]["reason"] != "KILL_SWITCH", seconds=120)
    return took


def test_both_stores__vanish_and_come_back__stale_meanwhile_and_a_kill_soon_after(site):
    cluster, *hosts = site
    with vanished(*hosts):
        cut_at, answers = time.monotonic(), []
        while time.monotonic() - cut_at < CUT_SECONDS:
            answers.append(cluster.evaluate("flag-0"))
            time.sleep(0.2)
    took = kill(cluster)
    assert {status for status, _ in answers} == {200}
    assert answers[-1][1]["stale"] is True
    assert took < KILL_SECONDS


def test_postgresql__first_host_vanishes__the_second_serves_within_seconds(site):
    cluster, first, *_ = site
    with vanished(first):
        assert kill(cluster) < FAILOVER_SECONDS
