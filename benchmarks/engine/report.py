"""Turns the engine's measurements into its section of RESULTS.md and its plots."""

# ruff: noqa: RUF001 a report sets its dashes and multiplication signs as print does

from __future__ import annotations

import statistics
from typing import Any

from benchmarks.engine.plots import bar_chart
from benchmarks.world import PLOTS, report

OURS, FLOOR = "openflagship", "the bare hash"
WORKLOADS = {
    "W1": "a boolean flag, 25 % by user id",
    "W2": "ten rules of two conditions, the last matches",
    "W3": "a split of 50/25/25",
    "W4": "all 1,000 flags for one user",
}
STORES = {
    "workload": "the store above (600 rollouts, 300 splits, 100 flags of ten rules)",
    "same": "1,000 flags of ten rules, all of one shape",
    "mixed": "1,000 flags of ten rules, no two of one shape",
}

Goal = tuple[str, str, str, bool]


class Speeds:
    """Medians over the rounds, in nanoseconds; ratios are of medians of this one run."""

    def __init__(self, engines: list[dict[str, Any]]) -> None:
        self.engines = {engine["name"]: engine for engine in engines}
        # Every process times the bare hash beside its own loops; the floor is the median of all of them.
        self.floor = self._floor("floor")
        self.floor_of_all = self._floor("floor W4")

    def _floor(self, loop: str) -> float:
        return statistics.median(value for engine in self.engines.values() for value in engine["samples"][loop])

    def median(self, name: str, loop: str) -> float | None:
        samples = self.engines[name]["samples"].get(loop)
        return None if samples is None else statistics.median(samples)

    def ours(self, loop: str) -> float:
        return statistics.median(self.engines[OURS]["samples"][loop])

    def spread(self, name: str) -> float:
        """The widest of an engine's loops: highest less lowest round, as a share of the median."""
        samples = self.engines[name]["samples"].values()
        return max((max(values) - min(values)) / statistics.median(values) for values in samples)

    def rivals(self, loop: str, *, with_details: bool) -> dict[str, float]:
        return {
            name: median
            for name, engine in self.engines.items()
            if name != OURS
            and (engine["has_details"] or not with_details)
            and (median := self.median(name, loop)) is not None
        }


def write_report(result: dict[str, Any], *, is_partial: bool) -> list[str]:
    """Prints the report, writes it unless only some engines ran, and gives the goals that were missed."""
    speeds = Speeds(result["engines"])
    goals = [] if is_partial else _goals(speeds, result["stores"])
    lines = [*_head(result), "", *_speed_table(speeds), "", *_notes(speeds), ""]
    if goals:
        lines += ["| goal | asked | measured | met |", "|---|---|---|---|"]
        lines += [
            f"| {what} | {asked} | {measured} | {'yes' if is_met else '**no**'} |"
            for what, asked, measured, is_met in goals
        ]
        lines += ["", *_why_missed(speeds), ""]
    lines += _store_table(result["stores"])
    if not is_partial:
        lines += ["", *_plots(speeds)]
        report("engine", lines)
    else:
        print("\n".join(lines))
    return [what for what, _, _, is_met in goals if not is_met]


def _head(result: dict[str, Any]) -> list[str]:
    return [
        "## The engine",
        "",
        f"`python -m benchmarks.engine`, {result['rounds']} rounds in turn through all processes, medians of processor "
        f"time (all threads of a process); CPython {result['python']}, {result['cpus']} cores shared with other work "
        f"(load average {result['load_average']:.1f} before, {result['load_average_after']:.1f} after). So read ratios "
        "rather than nanoseconds: everything in this section is of one run.",
        "",
        "The store holds 1,000 flags. W1 to W3 ask one of them for 10,000 users in turn, with contexts built "
        "beforehand; answers are checked before anything is timed.",
        "",
        *(f"- {name}: {text}." for name, text in WORKLOADS.items()),
        "- floor: `mmh3.hash(f'{key}:{user}', signed=False) % 10000 < 2500` in a plain loop.",
    ]


def _speed_table(speeds: Speeds) -> list[str]:
    lines = [
        "| engine | W1 ns | W2 ns | W3 ns | W4 ms | context ns | details | memory after loading MiB | spread |",
        "|---|---|---|---|---|---|---|---|---|",
        f"| *{FLOOR}* | {speeds.floor:,.0f} | | | {speeds.floor_of_all / 1e6:.2f} | | | | |",
    ]
    for name, engine in speeds.engines.items():
        cells = []
        for loop in ("W1", "W2", "W3", "W4"):
            value = speeds.median(name, loop)
            if value is None:
                cells.append("–")
                continue
            floor = speeds.floor_of_all if loop == "W4" else speeds.floor
            shown = f"{value / 1e6:.2f}" if loop == "W4" else f"{value:,.0f}"
            times = f" ({value / speeds.ours(loop):,.1f}×)" if name != OURS else f" ({value / floor:.2f} floors)"
            cells.append(shown + times)
        title = (
            f"**{name}**" if name == OURS else f"{name} ({' '.join(pin.split('==')[1] for pin in engine['pins'][:1])})"
        )
        context = speeds.median(name, "context")
        details = "yes" if engine["has_details"] else "no"
        memory = engine["loaded"]["resident_mib"]
        lines.append(
            f"| {title} | {' | '.join(cells)} | {context:,.0f} | {details} | {memory:.0f} | {speeds.spread(name):.0%} |"
        )
    return lines


