"""A plan of twenty steps on a clock that jumps: libfaketime under PostgreSQL, two workers and beat, and workers killed.

`python -m benchmarks.rollouts.clock`; Debian's package is `libfaketime`. At every instant the plan has to be where the
closed form says, each step is audited once, and the step that needs an approval is not passed without it.
"""

import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from benchmarks.many_flags import add_flags
from benchmarks.processes import start, stop, until
from benchmarks.world import ROOT, empty_servers, machine, report

VAR_DIR: Final = ROOT / "var" / "bench-clock"
OFFSET: Final = ROOT / "var" / "bench-clock-offset"
LIBRARIES: Final = ("/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1", "/usr/lib/faketime/libfaketime.so.1")
PORT: Final = 8164
# Beat wakes a worker so often.
WAKE_SECONDS: Final = 10
STEPS: Final = 20
APPROVAL: Final = 15
# Hours on the jumping clock since the start. It goes back twice; beat is away before the jump of a day.
HOURS: Final = [0.5, 4.2, 2.0, 9.5, 8.5, 13.5]
A_DAY_LATER: Final = 37.5


def main() -> None:
    library = next((path for path in LIBRARIES if Path(path).exists()), None)
    if library is None:
        raise SystemExit("libfaketime is not installed: apt-get install libfaketime.")
    OFFSET.parent.mkdir(parents=True, exist_ok=True)
    _jump(0)
    faked = {
        "LD_PRELOAD": library,
        "FAKETIME_TIMESTAMP_FILE": str(OFFSET),
        "FAKETIME_NO_CACHE": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
    }
    with _postgres(faked) as url, empty_servers(VAR_DIR, DATABASE_URL=url) as variables:
        # A worker's own clock decides nothing: one of the two is five hours late.
        report("rollout clock", _drill(variables, {**variables, "LD_PRELOAD": library, "FAKETIME": "-5h"}))


@contextmanager
def _postgres(faked: dict[str, str]) -> Iterator[str]:
    """A server on the faked clock; the embedded one takes no environment from whoever starts it."""
    from flagship.embedded.postgres import binaries  # noqa: PLC0415 - the environment is set around it

    folder, port = Path(tempfile.mkdtemp(prefix="clock-")), PORT
    owner: dict[str, Any] = {}
    if os.geteuid() == 0:
        owner = {"user": "nobody", "group": "nogroup"}
        shutil.chown(folder, "nobody", "nogroup")
    programs, data = binaries(), folder / "data"
    made = [str(programs / "initdb"), "-D", str(data), "-U", "bench", "--auth", "trust"]
    subprocess.run(made, check=True, capture_output=True, cwd=folder, **owner)
    options = [f"-p{port}", "-clisten_addresses=127.0.0.1", f"-cunix_socket_directories={folder}"]
    command = [str(programs / "postgres"), "-D", str(data), *options]
    server = subprocess.Popen(command, env={"PATH": os.defpath, **faked}, cwd=folder, **owner)
    ready = [str(programs / "pg_isready"), "-h", "127.0.0.1", "-p", str(port)]
    try:
        until(lambda: subprocess.run(ready, capture_output=True, check=False).returncode == 0, seconds=60)
        yield f"postgresql://bench@127.0.0.1:{port}/postgres"
    finally:
        server.send_signal(signal.SIGINT)
        server.wait(timeout=60)
        shutil.rmtree(folder, ignore_errors=True)


def _jump(hours: float) -> None:
    """The processes read the file at each look at the clock; another one takes its place at once."""
    following = OFFSET.with_suffix(".next")
    following.write_text(f"{hours * 3600:+.0f}\n")
    following.chmod(0o644)
    following.replace(OFFSET)


