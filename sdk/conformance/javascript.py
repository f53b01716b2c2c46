"""The JavaScript SDKs as built files, which their tests, their services and the benchmarks run."""

from __future__ import annotations

import fcntl
import subprocess
from functools import cache
from pathlib import Path

SDK = Path(__file__).parents[1]
ROOT = SDK.parent


@cache
def build() -> None:
    """Install the packages and build what is out of date. Raises where that fails. Processes wait for one another."""
    lock = ROOT / "var" / "javascript.lock"
    lock.parent.mkdir(exist_ok=True)
    with lock.open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        done = subprocess.run(
            ["make", "--no-print-directory", "sdk/node_modules/.built"],
            cwd=ROOT,
            check=False,
            capture_output=True,
            text=True,
            timeout=600,
        )
    if done.returncode:
        raise RuntimeError(f"the JavaScript SDKs cannot be built: {done.stdout[-2000:]}{done.stderr[-4000:]}")
