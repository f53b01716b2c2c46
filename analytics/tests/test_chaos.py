"""Three ingest processes, kills every two seconds, both servers restarted: the tables hold exactly the truth."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import ModuleType

import psutil
import psycopg
import pytest

from analytics.event_generator import Generator, Plan, default_start
from analytics.event_records import Batch, ConversionEvent, ExposureEvent, pack

# Planned; some users convert less often than planned for, and 100,000 different ones there shall be.
EVENTS = 101_000
KILL_EVERY_SECONDS = 2.0
# Then the three that live may finish: on a busy machine a process takes longer to start than it would be left alive.
MOST_KILLS = 12
# So many before the last event is sent, however fast the machine stores.
KILLS_AT_WORK = 5
LONGEST_SECONDS = 400.0
ROOT = Path(__file__).resolve().parents[2]


class World:
    """Servers of this test's own, which it may kill, and ingest processes on them."""

    def __init__(self, var_dir: Path, servers: ModuleType) -> None:
        self.var_dir, self._servers = var_dir, servers
        self.database_url = servers.database_url(var_dir)
        self.environment = {
            **os.environ,
            "DJANGO_SETTINGS_MODULE": "flagship.settings",
            "FLAGSHIP_VAR_DIR": str(var_dir),
            "DATABASE_URL": self.database_url,
            "REDIS_URL": servers.redis_url(var_dir),
            "SECRET_KEY": "a-secret-that-only-these-tests-use",
            "REDIS_PREFIX": "flagship",
            "INGEST_CLAIM_SECONDS": "1",
            # Small, so that every kill finds batches in every state.
            "INGEST_BATCH_EVENTS": "400",
        }
        self.ingesting: list[subprocess.Popen[bytes]] = []

    def manage(self, *arguments: str) -> None:
        subprocess.run([sys.executable, "manage.py", *arguments], cwd=ROOT, env=self.environment, check=True)

    def start_ingest(self) -> None:
        process = subprocess.Popen(
            [sys.executable, "manage.py", "ingest", "--nice", "0"],
            cwd=ROOT,
            env=self.environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        self.ingesting.append(process)

    def kill_one_ingest(self, rng: random.Random) -> None:
        victim = self.ingesting.pop(rng.randrange(len(self.ingesting)))
        victim.kill()
        victim.wait()
        self.start_ingest()

    def end(self) -> None:
        for process in self.ingesting:
            process.kill()
            process.wait()

    def query(self, sql: str) -> tuple[int, ...]:
        with psycopg.connect(self.database_url) as connection:
            row = connection.execute(sql).fetchone()
            assert row is not None
            return tuple(row)

    def server(self, name: str) -> psutil.Process:
        """The server under this world's folder, and none of its children, which may look the same for a moment."""
        pid = getattr(self._servers, name).running_pid(self._servers.layout.Layout.of(self.var_dir))
        assert pid is not None, f"no {name} under {self.var_dir}"
        return psutil.Process(pid)


def _shuffled_batches(generator: Generator, rng: random.Random) -> list[bytes]:
    events: list[ExposureEvent | ConversionEvent] = []
    for batch in generator.batches():
        events += [*batch.exposures, *batch.conversions]
    rng.shuffle(events)
    return [
        pack(
            Batch(
                [event for event in events[start : start + 100] if isinstance(event, ExposureEvent)],
                [event for event in events[start : start + 100] if isinstance(event, ConversionEvent)],
            )
        )
        for start in range(0, len(events), 100)
    ]


@pytest.mark.processes
def test_everything_killed__nothing_is_lost_and_nothing_doubled(tmp_path: Path, embedded_servers: ModuleType) -> None:
    from redis import Redis  # noqa: PLC0415 - beside the client it makes

    rng = random.Random(5)
    generator = Generator(Plan(environment_id=1, users=5000, events=EVENTS, seed=5, start=default_start(14)))
    packed = _shuffled_batches(generator, rng)
    truth = generator.truth
    assert truth.exposures + truth.conversion_events >= 100_000
    assert truth.duplicates >= 9_900
    with embedded_servers.session(tmp_path):
        world = World(tmp_path, embedded_servers)
        world.manage("migrate", "--verbosity=0")
        redis = Redis.from_url(world.environment["REDIS_URL"])
        stream = "flagship:events"
        deadline = time.monotonic() + LONGEST_SECONDS
        try:
            for _ in range(3):
                world.start_ingest()
            started = next_kill = time.monotonic()
            kills, restarted = 0, set()
            sent = 0
            while sent < len(packed) or redis.xlen(stream) or kills < KILLS_AT_WORK:
                assert time.monotonic() < deadline, "the stream did not run empty in time"
                # Spread over some twelve seconds and the kills, so that these fall into the middle of the work.
                share = min((time.monotonic() - started) / 12, (kills + 1) / (KILLS_AT_WORK + 1))
                due = min(len(packed), int(share * len(packed)) + 1)
                for batch in packed[sent:due]:
                    redis.xadd(stream, {"b": batch})
                sent = due
                # Enough is enough: on a machine so busy that starting takes longer than dying, none would ever finish.
                if kills < MOST_KILLS and time.monotonic() > next_kill + KILL_EVERY_SECONDS:
                    world.kill_one_ingest(rng)
                    kills += 1
                    next_kill = time.monotonic()
                if kills == 2 and "redis" not in restarted:
                    restarted.add("redis")
                    _restart(world, embedded_servers, "redis", signal.SIGTERM)
                if kills == 4 and "postgres" not in restarted:
                    restarted.add("postgres")
                    _restart(world, embedded_servers, "postgres", signal.SIGINT)
                time.sleep(0.05)
        finally:
            world.end()
        assert restarted == {"redis", "postgres"}
        assert kills >= KILLS_AT_WORK
        exposures = world.query("SELECT count(*), count(DISTINCT evaluation_id) FROM exposures")
        conversions = world.query("SELECT count(*), count(DISTINCT event_id) FROM conversions")
        assert exposures == (truth.exposures, truth.exposures)
        assert conversions == (truth.conversion_events, truth.conversion_events)
        # What is kept up beside the raw events went through the same kills.
        assert world.query("SELECT sum(exposures + bots) FROM flag_exposure_hours") == (truth.exposures,)
        assert world.query(
            "SELECT count(*) FILTER (WHERE crossed_at IS NULL) FROM first_exposures WHERE variant <> ''"
        ) == (sum(truth.users.values()),)
        assert world.query("SELECT sum(events) FROM flag_hour_sketches") == (truth.exposures,)
        assert world.query("SELECT count(*) FROM event_dead_letters") == (0,)


def _restart(world: World, servers: ModuleType, name: str, how: signal.Signals) -> None:
    """Stop a server the way an operator would; entering a session again starts what is missing."""
    process = world.server(name)
    process.send_signal(how)
    process.wait(timeout=120)
    with servers.session(world.var_dir):
        pass
