"""One engine in a process of its own: loads the workload, checks the answers, then times what it is told to.

Reads commands from standard input, a JSON object a line, and answers each on standard output.
"""

from __future__ import annotations

import gc
import json
import os
import sys
import time
from collections.abc import Sequence
from typing import Any

import mmh3

from benchmarks.engine import rivals as near
from benchmarks.engine import rivals_indirect as indirect
from benchmarks.engine import rivals_interpreted as interpreted
from benchmarks.engine.rivals import Engine, Loop
from benchmarks.engine.workload import ATTRIBUTES, BOOLEAN, KINDS, RULED, USERS

CHUNK = 500


def engines() -> list[type[Engine]]:
    return [
        near.OpenFlagship,
        near.Eppo,
        near.EppoDetails,
        near.StatsigCore,
        interpreted.GrowthBook,
        interpreted.PostHog,
        interpreted.Flagsmith,
        indirect.StatsigLegacy,
        interpreted.Flagd,
        near.LaunchDarkly,
        indirect.Unleash,
        indirect.Waffle,
    ]


def floor(users: Sequence[str]) -> None:
    """The least any engine with this hash can do: the hash itself, in a plain loop."""
    key = "w1"
    for user in users:
        mmh3.hash(f"{key}:{user}", signed=False) % 10000 < 2500  # noqa: B015 the work is what is timed


def floor_of_all(users: Sequence[str]) -> None:
    """The same for W4: a thousand hashes for each user."""
    for user in users:
        for key in KINDS:
            mmh3.hash(f"{key}:{user}", signed=False) % 10000 < 2500  # noqa: B015 as above


def check(engine: Engine) -> None:
    """Fails where an engine serves defaults, or splits wrongly: nobody is timed for an easier question."""
    users = USERS[:3000]
    contexts = [engine.context(user, ATTRIBUTES) for user in users]
    on = sum(engine.ask("w1", context) is True for context in contexts) / len(users)
    assert 0.22 < on < 0.28, f"w1 is on for {on}"
    if "W2" in engine.workloads:
        assert {engine.ask("w2", context) for context in contexts[:100]} == {"v10"}
        values = [engine.ask("w3", context) for context in contexts]
        for variant, share in (("a", 0.5), ("b", 0.25), ("c", 0.25)):
            assert abs(values.count(variant) / len(users) - share) < 0.03, f"w3 gives {variant} too rarely or often"
        everything = {key: engine.ask(key, contexts[0]) for key in KINDS}
        assert {everything[key] for key, kind in KINDS.items() if kind == RULED} == {"v10"}
        share_on = sum(everything[key] for key, kind in KINDS.items() if kind == BOOLEAN) / 600
        assert 0.15 < share_on < 0.35, f"{share_on} of the boolean flags are on for one user"


def resident_mib() -> float:
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20


class Bench:
    def __init__(self, engine: Engine) -> None:
        before = resident_mib()
        engine.load()
        gc.collect()
        self.load_mib = resident_mib() - before
        check(engine)
        contexts = [engine.context(user, ATTRIBUTES) for user in USERS]
        self.engine = engine
        self.loops: dict[str, tuple[Loop, Sequence[Any], int]] = {
            name: (loop, contexts, 1 if name == "W4" else CHUNK) for name, loop in engine.loops().items()
        }
        self.loops["floor"] = (floor, USERS, CHUNK)
        self.loops["floor W4"] = (floor_of_all, USERS, 1)
        self.loops["context"] = (self._build_contexts, USERS, CHUNK)
        self.position = 0
        gc.collect()

    def _build_contexts(self, users: Sequence[str]) -> None:
        build = self.engine.context
        for user in users:
            build(user, ATTRIBUTES)

    def time(self, name: str, seconds: float) -> float:
        """Nanoseconds of processor time per call, all threads counted; each run goes on with other users.

        On a machine shared with other work the clock on the wall measures how busy the others are.
        """
        loop, arguments, size = self.loops[name]
        calls = 0
        started = time.process_time_ns()
        limit = started + int(seconds * 1e9)
        while (now := time.process_time_ns()) < limit:
            start = self.position % (len(arguments) - size + 1)
            loop(arguments[start : start + size])
            self.position += size
            calls += size
        return (now - started) / calls


def main() -> None:
    engine = next(kind for kind in engines() if kind.name == sys.argv[1])()
    bench = Bench(engine)
    loaded = {"load_mib": bench.load_mib, "resident_mib": resident_mib()}
    print(json.dumps(loaded | {"python": sys.version.split()[0], "loops": list(bench.loops)}), flush=True)
    for line in sys.stdin:
        command = json.loads(line)
        print(json.dumps({"ns": bench.time(command["loop"], command["seconds"])}), flush=True)
    # Some SDKs keep threads that would hold the process.
    os._exit(0)


if __name__ == "__main__":
    main()
