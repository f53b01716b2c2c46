"""The management API over HTTP with 10,000 flags in one environment, and the audit chain under eight writers.

`python -m benchmarks.management [--flags 10000] [--samples 200] [--writes 10000] [--writers 8]`; `--chain` does the
writers and the chain alone, with few flags, prints what it found, fails where it does not hold, and records nothing.
"""

import argparse
import http.client
import os
import random
import statistics
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import orjson

from benchmarks.many_flags import WORDS, add_flags
from benchmarks.world import ROOT, empty_servers, machine, report

VAR_DIR = ROOT / "var" / "bench-management"
PORT = 8141
TENANT = "bench"
LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--flags", type=int, default=10_000)
    parser.add_argument("--samples", type=int, default=200)
    parser.add_argument("--writes", type=int, default=10_000)
    parser.add_argument("--writers", type=int, default=8)
    parser.add_argument("--chain", action="store_true", help="Only the writers and the audit chain.")
    options = parser.parse_args()
    if options.chain:
        with empty_servers(VAR_DIR, RATE_LIMIT_MANAGEMENT="1000000") as variables:
            token, _ = seed(100)
            with _web(variables):
                _writers(options, token)
            _audit()
        return
    begun = os.getloadavg()[0]
    lines = ["## Management API", ""]
    with empty_servers(VAR_DIR, RATE_LIMIT_MANAGEMENT="1000000") as variables:
        token, key = seed(options.flags)
        with _web(variables):
            lines += ["", *_latencies(options, token, key)]
            lines += ["", *_writers(options, token)]
        lines += ["", *_audit()]
    setting = f"{machine()} (load average {begun:.1f} before the run, {os.getloadavg()[0]:.1f} after it)"
    lines.insert(2, f"{setting}; one web worker with two threads; over HTTP, one caller at a time.")
    report("management", lines)


def seed(count: int) -> tuple[str, str]:
    """Fill an environment with flags, rules and their version log; return a management token and a server key."""
    from django.db import connection  # noqa: PLC0415 - after setup

    from audit.actors import system  # noqa: PLC0415 - likewise
    from flags.documents import flag_document, flag_presentation  # noqa: PLC0415 - likewise
    from flags.models import Change, Flag, FlagConfig, Rule  # noqa: PLC0415 - likewise
    from tenancy import services  # noqa: PLC0415 - likewise
    from tenancy.models import Environment, User  # noqa: PLC0415 - likewise

    actor = system("benchmark")
    user = User.objects.create(username="bench")
    organization = services.create_organization(actor=actor, slug=TENANT, name="Bench", owner=user)
    project = services.create_project(actor=actor, organization=organization, key="web", name="Web")
    environment = services.create_environment(actor=actor, project=project, key="production", name="Production")
    flags, configs = add_flags(project, [environment], range(count))
    rules = Rule.objects.bulk_create(
        Rule(
            config=config,
            priority=priority,
            variant="treatment",
            conditions=[{"attribute": "plan", "operator": "in", "value": ["pro", "team"]}],
        )
        for config in configs
        for priority in (10, 20)
    )
    Change.objects.bulk_create(
        Change(
            environment=environment,
            version=number,
            kind=Change.Kind.FLAG_UPDATED,
            entity=Change.Entity.FLAG,
            key=config.flag.key,
            document=flag_document(config, rules[2 * number - 2 : 2 * number]),
            presentation=flag_presentation(config.flag),
            actor_label="bench",
        )
        for number, config in enumerate(configs, 1)
    )
    Environment.objects.filter(pk=environment.pk).update(config_version=count)
    # Half of the flags have not changed for long, and so may be stale.
    Flag.objects.filter(pk__in=[flag.pk for flag in flags[::2]]).update(updated_at=LONG_AGO)
    FlagConfig.objects.filter(pk__in=[config.pk for config in configs[::2]]).update(updated_at=LONG_AGO)
    with connection.cursor() as cursor:
        # As autovacuum would, within a minute of so many rows.
        cursor.execute("ANALYZE")
    token = services.issue_credential(
        actor=actor, kind="manage", name="bench", organization=organization, user=user
    ).secret
    key = services.issue_credential(
        actor=actor, kind="server", name="bench", organization=organization, environment=environment
    ).secret
    return token, key


