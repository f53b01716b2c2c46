"""Thousands of rollout plans due at one instant, taken by the worker that is shipped, while callers evaluate.

`python -m benchmarks.rollouts [--plans 5000] [--projects 10] [--rate 100] [--seconds 60]`. The same callers are
measured before it on a system at rest, and beside the steps. As many ask a bare server at the same time, which knows of
no plan: what it notices is what the machine's cores cost anybody.
"""

import argparse
import multiprocessing
import socket
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import contextmanager, suppress
from copy import copy
from datetime import datetime, timedelta
from typing import Any

import orjson
from openflagship.ids import uuid7

from benchmarks.http.load import Reading, Target, offered
from benchmarks.many_flags import add_flags
from benchmarks.processes import serving, start, stop, until, web
from benchmarks.stack import refuse_another
from benchmarks.world import ROOT, empty_servers, machine, report

VAR_DIR = ROOT / "var" / "bench-rollouts"
PORT, BARE_PORT = 8163, 8164
# Beat wakes a worker so often.
WAKE_SECONDS = 10
STEPS = [{"percent": 30, "after": "PT1H"}, {"percent": 60, "after": "PT1H"}, {"percent": 100, "after": "PT1H"}]


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--plans", type=int, default=5_000)
    parser.add_argument("--projects", type=int, default=10)
    parser.add_argument("--rate", type=int, default=100, help="evaluations a second")
    parser.add_argument("--seconds", type=int, default=60, help="how long callers are measured, each time")
    options = parser.parse_args()
    refuse_another()
    with empty_servers(VAR_DIR, RATE_LIMIT_EVALUATION="1000000") as variables:
        secret, keys = seed(options.plans, options.projects)
        with web(variables, PORT) as pid, bare_server(variables) as bare_pid:
            bodies = [orjson.dumps({"flagKey": key, "userId": f"user-{turn}"}) for turn, key in enumerate(keys * 20)]
            requests = [("/api/evaluate", body) for body in bodies]
            # Its flags have other keys.
            plain = [
                ("/", body.replace(keys[turn % len(keys)].encode(), b"flag-1")) for turn, body in enumerate(bodies)
            ]
            targets = (
                Target("web", PORT, requests, (pid,), {"Authorization": f"Bearer {secret}"}),
                Target("bare", BARE_PORT, plain, (bare_pid,)),
            )
            # Callers have processes of their own: this one asks how far the plans are, which would delay them.
            with ProcessPoolExecutor(2, multiprocessing.get_context("spawn")) as callers:

                def call(seconds: float) -> list[Future[Reading]]:
                    return [callers.submit(offered, target, options.rate, seconds) for target in targets]

                results(call(5))
                before = results(call(options.seconds))
                beside, late = _take(variables, options, lambda: call(options.seconds))
    _report(options, before, beside, late)


def results(calls: "list[Future[Reading]]") -> list[Reading]:
    return [one.result() for one in calls]


@contextmanager
def bare_server(variables: dict[str, str]) -> Iterator[int]:
    """A server like web with the application of `benchmarks.http.floors`. Gives the process's id."""
    command = [
        *(sys.executable, "-m", "granian", "--interface", "asgi", "--host", "127.0.0.1", "--port", str(BARE_PORT)),
        *("--workers", "2", "--no-ws", "benchmarks.http.floors:asgi"),
    ]
    with serving(command, variables, lambda: listens(BARE_PORT)) as pid:
        yield pid


def listens(port: int) -> bool:
    with suppress(OSError):
        socket.create_connection(("127.0.0.1", port), 1).close()
        return True
    return False


