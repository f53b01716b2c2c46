"""A container's health check: exit code 0 when `/readyz` on the port given answers 200, or as the second word says."""

from __future__ import annotations

import sys

from flagship.runner.readiness import PROBES, state

if __name__ == "__main__":
    probe = PROBES[sys.argv[2]] if len(sys.argv) > 2 else state
    answer = probe("127.0.0.1", int(sys.argv[1]))
    sys.stdout.write(f"{answer}\n")
    sys.exit(answer != "ready")
