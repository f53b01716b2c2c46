"""Two web workers, two stream processes and eight writers, while Redis and PostgreSQL are stopped and started."""

import random
import threading

import pytest

from flags.testing.cluster import Cluster
from flags.testing.streams import Stream, eventually

pytestmark = [pytest.mark.processes, pytest.mark.xdist_group("propagation")]

WRITERS = 8
CUTS = 200
SECONDS = 240


@pytest.fixture(scope="module")
def cluster(tmp_path_factory, embedded_servers):
    folder = tmp_path_factory.mktemp("cluster")
    with Cluster(
        embedded_servers, folder, flags=WRITERS, variables={"POLL_SECONDS": "0.5", "STREAM_KEEP_ALIVE_SECONDS": "1"}
    ) as made:
        yield made


class Follower(threading.Thread):
    """Follows the stream; with `cuts` it hangs up that many times, after a moment or a few events, and comes back.

    Each time to any of the `ports`, as behind a load balancer: one process may be ahead of the other.
    """

    def __init__(self, cluster, *ports, cuts=0, seed=0):
        super().__init__(name=f"follower-{seed}", daemon=True)
        self._cluster, self.cuts, self._chance = cluster, cuts, random.Random(seed)
        self._ports = ports or (cluster.stream_port,)
        self.last = cluster.seeded_version
        self.seen, self.reconnects, self.failure = [], 0, None
        self.is_over = threading.Event()

    def run(self):
        try:
            while not self.is_over.is_set():
                try:
                    self._follow_once()
                except OSError:
                    self.is_over.wait(0.05)
        except Exception as error:  # noqa: BLE001 - whatever it is, the test reports it
            self.failure = error

    def _follow_once(self):
        stream = Stream(self._chance.choice(self._ports), self._cluster.server_key, last=self.last)
        events_left = self._chance.randint(0, 5) if self.reconnects < self.cuts else -1
        cutter = threading.Timer(self._chance.uniform(0, 0.2), stream.hang_up)
        try:
            if stream.status != 200:
                self.is_over.wait(0.05)
                return
            if events_left >= 0:
                cutter.start()
            while not self.is_over.is_set() and events_left != 0:
                event = stream.next()
                if event is None:
                    break
                # A kill without an id came ahead of the steps before it, and comes again in its turn.
                if event.id is not None:
                    self.seen.append((event.event, event.id))
                    self.last = event.id
                    events_left -= 1
        finally:
            cutter.cancel()
            stream.close()
            self.reconnects += 1


class Writer(threading.Thread):
    """Kills and releases one flag in turn until told to stop; what a server that is away refuses is tried again."""

    def __init__(self, cluster, number):
        super().__init__(name=f"writer-{number}", daemon=True)
        self._cluster, self._path = cluster, f"flags/flag-{number}/kill"
        self.written, self.failure = 0, None
        self.is_over = threading.Event()

    def run(self):
        while not self.is_over.is_set() and self.failure is None:
            path = self._path + ("/release" if self.written % 2 else "")
            try:
                status, body = self._cluster.manage("POST", path, {"reason": f"round {self.written}"})
            except OSError:
                status, body = 503, None
            if status == 202:
                self.written += 1
            elif status in {429, 503}:
                self.is_over.wait(0.05)
            else:
                self.failure = (status, body)


