"""The Go SDK's test service as a built program."""

from __future__ import annotations

import fcntl
import subprocess
from functools import cache
from pathlib import Path
from typing import Final

SDK: Final = Path(__file__).parents[1] / "go"
PROGRAM: Final = SDK.parents[1] / "var" / "go" / "conformance"


@cache
def build() -> None:
    """Build what is out of date. Raises where that fails. Processes wait for one another."""
    PROGRAM.parent.mkdir(parents=True, exist_ok=True)
    with PROGRAM.with_suffix(".lock").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        done = subprocess.run(
            ["go", "build", "-buildvcs=false", "-o", str(PROGRAM), "./internal/conformance"],
            cwd=SDK,
            check=False,
            capture_output=True,
            text=True,
            timeout=600,
        )
    if done.returncode:
        raise RuntimeError(f"the Go SDK cannot be built: {done.stderr[-4000:]}")
