"""The package asks for Python 3.10, and uses nothing that came later."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import openflagship

LATER = "import tomllib\nfrom datetime import UTC\n"


def vermin(path: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [Path(sys.executable).with_name("vermin"), "-t=3.10-", "--no-tips", "--violations", "--eval-annotations", path],
        capture_output=True,
        text=True,
        timeout=150,
        check=False,
    )


def test_package__its_source__needs_no_later_python_than_it_says() -> None:
    found = vermin(Path(openflagship.__file__).parent)

    assert found.returncode == 0, found.stdout


def test_package__something_later__would_be_found(tmp_path: Path) -> None:
    (tmp_path / "later.py").write_text(LATER)

    assert "'tomllib' module requires !2, 3.11" in vermin(tmp_path / "later.py").stdout
