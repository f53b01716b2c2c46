"""The engine's speed and size, beside its rivals' and the bare hash: `python -m benchmarks.engine [--rounds 7]`.

Makes a virtual environment for every rival under var/bench (needs a package index the first time), keeps all engines
loaded in processes of their own, and times them in turn, round after round, so that a busy moment hits everybody.
Rewrites its own section of benchmarks/RESULTS.md and the plots beside it; exits with 1 where a goal is missed that
--strict asks for.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import venv
from pathlib import Path
from typing import Any

from benchmarks.engine.report import write_report
from benchmarks.engine.rivals import Engine
from benchmarks.engine.stores import STORES
from benchmarks.engine.worker import engines
from benchmarks.world import ROOT

ENVIRONMENTS = ROOT / "var" / "bench"
FLOOR_PINS = ["mmh3==5.3.1"]
# Seconds a round: the bare hash is steady, a W4 call of the slowest takes 40 ms.
SECONDS = {"floor": 0.1, "floor W4": 0.1, "context": 0.1, "W4": 0.25}


def python_for(kind: type[Engine]) -> Path:
    """The interpreter that has this engine installed; makes its environment where there is none."""
    if not kind.pins:
        return Path(sys.executable)
    folder = ENVIRONMENTS / kind.pins[0].replace("==", "-")
    python = folder / "bin" / "python"
    if not (folder / "ready").exists():
        print(f"installing {', '.join(kind.pins)}", flush=True)
        venv.create(folder, with_pip=True, clear=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", *FLOOR_PINS, *kind.pins], check=True)
        (folder / "ready").touch()
    return python


class Worker:
    """An engine's process."""

    def __init__(self, kind: type[Engine]) -> None:
        self.kind = kind
        self.samples: dict[str, list[float]] = {}
        self.process = subprocess.Popen(
            [python_for(kind), "-m", "benchmarks.engine.worker", kind.name],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        self.loaded = self._answer()
        self.loops: list[str] = self.loaded["loops"]

    def _answer(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            # Some SDKs greet on standard output.
            if line.startswith("{"):
                answer: dict[str, Any] = json.loads(line)
                return answer
        raise RuntimeError(f"{self.kind.name} ended with {self.process.wait()}")

    def time(self, loop: str, seconds: float) -> float:
        assert self.process.stdin is not None
        print(json.dumps({"loop": loop, "seconds": seconds}), file=self.process.stdin, flush=True)
        return float(self._answer()["ns"])

    def run_round(self, scale: float, *, is_warm_up: bool) -> None:
        for loop in self.loops:
            nanoseconds = self.time(loop, SECONDS.get(loop, 0.2) * scale)
            if not is_warm_up:
                self.samples.setdefault(loop, []).append(nanoseconds)

    def stop(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait(timeout=20)


def measure_speed(kinds: list[type[Engine]], rounds: int, scale: float) -> list[dict[str, Any]]:
    workers: list[Worker] = []
    try:
        for kind in kinds:
            print(f"loading {kind.name}", flush=True)
            workers.append(Worker(kind))
        for number in range(rounds + 1):
            print(f"round {number} of {rounds}" if number else "warming up", flush=True)
            for worker in workers:
                worker.run_round(scale, is_warm_up=number == 0)
    finally:
        for worker in workers:
            worker.stop()
    return [
        {
            "name": worker.kind.name,
            "pins": worker.kind.pins,
            "note": worker.kind.note,
            "has_details": worker.kind.has_details,
            "loaded": worker.loaded,
            "samples": worker.samples,
        }
        for worker in workers
    ]


BARE = "import os; print(int(open('/proc/self/statm').read().split()[1]) * os.sysconf('SC_PAGE_SIZE') / 2**20)"


def measure_load(repeats: int) -> dict[str, dict[str, float]]:
    """Each store in fresh processes; the median of every figure, and the memory above a bare interpreter's."""

    def run(*arguments: str) -> Any:
        command = [sys.executable, *arguments]
        return json.loads(subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout)

    bare = statistics.median(run("-c", BARE) for _ in range(repeats))
    found = {}
    for name, make in STORES.items():
        path = ENVIRONMENTS / f"store-{name}.json"
        path.write_text(json.dumps(make()))
        runs = [run("-m", "benchmarks.engine.loading", str(path)) for _ in range(repeats)]
        figures = {figure: statistics.median(one[figure] for one in runs) for figure in runs[0]}
        found[name] = figures | {"kept_mib": figures["resident_mib"] - bare}
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--scale", type=float, default=1.0, help="times the seconds of every measurement")
    parser.add_argument("--only", help="names of engines, comma-separated; then nothing is written")
    parser.add_argument("--strict", action="store_true", help="exit with 1 where a goal is missed")
    arguments = parser.parse_args()
    ENVIRONMENTS.mkdir(parents=True, exist_ok=True)
    only = set(arguments.only.split(",")) if arguments.only else None
    kinds = [kind for kind in engines() if only is None or kind.name in only]
    result = {
        "python": platform.python_version(),
        "cpus": os.cpu_count(),
        "load_average": os.getloadavg()[0],
        "rounds": arguments.rounds,
        "engines": measure_speed(kinds, arguments.rounds, arguments.scale),
        "stores": measure_load(repeats=5),
    }
    result["load_average_after"] = os.getloadavg()[0]
    (ENVIRONMENTS / "engine.json").write_text(json.dumps(result, indent=1))
    missed = write_report(result, is_partial=only is not None)
    return 1 if missed and arguments.strict else 0