def seed(plans: int, projects: int) -> tuple[str, list[str]]:
    """Flags with plans that were started; return a server key of the first environment, and keys of flags in it."""
    from django.db import transaction  # noqa: PLC0415 - after setup

    from audit.actors import system  # noqa: PLC0415 - likewise
    from flags.models import Change  # noqa: PLC0415 - likewise
    from flags.services import version_log  # noqa: PLC0415 - likewise
    from rollouts import services as rollouts  # noqa: PLC0415 - likewise
    from rollouts.models import RolloutPart, RolloutPlan  # noqa: PLC0415 - likewise
    from tenancy import services  # noqa: PLC0415 - likewise

    actor, secret, keys = system("benchmark"), "", []
    organization = services.create_organization(actor=actor, slug="bench", name="Bench")
    for number in range(projects):
        project = services.create_project(actor=actor, organization=organization, key=f"p{number}", name=f"P{number}")
        environment = services.create_environment(actor=actor, project=project, key="production", name="Production")
        flags, configs = add_flags(project, [environment], range(plans // projects))
        with transaction.atomic():
            locked = version_log.lock_environment(environment)
            steps = [version_log.flag_change(config, Change.Kind.FLAG_UPDATED) for config in configs]
            version_log.append_each(environment=locked, actor=actor, changes=steps)
        if not secret:
            issued = services.issue_credential(
                actor=actor, kind="server", name="bench", organization=organization, environment=environment
            )
            secret, keys = issued.secret, [flag.key for flag in flags[:100]]
        payload: dict[str, Any] = {"variant": "treatment", "steps": STEPS}
        rollouts.save_plan(actor=actor, environment=environment, key=flags[0].key, payload=payload)
        model = rollouts.start_plan(actor=actor, environment=environment, key=flags[0].key)
        part = model.parts.get()
        RolloutPlan.objects.filter(pk=model.pk).update(due_at=None)
        rows = []
        for config in configs[1:]:
            row, its_part = copy(model), copy(part)
            row.pk, row.due_at = uuid7(), None
            its_part.pk, its_part.plan, its_part.config = None, row, config
            its_part.anchor = {**(part.anchor or {}), "key": config.flag.key, "salt": config.salt}
            rows.append((row, its_part))
        RolloutPlan.objects.bulk_create([row for row, _ in rows])
        RolloutPart.objects.bulk_create([its_part for _, its_part in rows])
    return secret, keys


def _take(
    variables: dict[str, str], options: Any, call: Callable[[], "list[Future[Reading]]"]
) -> tuple[list[Reading], list[float]]:
    """Let all plans be due at once; return what callers saw, and how late each step was, in seconds."""
    from flagship.celery import app  # noqa: PLC0415 - after setup
    from rollouts.clock import database_now  # noqa: PLC0415 - likewise
    from rollouts.models import RolloutPlan  # noqa: PLC0415 - likewise

    program = [sys.executable, "-m", "celery", "--quiet", "-A", "flagship"]
    worker = start([*program, "worker", "--loglevel", "WARNING", "--without-gossip", "--without-mingle"], variables)
    schedule = VAR_DIR / "beat"
    beat = start([*program, "beat", "--loglevel", "WARNING", "--pidfile=", "--schedule", str(schedule)], variables)
    try:
        until(lambda: bool(app.control.ping(timeout=1)), seconds=120)
        due_at = database_now() + timedelta(seconds=2)
        RolloutPlan.objects.update(due_at=due_at, entered_at=due_at - timedelta(hours=1))
        calls = call()
        late = _wait_for(due_at, options.plans)
        return results(calls), late
    finally:
        stop(beat)
        stop(worker)


def _wait_for(due_at: datetime, plans: int) -> list[float]:
    """Wait until each plan has taken its step; return how late each was written."""
    from rollouts.models import RolloutPlan  # noqa: PLC0415 - after setup

    taken = RolloutPlan.objects.filter(current_step=1)
    until(lambda: taken.count() == plans, seconds=600, every=1)
    return sorted((at - due_at).total_seconds() for at in taken.values_list("updated_at", flat=True))


def _report(options: Any, before: list[Reading], beside: list[Reading], late: list[float]) -> None:
    in_time = sum(seconds <= 60 for seconds in late)
    median, worst = late[len(late) // 2], late[-1]
    lines = [
        "## Rollout plans: thousands due at once",
        "",
        f"`python -m benchmarks.rollouts --plans {options.plans} --projects {options.projects} --rate {options.rate}`. "
        f"{machine()}. Two web workers, one Celery worker and beat as in the Procfile, on the cores of the callers. "
        "The bare server is granian with the application of `benchmarks.http.floors`; as many ask it at the same time.",
        "",
        "| what | measured |",
        "|---|---|",
        f"| plans due at one instant | {options.plans:,} |",
        f"| written within a minute of it, beat's {WAKE_SECONDS} s included | {in_time:,} |",
        f"| late by, median and most | {median:.1f} s, {worst:.1f} s |",
        *(
            f"| {what} {when} | p50 {found.p50:.1f} ms, p99 {found.p99:.1f} ms, {found.errors} errors |"
            for when, readings in ((f"at rest, {options.rate} a second", before), ("beside the steps", beside))
            for what, found in zip(("evaluations", "a bare server"), readings, strict=True)
        ),
    ]
    report("rollouts", lines)
