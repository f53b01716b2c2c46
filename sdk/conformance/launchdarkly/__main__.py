"""`python -m sdk.conformance.launchdarkly CHECKOUT`: LaunchDarkly's sdk-test-harness against our SDKs.

CHECKOUT is a folder with github.com/launchdarkly/sdk-test-harness. Nothing is fetched but the modules that Go needs to
build it. README.md says what of it applies.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final

from sdk.conformance.launchdarkly.adapter import Adapter
from sdk.conformance.service import EVALUATES, EVENTS, KINDS, Service

# The evaluations of its data files: flags, users, and the answers that they have.
SUITE: Final = "^evaluation$/^parameterized$"
# Names of tests, and why what they are about has no counterpart here.
NOT_OURS: Final = Path(__file__).with_name("not_ours.txt")
_DEFAULT: Final = ("python-threads", "node-22", "go")


def build(checkout: Path, target: Path) -> Path:
    """Raises CalledProcessError where it cannot be built."""
    program = target / "sdk-test-harness"
    subprocess.run(["go", "build", "-buildvcs=false", "-o", program, "."], cwd=checkout, check=True)
    return program


def not_ours() -> list[str]:
    """The patterns of tests; lines that begin with `#` say why."""
    lines = NOT_OURS.read_text().splitlines()
    return [line for line in lines if line and not line.startswith("#")]


def run(program: Path, name: str, skips: list[str]) -> tuple[str, list[str], list[str]]:
    """The harness's own summary, the names of tests that failed, and why."""
    service = Service(name)
    adapter = Adapter(service)
    try:
        with tempfile.NamedTemporaryFile("r") as failures:
            command = [str(program), "-url", adapter.url, "-record-failures", failures.name, "-run", SUITE]
            command += [argument for pattern in skips for argument in ("-skip", f"{SUITE}/{pattern}")]
            done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=1800)
            failed = failures.read().splitlines()
    finally:
        adapter.stop()
        service.close()
    summary = re.search(r"^Test Summary: (.*)$", done.stdout, re.MULTILINE)
    return summary[1] if summary else "it did not run", failed, (done.stdout + done.stderr).splitlines()


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m sdk.conformance.launchdarkly", description=__doc__)
    able = [name for name, kind in KINDS.items() if {EVALUATES, EVENTS} <= kind.capabilities and not kind.groups]
    parser.add_argument("checkout", type=Path, help="a checkout of github.com/launchdarkly/sdk-test-harness")
    parser.add_argument("services", nargs="*", default=_DEFAULT, help=f"of {', '.join(able)}")
    parser.add_argument("--everything", action="store_true", help="what does not apply too, which fails")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        program = build(given.checkout, Path(folder))
        is_well = True
        for name in given.services:
            summary, failed, output = run(program, name, [] if given.everything else not_ours())
            print(f"{name}: {summary}, {len(failed)} failed", flush=True)
            if failed or "ran" not in summary.split():
                is_well = False
                print("\n".join(output))
    return 0 if is_well else 1


if __name__ == "__main__":
    sys.exit(main())