def test_everything_at_once__servers_come_and_go__every_client_sees_each_change_once_in_order(cluster):
    ports = cluster.stream_port, cluster.start("stream-2", line="stream")
    followers = [Follower(cluster), *(Follower(cluster, *ports, cuts=CUTS // 4, seed=seed) for seed in range(1, 5))]
    writers = [Writer(cluster, number) for number in range(WRITERS)]
    for thread in [*followers, *writers]:
        thread.start()

    def each_writes(more):
        before = [writer.written for writer in writers]
        eventually(
            lambda: all(writer.written >= had + more for writer, had in zip(writers, before, strict=True)),
            seconds=SECONDS,
        )

    each_writes(2)
    with cluster.without("redis"):
        each_writes(2)
    with cluster.without("postgres"):
        status, answer = cluster.evaluate("flag-0")
        assert (status, answer["stale"]) == (200, False)
        assert cluster.manage("POST", "flags/flag-0/kill", {"reason": "away"})[0] == 503
    each_writes(2)
    eventually(lambda: all(follower.reconnects >= follower.cuts for follower in followers), seconds=SECONDS)
    for writer in writers:
        writer.is_over.set()
        writer.join(SECONDS)
    assert [writer.failure for writer in writers] == [None] * WRITERS

    # Another kill, so that there is a last version: each of these is a change, whatever the writers did.
    for act in ("kill", "kill/release"):
        status, body = cluster.manage("POST", f"flags/flag-0/{act}", {"reason": "the last"})
        assert status == 202
    final = body["configVersion"]
    eventually(lambda: all(follower.last >= final for follower in followers), seconds=SECONDS)
    for follower in followers:
        follower.is_over.set()
    expected = [("kill_switch", version) for version in range(cluster.seeded_version + 1, final + 1)]
    for follower in followers:
        assert follower.failure is None
        assert follower.seen == expected
    assert sum(follower.reconnects for follower in followers) >= CUTS
    _both_workers_are_at(cluster, final)
    cluster.stop("stream-2")


def _both_workers_are_at(cluster, version):
    """Forty answers in a row, each on a connection of its own: with two workers, one behind would not stay hidden."""
    eventually(
        lambda: all(cluster.evaluate("flag-1")[1]["configVersion"] == version for _ in range(40)), seconds=SECONDS
    )


def test_kill__redis_away__reaches_both_workers_by_the_poll(cluster):
    with cluster.without("redis"):
        status, body = cluster.manage("POST", "flags/flag-2/kill", {"variant": "control", "reason": "no redis"})
        assert status == 202
        _both_workers_are_at(cluster, body["configVersion"])
        assert cluster.evaluate("flag-2")[1]["reason"] == "KILL_SWITCH"
    assert cluster.manage("POST", "flags/flag-2/kill/release", {})[0] == 202


def test_start__postgresql_away__web_and_stream_serve_from_redis(cluster):
    status, body = cluster.manage("POST", "flags/flag-3/kill", {"variant": "control", "reason": "cold start"})
    assert status == 202
    _both_workers_are_at(cluster, body["configVersion"])
    cluster.stop("web")
    cluster.stop("stream")
    with cluster.without("postgres"):
        cluster.start("web")
        cluster.start("stream")

        status, answer = cluster.evaluate("flag-3")
        assert (status, answer["reason"], answer["configVersion"]) == (200, "KILL_SWITCH", body["configVersion"])
        stream = Stream(cluster.stream_port, cluster.server_key)
        assert stream.next_event().data["flags"]["flag-3"]["killSwitchVariant"] == "control"
        stream.close()

    # Without a restart: once PostgreSQL is back, writes work and are heard.
    def written():
        status, answer = cluster.manage("POST", "flags/flag-3/kill/release", {})
        return answer["configVersion"] if status == 202 else None

    _both_workers_are_at(cluster, eventually(written, seconds=SECONDS))


def test_stream__postgresql_and_redis_hang__tells_how_long_it_knows_nothing_new(cluster):
    stream = Stream(cluster.stream_port, cluster.server_key)

    def age():
        found = stream.next()
        while not found.comment:
            found = stream.next()
        return int(found.comment.removeprefix("keep-alive age="))

    # Before it hangs and again afterwards; a poll takes half of a second.
    eventually(lambda: age() <= 2, seconds=SECONDS)
    with cluster.frozen():
        eventually(lambda: age() >= 4, seconds=SECONDS)
    eventually(lambda: age() <= 2, seconds=SECONDS)
    stream.close()


def test_stop__stream_process_is_replaced__clients_come_back_and_miss_nothing(cluster):
    follower = Follower(cluster)
    follower.last = before = cluster.evaluate("flag-4")[1]["configVersion"]
    follower.start()
    cluster.stop("stream")
    status, body = cluster.manage("POST", "flags/flag-4/kill", {"reason": "while it is away"})
    assert status == 202

    cluster.start("stream")

    eventually(lambda: follower.last == body["configVersion"], seconds=SECONDS)
    follower.is_over.set()
    assert follower.failure is None
    assert follower.seen == [("kill_switch", version) for version in range(before + 1, body["configVersion"] + 1)]
