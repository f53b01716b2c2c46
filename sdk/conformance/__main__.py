"""`python -m sdk.conformance`: put every SDK through every case, and write the table of results into the docs."""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

import sdk.conformance.cases  # noqa: F401 - registers them
from sdk.conformance.registry import CASES, play
from sdk.conformance.results import DOCS, HOLDS, NOT_APPLICABLE, Results, table
from sdk.conformance.service import KINDS, Service


def run_all(names: list[str], only: str, *, is_quiet: bool = False) -> Results:
    """The result of each case that has `only` in its name, for each service."""
    found: Results = {}
    for name in names:
        service = Service(name)
        try:
            for one in CASES.values():
                if only not in one.name:
                    continue
                if not one.applies_to(service.kind):
                    found[one.name, name] = NOT_APPLICABLE
                    continue
                before = time.monotonic()
                with tempfile.TemporaryDirectory() as folder:
                    try:
                        play(one, service, Path(folder))
                        found[one.name, name] = HOLDS
                    except Exception as error:  # noqa: BLE001 - whatever it is, the case does not hold
                        found[one.name, name] = f"fails: {error}"
                if not is_quiet or found[one.name, name] != HOLDS:
                    print(f"{name}\t{time.monotonic() - before:.2f} s\t{one.name}\t{found[one.name, name]}", flush=True)
        finally:
            service.close()
    return found


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m sdk.conformance", description=__doc__)
    parser.add_argument("services", nargs="*", help=f"of {', '.join(KINDS)}; all without")
    parser.add_argument("--only", default="", help="cases with this in their name")
    parser.add_argument("--write", action="store_true", help="write the table into the docs; needs all cases")
    parser.add_argument("--quiet", action="store_true", help="name only what fails")
    given = parser.parse_args()
    names = given.services or list(KINDS)
    results = run_all(names, given.only, is_quiet=given.quiet)
    failed = [key for key, said in results.items() if said.startswith("fails")]
    print(f"{len(results)} results, {len(failed)} failed")
    if given.write and not given.only and not given.services and not failed:
        DOCS.write_text(table(results))
        print(f"written: {DOCS}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
