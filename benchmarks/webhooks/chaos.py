"""Changes while receivers answer anything and workers are killed: what arrived, in which order, and how late."""

import itertools
import json
import random
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import psutil
from standardwebhooks.webhooks import WebhookVerificationError

from benchmarks.processes import until
from benchmarks.world import ROOT

KILL_EVERY_SECONDS = 3.0
_READY = 2.0
# Of so many kills one is of the whole worker.
KILLS_A_WORKER = 40
# Of each two hundred attempts to a wild receiver.
WILD = ["500"] * 2 + ["redirect"] * 2 + ["garbage"] * 2 + ["close"] + ["hang"] + ["ok"] * 192
PATHS = {"/wild-1": WILD, "/wild-2": WILD, "/good": ["ok"], "/dead": ["hang"]}


class Run:
    """A tenant with a flag, webhooks to a receiver, and when each change was committed."""

    def __init__(self, name: str, paths: dict[str, list[str]], *, seed: int = 18) -> None:
        from audit.actors import system  # noqa: PLC0415 - after setup
        from flags.services import create_flag  # noqa: PLC0415 - likewise
        from integrations.testing import Receiver  # noqa: PLC0415 - likewise
        from tenancy import services  # noqa: PLC0415 - likewise

        self.actor, self.paths = system("benchmark"), paths
        organization = services.create_organization(actor=self.actor, slug=name, name=name)
        project = services.create_project(actor=self.actor, organization=organization, key="web", name="Web")
        self.environment = services.create_environment(
            actor=self.actor, project=project, key="production", name="Production"
        )
        create_flag(actor=self.actor, environment=self.environment, payload={"key": "checkout", "enabled": True})
        chance = random.Random(seed)
        self.receiver = Receiver(behave=lambda _number, path: chance.choice(paths[path]))
        self.arrived: dict[str, list[float]] = {path: [] for path in paths}
        self.committed: dict[int, float] = {}
        self.secrets: dict[str, str] = {}

    def add_webhooks(self) -> None:
        from integrations import services  # noqa: PLC0415 - likewise

        for path in self.paths:
            payload = {"name": path, "url": f"{self.receiver.url}{path}", "events": ["flag.updated"]}
            organization = self.environment.project.organization
            issued = services.create_webhook(actor=self.actor, organization=organization, payload=payload)
            self.secrets[path] = issued.secret

    def change(self, number: int) -> None:
        """One change of the flag, and the position of its event."""
        from flags.services import update_flag  # noqa: PLC0415 - likewise

        rollout = [{"variant": "treatment", "percent": number % 100 + 1}]
        update_flag(
            actor=self.actor, environment=self.environment, key="checkout", payload={"rollout": rollout}, version=None
        )

    def write(self, count: int, rate: float) -> None:
        """Changes at a steady rate, each with the instant after its commit."""
        from audit.models import Entry  # noqa: PLC0415 - likewise

        begun = time.monotonic()
        rows = Entry.objects.filter(organization_id=self.environment.project.organization_id)
        for number in range(count):
            time.sleep(max(0.0, begun + number / rate - time.monotonic()))
            self.change(number)
            position = rows.order_by("-position").values_list("position", flat=True)[0]
            self.committed[position] = time.time()


class Worker:
    """A Celery worker with a pool of processes, as in production; inside the `with` it runs."""

    def __init__(self, variables: dict[str, str], *more: str) -> None:
        self._variables = variables
        self._command = [sys.executable, "-m", "benchmarks.webhooks.worker", *more]

    def __enter__(self) -> "Worker":
        self._process = subprocess.Popen(self._command, cwd=ROOT, env=self._variables)
        return self

    def __exit__(self, *_: object) -> None:
        self.kill_all()

    def kill_one(self, chance: random.Random) -> bool:
        """Kill a process of the pool, which its parent replaces."""
        if self._process.poll() is not None:
            # It gives up where a process dies before it is ready.
            self.__enter__()
        # One that has just come may not be ready, and a worker whose processes die before they are gives up.
        now = time.time()
        children = [each for each in psutil.Process(self._process.pid).children() if now - each.create_time() > _READY]
        if children:
            chance.choice(children).kill()
        return bool(children)

    def kill_all(self) -> None:
        """Kill the worker with its pool."""
        if self._process.poll() is not None:
            return
        for process in (psutil.Process(self._process.pid), *psutil.Process(self._process.pid).children()):
            process.kill()
        self._process.wait()


@contextmanager
def _kills(worker: Worker) -> Iterator[Counter[str]]:
    """Inside it a process is killed every few seconds, and now and then the whole worker."""
    done, counted, chance = threading.Event(), Counter[str](), random.Random(4)

    def kill() -> None:
        for number in itertools.count(1):
            if done.wait(KILL_EVERY_SECONDS):
                return
            if number % KILLS_A_WORKER == 0:
                worker.kill_all()
                worker.__enter__()
                counted["workers"] += 1
            else:
                counted["processes"] += worker.kill_one(chance)

    thread = threading.Thread(target=kill)
    thread.start()
    try:
        yield counted
    finally:
        done.set()
        thread.join()


@contextmanager
def _beat(seconds: float = 5.0) -> Iterator[None]:
    """What the scheduler does for webhooks."""
    from integrations.tasks import look_for_webhooks  # noqa: PLC0415 - after setup

    done = threading.Event()

    def ask() -> None:
        while not done.wait(seconds):
            look_for_webhooks.apply_async()

    thread = threading.Thread(target=ask)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


