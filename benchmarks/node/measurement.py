"""Measures the Node SDK beside flagd-core, GrowthBook, Unleash and LaunchDarkly; rewrites its section of RESULTS.md.

Needs Node and npm. Every SDK is a process of its own, and all take turns, so that other work of the machine meets all.
"""

# ruff: noqa: RUF001 a report sets its multiplication signs as print does

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
from collections import defaultdict
from pathlib import Path
from typing import Any

from benchmarks.engine.workload import ATTRIBUTES, BOOLEAN, FLAGS, USERS, Flag, ranges
from benchmarks.world import report
from sdk.conformance.javascript import build

_FOLDER = Path(__file__).parent
OURS = "openflagship"
RIVALS = {
    "flagd-core": "@openfeature/flagd-core",
    "growthbook": "@growthbook/growthbook",
    "unleash": "unleash-client",
    "launchdarkly": "@launchdarkly/node-server-sdk",
}
TURNS = 3
MOST_OF_FLOOR = 2.5
Samples = dict[str, dict[str, list[float]]]


def document(flag: Flag) -> dict[str, Any]:
    """The flag as our snapshot has it."""
    values = {"off": False, "on": True} if flag.kind == BOOLEAN else {variant: variant for variant in flag.variants}
    default = next(iter(values))
    rules = [
        {
            "id": f"r{number}",
            "priority": number,
            "conditions": [{"attribute": name, "operator": operator, "value": value} for name, operator, value in rule],
            "variant": variant,
        }
        for number, (rule, variant) in enumerate(flag.rules)
    ]
    split = [] if flag.rules else [list(one) for one in ranges(flag.split) if one[2] != "off"]
    return {
        "key": flag.key,
        "type": "boolean" if flag.kind == BOOLEAN else "string",
        "enabled": True,
        "variants": [{"key": key, "value": value} for key, value in values.items()],
        "defaultVariant": default,
        "offVariant": default,
        "rules": rules,
        "allocation": split,
    }


def store() -> str:
    """What every process is given: our snapshot, and the same flags for others to put into their own form."""
    plain = [
        {
            "key": flag.key,
            "kind": flag.kind,
            "split": flag.split,
            "rules": flag.rules,
            "variants": flag.variants,
            "values": {"on": True, "off": False} if flag.kind == BOOLEAN else {name: name for name in flag.variants},
        }
        for flag in FLAGS
    ]
    snapshot = {"contract": 1, "version": 1, "flags": {flag.key: document(flag) for flag in FLAGS}}
    return json.dumps({"snapshot": snapshot, "flags": plain, "users": USERS, "attributes": ATTRIBUTES})


def measure(turns: int) -> Samples:
    """Nanoseconds a call, by SDK and loop."""
    given = store()
    found: Samples = {name: defaultdict(list) for name in (OURS, *RIVALS)}
    for _ in range(turns):
        for name, loops in found.items():
            done = subprocess.run(
                ["node", "measure.mjs", name], cwd=_FOLDER, input=given, capture_output=True, text=True, check=True
            )
            for loop, samples in json.loads(done.stdout.splitlines()[-1])["loops"].items():
                loops[loop] += samples
    return found


def heap_lines() -> list[str]:
    """A million requests with new contexts: what they leave in the heap."""
    done = subprocess.run(
        ["node", "--expose-gc", "heap.mjs"], cwd=_FOLDER, input=store(), capture_output=True, text=True, check=True
    )
    told = json.loads(done.stdout.splitlines()[-1])
    first, *_, last = told["heap"]
    lines = [
        "",
        "A million requests with a new context each, two flags asked in each, exposures recorded and sent: the heap "
        f"after each tenth, in MB: {', '.join(f'{size / 1e6:.2f}' for size in told['heap'])}. Events sent "
        f"{told['eventsSent']:,}, without room {told['eventsDropped']:,}.",
        "",
        "| promise | met |",
        "|---|---|",
    ]
    return [
        *lines,
        f"| heap flat: the last within a tenth of the first | {'yes' if last < first * 1.1 else '**no**'} |",
    ]


def lines_of(found: Samples, turns: int) -> list[str]:
    versions = json.loads((_FOLDER / "package.json").read_text())["dependencies"]
    node = subprocess.run(["node", "--version"], capture_output=True, text=True, check=True).stdout.strip()
    floor = statistics.median(value for loops in found.values() for value in loops["floor"])
    median = {
        name: {loop: statistics.median(samples) for loop, samples in loops.items()} for name, loops in found.items()
    }
    lines = [
        "## Node SDK",
        "",
        "`python -m benchmarks.node`: the engine's store of 1,000 flags, 10,000 users; W1 is a boolean flag at 25 %, "
        "W2 ten rules of two conditions of which the last matches, W4 all flags of one user. Details asked for, events "
        f"off; medians of 15 rounds, {turns} processes each, in turn. Node {node}, 2 cores shared with other work: "
        "ratios of one run tell more than nanoseconds.",
        "",
        "| SDK | W1 ns | against the bare hash | W2 ns | W4 ms |",
        "|---|---|---|---|---|",
        f"| the bare hash of `key:user` | {floor:.0f} | | | |",
    ]
    for name, loops in median.items():
        title = name if name == OURS else f"{name} {versions[RIVALS[name]]}"
        # Each beside the hash of its own process, which met the same other work.
        own = loops["W1"] / loops["floor"]
        all_flags = f"{loops['W4'] / 1e6:.2f}" if "W4" in loops else ""
        lines.append(f"| {title} | {loops['W1']:.0f} | {own:.1f}× | {loops['W2']:.0f} | {all_flags} |")
    ours = median[OURS]
    goals = [(f"W1 against the bare hash, at most {MOST_OF_FLOOR}×", ours["W1"] / ours["floor"] <= MOST_OF_FLOOR)]
    for loop in ("W1", "W2", "W4"):
        rivals = [loops[loop] for name, loops in median.items() if name != OURS and loop in loops]
        goals.append((f"{loop} ahead of each other SDK", ours[loop] < min(rivals)))
    lines += ["", "| promise | met |", "|---|---|"]
    lines += [f"| {words} | {'yes' if is_met else '**no**'} |" for words, is_met in goals]
    lines += ["", "unleash has no call for all flags. launchdarkly's calls are promises, and are waited for."]
    return lines


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--turns", type=int, default=TURNS)
    parser.add_argument("--print", action="store_true", help="leave RESULTS.md alone")
    arguments = parser.parse_args()
    build()
    subprocess.run(["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"], cwd=_FOLDER, check=True)
    lines = lines_of(measure(arguments.turns), arguments.turns) + heap_lines()
    if arguments.print:
        print("\n".join(lines))
    else:
        report("node", lines)
    return 0
