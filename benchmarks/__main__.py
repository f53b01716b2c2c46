"""`make bench`: run every benchmark one after the other, or those named: `make bench ARGS="engine ingest"`."""

import subprocess
import sys
from pathlib import Path

FOLDER = Path(__file__).parent


def subjects() -> list[str]:
    """The folders that can be run; `python -m benchmarks.NAME` runs one."""
    return sorted(path.parent.name for path in FOLDER.glob("*/__main__.py"))


def main() -> int:
    known = subjects()
    wanted = sys.argv[1:] or known
    unknown = [name for name in wanted if name not in known]
    if unknown:
        print(f"No such benchmark: {', '.join(unknown)}. There are: {', '.join(known)}.", file=sys.stderr)
        return 2
    failed = [
        name for name in wanted if subprocess.run([sys.executable, "-m", f"benchmarks.{name}"], check=False).returncode
    ]
    if failed:
        print(f"Failed: {', '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
