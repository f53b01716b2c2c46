"""What a store costs to load, keep and change: run in a process that has done nothing else, with the store's path.

Times are processor time: on a machine shared with other work the clock on the wall measures the others.
"""

from __future__ import annotations

import gc
import json
import os
import sys
import time

from openflagship.engine import CompiledEnvironment, Context

REPLACEMENTS = 51


def resident_mib() -> float:
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20


def measure(path: str) -> dict[str, float]:
    with open(path) as file:
        text = file.read()
    started = time.process_time()
    document = json.loads(text)
    parsed = time.process_time()
    environment = CompiledEnvironment.from_document(document)
    loaded = time.process_time()
    size = len(text) / 2**20
    # As whoever loads it would: the engine needs neither of them any more.
    del document, text
    dropped = time.process_time()
    environment.prepare()
    prepared = time.process_time()
    gc.collect()
    resident = resident_mib()
    key = next(iter(environment.flags))
    flag = environment.flags[key].document
    changed = {**flag, "defaultVariant": flag["variants"][1]["key"]}
    nobody = Context("nobody")
    replacing = []
    for version in range(2, 2 + REPLACEMENTS):
        begun = time.process_time()
        environment = environment.replace(version, flags={key: changed})
        environment.evaluate(key, nobody)
        replacing.append(time.process_time() - begun)
    return {
        "text_mib": size,
        "parse_seconds": parsed - started,
        "load_seconds": loaded - parsed,
        "prepare_seconds": prepared - dropped,
        "resident_mib": resident,
        "replace_ms": sorted(replacing)[REPLACEMENTS // 2] * 1000,
    }


if __name__ == "__main__":
    print(json.dumps(measure(sys.argv[1])))
