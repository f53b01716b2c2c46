"""A container's health check: exit code 0 when `/readyz` on the port given answers 200."""

from __future__ import annotations

import sys

from flagship.runner.readiness import state

if __name__ == "__main__":
    answer = state("127.0.0.1", int(sys.argv[1]))
    sys.stdout.write(f"{answer}\n")
    sys.exit(answer != "ready")