def _notes(speeds: Speeds) -> list[str]:
    lines = [
        "In brackets how many times as long as ours; for ours, how many times the floor. What a call includes:",
        "",
    ]
    return lines + [f"- {name}: {engine['note']}." for name, engine in speeds.engines.items()]


def _goals(speeds: Speeds, stores: dict[str, dict[str, float]]) -> list[Goal]:
    goals: list[Goal] = []
    for loop in ("W1", "W3"):
        times = speeds.ours(loop) / speeds.floor
        goals.append((f"{loop} against the floor", "at most 2.5×", f"{times:.2f}×", times <= 2.5))
    for loop, asked in (("W1", 3.0), ("W3", 3.0), ("W2", 1.5), ("W4", 2.5)):
        fastest, value = min(speeds.rivals(loop, with_details=False).items(), key=lambda item: item[1])
        times = value / speeds.ours(loop)
        goals.append(
            (f"{loop} against the fastest rival", f"{asked:g}× faster", f"{times:.1f}× ({fastest})", times >= asked)
        )
    for loop in WORKLOADS:
        fastest, value = min(speeds.rivals(loop, with_details=True).items(), key=lambda item: item[1])
        times = value / speeds.ours(loop)
        goals.append((f"{loop} against any rival with details", "20× faster", f"{times:.1f}× ({fastest})", times >= 20))
    for store in ("same", "mixed"):
        kept = stores[store]["kept_mib"]
        goals.append((f"memory: {STORES[store]}", "under 40 MiB", f"{kept:.1f} MiB", kept < 40))
    for store, text in STORES.items():
        seconds = stores[store]["load_seconds"] + stores[store]["prepare_seconds"]
        goals.append((f"load and compile: {text}", "under 0.5 s", f"{seconds:.2f} s", seconds < 0.5))
    slowest = max(figures["replace_ms"] for figures in stores.values())
    goals.append(("replace one flag of 1,000", "under 1 ms", f"{slowest:.2f} ms", slowest < 1))
    return goals


def _why_missed(speeds: Speeds) -> list[str]:
    """What stands against the goals that a W4 twenty times as fast, and a store of all different shapes, would be."""
    name, fastest = min(speeds.rivals("W4", with_details=True).items(), key=lambda item: item[1])
    return [
        f"A twentieth of {name}'s W4 is {fastest / 20e6:.2f} ms; the bare hash of 1,000 flags takes "
        f"{speeds.floor_of_all / 1e6:.2f} ms. {name} gives W4 as one JSON text made in Rust; the other rivals with "
        "details make an object a flag, as ours does. Where no two flags of ten rules have one shape, Python's own "
        "compiler takes most of the time, at each flag's first evaluation unless `Environment.prepare` is called.",
    ]


def _store_table(stores: dict[str, dict[str, float]]) -> list[str]:
    lines = [
        "What a store costs, each in a fresh process, in processor time. Loading decodes and prepares regular "
        "expressions, versions, dates, sets and ranges; writing turns every flag into its function, which otherwise "
        "happens at a flag's first evaluation. Memory is what the process holds above the bare interpreter, the "
        "engine and its imports included, with every function written. Replacing includes the changed flag's first "
        "evaluation.",
        "",
        "| store | JSON MiB | parse JSON s | load s | write all functions s | memory MiB | replace one flag ms |",
        "|---|---|---|---|---|---|---|",
    ]
    for store, figures in stores.items():
        lines.append(
            f"| {STORES[store]} | {figures['text_mib']:.1f} | {figures['parse_seconds']:.3f} | "
            f"{figures['load_seconds']:.3f} | {figures['prepare_seconds']:.3f} | {figures['kept_mib']:.1f} | "
            f"{figures['replace_ms']:.2f} |"
        )
    return lines


def _plots(speeds: Speeds) -> list[str]:
    PLOTS.mkdir(exist_ok=True)
    lines = []
    for loop, text in WORKLOADS.items():
        scale = 1e6 if loop == "W4" else 1
        bars = [(FLOOR, (speeds.floor_of_all if loop == "W4" else speeds.floor) / scale)]
        bars += [(name, value / scale) for name in speeds.engines if (value := speeds.median(name, loop)) is not None]
        bars.sort(key=lambda bar: bar[1])
        path = PLOTS / f"engine_{loop.lower()}.svg"
        unit = "milliseconds for 1,000 flags" if loop == "W4" else "nanoseconds a call"
        bar_chart(path, f"{loop}: {text}", unit, bars, ours=OURS, floor=FLOOR)
        lines.append(f"![{loop}: {text}](plots/{path.name})")
    return lines