@contextmanager
def _web(variables: dict[str, str]) -> Iterator[None]:
    command = [
        *("granian", "--interface", "rsgi", "--host", "127.0.0.1", "--port", str(PORT), "--workers", "1"),
        *("--http", "1", "--no-ws", "flagship.rsgi:application"),
    ]
    process = subprocess.Popen([sys.executable, "-m", *command], cwd=ROOT, env=variables)
    try:
        deadline = time.monotonic() + 60
        while not _is_ready():
            if time.monotonic() > deadline:
                raise TimeoutError("The web process is not ready after a minute.")
            time.sleep(0.2)
        yield
    finally:
        process.terminate()
        process.wait(20)


def _is_ready() -> bool:
    try:
        connection = http.client.HTTPConnection("127.0.0.1", PORT, timeout=5)
        connection.request("GET", "/readyz")
        return connection.getresponse().status == 200
    except OSError:
        return False


class _Client:
    """One kept-alive connection with one credential."""

    def __init__(self, secret: str, *, is_person: bool = True) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", PORT, timeout=60)
        self._headers = {"Authorization": f"Bearer {secret}", "Content-Type": "application/json"}
        if is_person:
            self._headers["X-Tenant-ID"] = TENANT

    def send(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        content = None if body is None else orjson.dumps(body)
        self._connection.request(method, f"/api/{path}", content, self._headers)
        response = self._connection.getresponse()
        answer = response.read()
        return response.status, orjson.loads(answer) if answer else None


def _timed(samples: int, act: Callable[[int], None]) -> str:
    taken = []
    for number in range(samples):
        started = time.perf_counter()
        act(number)
        taken.append((time.perf_counter() - started) * 1000)
    taken.sort()
    return f"{statistics.median(taken):.0f} | {taken[int(len(taken) * 0.95)]:.0f} | {taken[-1]:.0f}"


def _latencies(options: argparse.Namespace, token: str, key: str) -> list[str]:
    client, service = _Client(token), _Client(key, is_person=False)
    versions: dict[str, int] = {}

    def get(path: str) -> Callable[[int], None]:
        def act(_: int) -> None:
            status, body = client.send("GET", path)
            assert status == 200, body

        return act

    def name(number: int) -> str:
        number = number * 97 % options.flags
        return f"{WORDS[number % len(WORDS)]}-{number:05d}"

    def write(number: int) -> None:
        flag = name(number)
        sent = {"version": versions.get(flag, 1), "rollout": [{"variant": "treatment", "percent": number % 100}]}
        status, body = client.send("PATCH", f"flags/{flag}", sent)
        assert status == 200, body
        versions[flag] = body["version"]

    def write_and_see(number: int) -> None:
        """The whole way: written, published, compiled, and the next evaluation says so."""
        flag = name(number)
        status, body = client.send("POST", f"flags/{flag}/kill", {"variant": "treatment"})
        assert status == 202, body
        while service.send("POST", "evaluate", {"flagKey": flag, "userId": "u"})[1]["reason"] != "KILL_SWITCH":
            pass

    def depend(number: int) -> None:
        """A flag whose prerequisite is the one before it, so that a chain forms and is checked whole."""
        flag, other = name(number + 1), name(number // 5)
        version = client.send("GET", f"flags/{flag}")[1]["version"]
        asked = [{"flagKey": other, "variants": ["treatment"]}] if number % 2 else []
        status, body = client.send("PATCH", f"flags/{flag}", {"version": version, "prerequisites": asked})
        assert status == 200, body

    def create(number: int) -> None:
        status, body = client.send("POST", "flags", {"key": f"new-{number}", "enabled": True})
        assert status == 201, body

    last = options.flags // 50
    steps: list[tuple[str, int, Callable[[int], None]]] = [
        ("list, first page of 50", options.samples, get("flags")),
        (f"list, page {last}", options.samples, get(f"flags?page={last}")),
        ("list, 200 a page", options.samples, get("flags?pageSize=200")),
        ("search by key", options.samples, get("flags?search=checkout-00420")),
        ("search by name", options.samples, get("flags?search=payment%20of%20team%2012")),
        ("search by tag", options.samples, get("flags?search=team-7")),
        ("filter by tag", options.samples, get("flags?tag=team-7")),
        ("filter by prefix", options.samples, get("flags?prefix=invite-")),
        ("read one flag", options.samples, get(f"flags/{name(3)}")),
        ("change a flag's rollout (PATCH)", options.samples, write),
        ("read it and change its prerequisites (GET, PATCH)", options.samples, depend),
        ("create a flag", options.samples, create),
        ("kill, until the next evaluation obeys", options.samples, write_and_see),
        ("stale flags, half of them", 40, get("flags?stale=true")),
        ("impact of a change", 20, lambda number: _impact(client, name(number))),
        ("preview of an earlier version", 20, lambda number: _preview(client, name(number))),
    ]
    lines = [
        f"{options.flags:,} flags with two rules each; milliseconds.",
        "",
        "| what | median | p95 | worst |",
        "|---|---|---|---|",
    ]
    for title, samples, act in steps:
        lines.append(f"| {title} | {_timed(samples, act)} |")
        print(lines[-1], flush=True)
    return lines


def _impact(client: _Client, flag: str) -> None:
    status, body = client.send("POST", f"flags/{flag}/impact", {"config": {"enabled": False}})
    assert status == 200, body


def _preview(client: _Client, flag: str) -> None:
    sent = {"flagKey": flag, "userId": "u", "configVersion": 10_000}
    status, body = client.send("POST", "flags/evaluate/preview", sent)
    assert status in {200, 400}, body


def _writers(options: argparse.Namespace, token: str) -> list[str]:
    """Mixed writes by several callers at once, on flags they share."""
    outcomes: Counter[str] = Counter()
    counting = threading.Lock()

    def run(writer: int) -> None:
        client, chance = _Client(token), random.Random(writer)
        found: Counter[str] = Counter()
        for number in range(options.writes // options.writers):
            shared = f"{WORDS[3]}-{3 + 10 * chance.randrange(5):05d}"
            match number % 5:
                case 0:
                    status, _ = client.send("POST", "flags", {"key": f"w{writer}-{number}"})
                case 1:
                    version = client.send("GET", f"flags/{shared}")[1]["version"]
                    change = {"version": version, "description": f"{writer}/{number}"}
                    status, _ = client.send("PATCH", f"flags/{shared}", change)
                case 2:
                    status, _ = client.send("POST", f"flags/{shared}/kill", {"reason": "drill"})
                case 3:
                    status, _ = client.send("POST", f"flags/{shared}/kill/release", {})
                case _:
                    status, _ = client.send("POST", "segments", {"key": f"s{writer}-{number}", "included": ["u"]})
            found[str(status)] += 1
        with counting:
            outcomes.update(found)

    started = time.perf_counter()
    threads = [threading.Thread(target=run, args=(writer,)) for writer in range(options.writers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    seconds = time.perf_counter() - started
    shown = ", ".join(f"{count:,} of {status}" for status, count in sorted(outcomes.items()))
    line = (
        f"{options.writes:,} mixed writes by {options.writers} callers at once on one environment took {seconds:.0f} s "
        f"({options.writes / seconds:.0f}/s): {shown}. A 409 is a writer who lost a race, "
        "and heard of it; a kill of what is killed already writes nothing."
    )
    print(line, flush=True)
    assert set(outcomes) <= {"200", "201", "202", "409"}, outcomes
    return [line]


def _audit() -> list[str]:
    """The chains hold; after one row is altered behind the trigger's back they do not, and the row is named."""
    from django.db import connection  # noqa: PLC0415 - after setup

    from audit.chain import verify  # noqa: PLC0415 - likewise
    from audit.models import Entry  # noqa: PLC0415 - likewise
    from flags.models import Change  # noqa: PLC0415 - likewise
    from tenancy.models import Environment, Organization  # noqa: PLC0415 - likewise

    organization = Organization.objects.get(slug=TENANT)
    environment = Environment.objects.get(key="production")
    rows = Entry.objects.filter(organization_id=organization.pk).count()
    steps = Change.objects.filter(environment=environment).count()
    assert steps == environment.config_version, "the version log has a gap"
    started = time.perf_counter()
    assert not verify(organization.pk).broken
    seconds = time.perf_counter() - started
    victim = Entry.objects.filter(organization_id=organization.pk).order_by("position")[rows // 2]
    with connection.cursor() as cursor:
        cursor.execute("SET session_replication_role = replica")
        cursor.execute("UPDATE audit_entry SET actor_label = 'somebody else' WHERE id = %s", [victim.pk])
        cursor.execute("SET session_replication_role = origin")
    (broken,) = verify(organization.pk).broken
    assert broken.entry_id == victim.pk
    line = (
        f"The audit chain of {rows:,} rows held, checked in {seconds:.1f} s; the version log had {steps:,} steps "
        "without a gap. After one row in the middle was altered by SQL as superuser, the check named that row."
    )
    print(line, flush=True)
    return [line]