def _drill(variables: dict[str, str], late: dict[str, str]) -> list[str]:
    from audit.actors import system  # noqa: PLC0415 - after setup
    from flags.models import Change  # noqa: PLC0415 - likewise
    from rollouts import services  # noqa: PLC0415 - likewise
    from rollouts.clock import database_now  # noqa: PLC0415 - likewise
    from rollouts.models import RolloutPlan  # noqa: PLC0415 - likewise
    from tenancy import services as tenancy  # noqa: PLC0415 - likewise

    actor = system("benchmark")
    organization = tenancy.create_organization(actor=actor, slug="bench", name="Bench")
    project = tenancy.create_project(actor=actor, organization=organization, key="web", name="Web")
    environment = tenancy.create_environment(actor=actor, project=project, key="production", name="Production")
    flag = add_flags(project, [environment], range(1))[0][0]
    steps: list[dict[str, Any]] = [{"percent": 30 + number, "after": "PT1H"} for number in range(STEPS)]
    steps[APPROVAL - 1]["approval"] = True
    about: dict[str, Any] = {"actor": actor, "environment": environment, "key": flag.key}
    services.save_plan(**about, payload={"variant": "treatment", "steps": steps})
    plan = services.start_plan(**about)
    begun: datetime = plan.started_at  # type: ignore[assignment]  # it was started
    writes = Change.objects.filter(key=flag.key).count()
    dice, killed, looks, running = random.Random(21), 0, 0, _Processes(variables, late)

    def wait_for(step: int, seconds: float = 600) -> None:
        """Until the plan stands there; at some moment of the first seconds one worker dies."""
        nonlocal killed
        fatal = time.monotonic() + dice.uniform(0, WAKE_SECONDS)

        def stands() -> bool:
            nonlocal killed, fatal
            if time.monotonic() > fatal:
                running.kill(dice.randrange(2))
                killed, fatal = killed + 1, float("inf")
            return fatal == float("inf") and RolloutPlan.objects.get(pk=plan.pk).current_step == step

        until(stands, seconds=seconds, every=0.1)

    try:
        highest = 0.0
        for hours in [*HOURS, A_DAY_LATER]:
            with running.without_beat() if hours == A_DAY_LATER else nullcontext():
                _jump(hours)
            elapsed = (database_now() - begun).total_seconds() / 3600
            if abs(elapsed - hours) > 0.2:
                raise SystemExit(f"The database's clock is {elapsed:.2f} h after the start, not {hours} h.")
            highest, looks = max(highest, hours), looks + 1
            wait_for(min(int(highest), APPROVAL - 1))
            # Later it stands there still: nothing is taken or returned back in time, or without the approval.
            time.sleep(WAKE_SECONDS)
            if RolloutPlan.objects.get(pk=plan.pk).current_step != min(int(highest), APPROVAL - 1):
                raise SystemExit(f"It did not stay where it belongs, {hours} h after the start.")
        services.advance_plan(**about)
        _jump(A_DAY_LATER + STEPS)
        looks += 2
        wait_for(STEPS)
    finally:
        running.end()
    return _judged(plan, environment, flag.key, writes=writes, looks=looks, killed=killed)


def _judged(plan: Any, environment: Any, key: str, *, writes: int, looks: int, killed: int) -> list[str]:
    from audit.models import Entry  # noqa: PLC0415 - after setup
    from flags.models import Change  # noqa: PLC0415 - likewise
    from flags.selectors import get_config  # noqa: PLC0415 - likewise

    plan.refresh_from_db()
    allocation = get_config(environment, key).allocation
    audited = [row.after["step"] for row in Entry.objects.filter(action="flag.rollout_progress").order_by("position")]  # type: ignore[index]  # each has one
    written = Change.objects.filter(key=key).count() - writes
    good = audited == list(range(1, STEPS + 1)) and allocation == plan.parts.get().rungs[-1] and written <= looks
    lines = [
        "## Rollout plans: a clock that jumps",
        "",
        f"`python -m benchmarks.rollouts.clock`: {STEPS} steps an hour apart, two Celery workers and beat, "
        f"PostgreSQL and so the clock of plans under libfaketime, one worker's own clock 5 h late. {machine()}.",
        "",
        "| what | measured |",
        "|---|---|",
        f"| the clock is set to, in hours after the start | {', '.join(f'{hours:g}' for hours in HOURS)}; beat away, "
        f"{A_DAY_LATER:g}; {A_DAY_LATER + STEPS:g} |",
        f"| workers killed by SIGKILL | {killed} |",
        f"| the plan stood where the closed form says | at each of {looks} instants |",
        f"| held at step {APPROVAL - 1} without the approval of the next | yes |",
        f"| steps audited | {len(audited)} of {STEPS}, in order, each once |",
        f"| writes to the flag | {written} |",
        f"| the document at the end equals the closed form | {'yes' if good else 'no'} |",
    ]
    if not good:
        raise SystemExit("\n".join(lines))
    return lines


class _Processes:
    """Two workers and beat; a worker that was killed is started again, as a supervisor does."""

    def __init__(self, variables: dict[str, str], late: dict[str, str]) -> None:
        self._variables, self._late = variables, late
        self._workers = [self._worker(0), self._worker(1)]
        self._beat = self._start_beat()

    def _celery(self, variables: dict[str, str], *words: str) -> "subprocess.Popen[bytes]":
        program = [sys.executable, "-m", "celery", "--quiet", "-A", "flagship", *words, "--loglevel", "ERROR"]
        return start(program, variables)

    def _worker(self, number: int) -> "subprocess.Popen[bytes]":
        # Of one process, so that a kill takes the task with it.
        variables = self._late if number else self._variables
        alone = ("--pool", "solo", "--without-gossip", "--without-mingle", "--without-heartbeat")
        return self._celery(variables, "worker", *alone)

    def _start_beat(self) -> "subprocess.Popen[bytes]":
        (VAR_DIR / "beat").unlink(missing_ok=True)
        return self._celery(self._variables, "beat", "--pidfile=", "--schedule", str(VAR_DIR / "beat"))

    def kill(self, number: int) -> None:
        os.kill(self._workers[number].pid, signal.SIGKILL)
        self._workers[number].wait()
        self._workers[number] = self._worker(number)

    @contextmanager
    def without_beat(self) -> Iterator[None]:
        stop(self._beat)
        yield
        self._beat = self._start_beat()

    def end(self) -> None:
        for process in (self._beat, *self._workers):
            stop(process)


if __name__ == "__main__":
    main()
