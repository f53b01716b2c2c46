"""The repository's own files, without git: what the tests of its layout and its docs read."""

import os
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
# Made by tools; nobody writes in them.
_GENERATED = {".git", ".venv", "var", "node_modules", "build", "dist", "__pycache__"}


def source_files(*suffixes: str, under: str = ".") -> Iterator[Path]:
    """Paths of files with one of these suffixes, in order."""
    for folder, folders, names in os.walk(ROOT / under):
        folders[:] = sorted(
            name
            for name in folders
            if name not in _GENERATED and not name.endswith((".egg-info", "_cache")) and name != ".hypothesis"
        )
        for name in sorted(names):
            path = Path(folder) / name
            if path.suffix in suffixes or name in suffixes:
                yield path
