"""The statistics run where there is no Django, and the adapter stays a list of names."""

import subprocess
import sys
from pathlib import Path

import experiments.statistics

PACKAGE = Path(experiments.statistics.__file__).parent


def test_statistics__imported_alone__bring_no_framework() -> None:
    modules = [f"experiments.statistics.{path.stem}" for path in PACKAGE.glob("*.py") if path.stem != "__init__"]
    assert len(modules) >= 15
    unwanted = "[name for name in ('django', 'redis', 'pandas') if name in sys.modules]"
    code = f"import sys, {', '.join(modules)}; print({unwanted})"
    answer = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], cwd=PACKAGE.parents[1], capture_output=True, text=True, check=True
    )
    assert answer.stdout.strip() == "[]"