class Judge:
    """Looks at each delivery as it arrives: in Python at once, in JavaScript by a process beside it."""

    def __init__(self, run: Run) -> None:
        self._run, self._seen, self.bad = run, 0, 0
        self.taken: dict[str, set[str]] = {path: set() for path in run.paths}
        self._node = subprocess.Popen(
            ["node", "benchmarks/webhooks/verify.mjs"],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def look(self) -> None:
        received = self._run.receiver.received
        while self._seen < len(received):
            one = received[self._seen]
            self._seen += 1
            secret = self._run.secrets[one.path]
            if one.behaviour == "ok":
                self.taken[one.path].add(one.id)
            try:
                one.verify(secret)
            except WebhookVerificationError:
                self.bad += 1
            assert self._node.stdin is not None
            line = {"secret": secret, "headers": one.headers, "body": one.body.decode()}
            self._node.stdin.write(json.dumps(line) + "\n")

    def javascript(self) -> dict[str, int]:
        counts, _ = self._node.communicate()
        found: dict[str, int] = json.loads(counts)
        return found


class Progress:
    """A line every half minute, for whoever waits."""

    def __init__(self, say: Callable[[], str]) -> None:
        self._say, self._next = say, 0.0

    def tell(self) -> None:
        if time.monotonic() >= self._next:
            self._next = time.monotonic() + 30
            print(self._say(), flush=True)


def chaos(variables: dict[str, str], count: int, rate: float) -> list[str]:
    from integrations.testing import receiving  # noqa: PLC0415 - after setup

    run = Run("chaos", PATHS)
    alive = [path for path in run.paths if path != "/dead"]
    with receiving(run.receiver), Worker(variables, "--hurried") as worker, _beat(0.5):
        run.add_webhooks()
        judge, writer = Judge(run), threading.Thread(target=run.write, args=(count, rate))

        progress = Progress(lambda: f"{len(run.committed):,} written; {taken()}")

        def taken() -> str:
            return ", ".join(f"{path}: {len(judge.taken[path]):,}" for path in alive)

        def is_over() -> bool:
            judge.look()
            progress.tell()
            return not writer.is_alive() and all(len(judge.taken[path]) > count for path in alive)

        run.change(0)
        until(lambda: bool(run.receiver.taken("/good")), seconds=300)
        begun = time.monotonic()
        with _kills(worker) as kills:
            writer.start()
            until(is_over, seconds=count / rate * 12 + 300)
        seconds = time.monotonic() - begun
        judge.look()
    lines = [
        f"{count:,} changes of a flag at {rate:g}/s, in {seconds:.0f} s. Of a worker with two processes one was killed "
        f"every {KILL_EVERY_SECONDS:g} s ({kills['processes']} kills), {kills['workers']} times all of it. Pauses "
        "and time-outs are a tenth of production's. Of 200 attempts two receivers answer 2 with 500, 2 redirect, 2 "
        "send garbage, 1 nothing, and 1 hangs; one answers all, one none.",
        "",
        "| receiver | attempts | events taken | taken twice | out of order | later than 2 s | p50 | p99 |",
        "|---|---|---|---|---|---|---|---|",
    ]
    lines += [_row(run, path) for path in alive]
    found = judge.javascript()
    lines += [
        "",
        f"Signatures: {len(run.receiver.received):,} attempts, {judge.bad} refused by `standardwebhooks` in Python; in "
        f"JavaScript {found['good']:,} verified, {found['bad']} refused. An id has one body: {_is_stable(run)}.",
    ]
    return lines


def _row(run: Run, path: str) -> str:
    taken = run.receiver.taken(path)
    positions = [one.event["data"]["position"] for one in taken]
    first: dict[int, float] = {}
    for one, position in zip(taken, positions, strict=True):
        first.setdefault(position, one.at)
    assert set(first) >= set(run.committed), f"{path} misses {len(set(run.committed) - set(first))} events"
    order = list(first)
    disorder = sum(before > after for before, after in itertools.pairwise(order))
    late = sorted(max(0.0, first[position] - at) for position, at in run.committed.items())
    attempts = sum(one.path == path for one in run.receiver.received)
    slow = sum(seconds > 2 for seconds in late)
    return (
        f"| {path.strip('/')} | {attempts:,} | {len(first):,} | {len(taken) - len(first):,} | {disorder} | {slow:,} "
        f"| {_shown(late, 50)} | {_shown(late, 99)} |"
    )


def _shown(values: list[float], percent: int) -> str:
    return f"{values[min(len(values) - 1, len(values) * percent // 100)]:.2f} s"


def _is_stable(run: Run) -> str:
    received = run.receiver.received
    ids = {one.id for one in received}
    return "yes" if len(ids) == len({(one.id, one.body) for one in received}) else "no"


def dead_receiver(variables: dict[str, str], count: int = 600, rate: float = 20.0) -> list[str]:
    """Production's pauses and time-outs; nobody is killed."""
    from integrations.testing import receiving  # noqa: PLC0415 - after setup

    run = Run("dead", {"/good": ["ok"], "/dead": ["hang"]})
    with receiving(run.receiver), Worker(variables), _beat():
        run.add_webhooks()
        # The worker is there before the first change counts.
        run.change(0)
        until(lambda: bool(run.receiver.taken("/good")), seconds=120)
        run.write(count, rate)
        until(lambda: len({one.id for one in run.receiver.taken("/good")}) > count, seconds=300)
        attempts = sum(one.path == "/dead" for one in run.receiver.received)
        row = _row(run, "/good")
    late: list[Any] = row.split("|")
    return [
        f"One receiver hangs until each call's five seconds are over ({attempts} attempts), another answers; {count} "
        f"changes at {rate:g}/s, one worker with production's pauses: the other had each change "
        f"after{late[-3]}(median) and{late[-2]}(p99).",
    ]
