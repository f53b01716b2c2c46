"""Measures the Go SDK beside LaunchDarkly's and GrowthBook's; rewrites its section of RESULTS.md.

Needs Go. Every SDK is a process of its own, and all take turns, so that other work of the machine meets all.
"""

# ruff: noqa: RUF001 a report sets its multiplication signs as print does

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
from collections import defaultdict
from pathlib import Path
from typing import Final

from benchmarks.node.measurement import store
from benchmarks.world import report

_FOLDER: Final = Path(__file__).parent
_PROGRAM: Final = _FOLDER.parents[1] / "var" / "go" / "benchmark"
ENGINE: Final = "openflagship/engine"
OURS: Final = (ENGINE, "openflagship, without detail", "openflagship")
RIVALS: Final = {
    "launchdarkly": "github.com/launchdarkly/go-server-sdk/v7",
    "growthbook": "github.com/growthbook/growthbook-golang",
}
MOST_OF_FLOOR: Final = 1.5


def measure(turns: int) -> dict[str, dict[str, list[float]]]:
    """Nanoseconds a call, by SDK and loop."""
    subprocess.run(["go", "build", "-o", str(_PROGRAM), "."], cwd=_FOLDER, check=True)
    given = store()
    found: dict[str, dict[str, list[float]]] = {name: defaultdict(list) for name in (*OURS, *RIVALS)}
    for _ in range(turns):
        for name, loops in found.items():
            done = subprocess.run([str(_PROGRAM), name], input=given, capture_output=True, text=True, check=True)
            for loop, samples in json.loads(done.stdout)["loops"].items():
                loops[loop] += samples
    return found


def _version(module: str) -> str:
    done = subprocess.run(["go", "list", "-m", module], cwd=_FOLDER, capture_output=True, text=True, check=True)
    return done.stdout.split()[1]


def lines_of(found: dict[str, dict[str, list[float]]], turns: int) -> list[str]:
    go = subprocess.run(["go", "env", "GOVERSION"], capture_output=True, text=True, check=True).stdout.strip()
    least = {name: {loop: min(samples) for loop, samples in loops.items()} for name, loops in found.items()}
    floor = statistics.median(loops["floor"] for loops in least.values())
    lines = [
        "## Go SDK",
        "",
        "`python -m benchmarks.golang`: the engine's store of 1,000 flags, 10,000 users; W1 is a boolean flag at 25 %, "
        "W2 ten rules of two conditions of which the last matches. Events off; processor time, the best of 15 rounds, "
        f"{turns} processes each, in turn. {go}, 2 cores shared with other work: ratios of one run tell more than "
        "nanoseconds. Details are asked for where nothing else is said.",
        "",
        "| SDK | W1 ns | against the bare hash | W2 ns |",
        "|---|---|---|---|",
        f"| the bare hash of `key:user` | {floor:.0f} | | |",
    ]
    for name, loops in least.items():
        title = name if name in OURS else f"{name} {_version(RIVALS[name])}"
        # Each beside the hash of its own process, which met the same other work.
        lines.append(f"| {title} | {loops['W1']:.0f} | {loops['W1'] / loops['floor']:.1f}× | {loops['W2']:.0f} |")
    engine = least[ENGINE]
    is_near = engine["W1"] <= MOST_OF_FLOOR * engine["floor"]
    goals = [(f"W1 of the engine against the bare hash, at most {MOST_OF_FLOOR}×", is_near)]
    for loop in ("W1", "W2"):
        goals.append(
            (f"{loop} ahead of each other SDK", all(least[OURS[2]][loop] < least[one][loop] for one in RIVALS))
        )
    lines += ["", "| promise | met |", "|---|---|"]
    lines += [f"| {words} | {'yes' if is_met else '**no**'} |" for words, is_met in goals]
    lines += ["", "The Go modules of Unleash and of flagd could not be had where this was measured."]
    return lines


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--print", action="store_true", help="leave RESULTS.md alone")
    arguments = parser.parse_args()
    lines = lines_of(measure(arguments.turns), arguments.turns)
    if arguments.print:
        print("\n".join(lines))
    else:
        report("golang", lines)
    return 0
