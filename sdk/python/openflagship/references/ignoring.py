"""Which files a scan leaves out: `.openflagshipignore`; `.gitignore` and `.hgignore` too where git does not say."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import re2

from openflagship.management import CommandError

OWN: Final = ".openflagshipignore"
GIT: Final = ".gitignore"
HG: Final = ".hgignore"


class Ignore:
    """The rules of one repository. Those of a deeper folder, and the later ones of a file, come first."""

    def __init__(self, root: Path, names: tuple[str, ...], lines: tuple[str, ...] = ()) -> None:
        """`names`: of the files with rules in git's syntax, in any folder. `lines`: further rules of the root."""
        self._root = root
        self._names = names
        self._specs: dict[str, Any] = {}
        self._folders: dict[str, bool] = {}
        self._searched: list[Any] = []
        first = list(lines)
        if GIT in names:
            globs, self._searched = _hg_rules(root / HG)
            first = [*globs, *first]
        self._specs[""] = self._spec("", first)

    def __contains__(self, path: str) -> bool:
        """Whether a file is left out, or a folder, whose path ends with a slash. What is in such a folder is too."""
        end = path.find("/")
        while 0 <= end < len(path) - 1:
            folder = path[: end + 1]
            if folder not in self._folders:
                self._folders[folder] = self._is_left_out(folder)
            if self._folders[folder]:
                return True
            end = path.find("/", end + 1)
        return self._is_left_out(path)

    def _is_left_out(self, path: str) -> bool:
        if any(pattern.search(path) for pattern in self._searched):
            return True
        folder, decision = "", self._decides("", path)
        for part in path.rstrip("/").split("/")[:-1]:
            folder += part + "/"
            deeper = self._decides(folder, path[len(folder) :])
            decision = decision if deeper is None else deeper
        return bool(decision)

    def _decides(self, folder: str, path: str) -> bool | None:
        if folder not in self._specs:
            self._specs[folder] = self._spec(folder, [])
        spec = self._specs[folder]
        return None if spec is None else spec.check_file(path).include

    def _spec(self, folder: str, lines: list[str]) -> Any:
        for name in self._names:
            try:
                lines = [*lines, *(self._root / folder / name).read_text(errors="replace").splitlines()]
            except OSError:
                # Most folders have none.
                continue
        return _spec_of(lines) if lines else None


def _spec_of(lines: list[str]) -> Any:
    try:
        from pathspec import GitIgnoreSpec  # noqa: PLC0415 - an extra, and only repositories with such files need it
    except ImportError as error:
        raise CommandError(
            "files with ignore rules need the package pathspec: pip install './sdk/python[refs]' in a checkout"
        ) from error
    return GitIgnoreSpec.from_lines(lines)


def _hg_rules(path: Path) -> tuple[list[str], list[Any]]:
    """Mercurial's rules: globs as git would write them, and patterns that are searched in the path."""
    try:
        lines = path.read_text(errors="replace").splitlines()
    except OSError:
        return [], []
    globs: list[str] = []
    patterns: list[Any] = []
    syntax = "regexp"
    for line in (line.split("#", 1)[0].strip() for line in lines):
        if line.startswith("syntax:"):
            syntax = line.partition(":")[2].strip()
        elif line:
            kind, _, rest = line.partition(":")
            kind, rule = (kind, rest) if kind in {"glob", "rootglob", "regexp", "re"} else (syntax, line)
            if kind in {"regexp", "re"}:
                try:
                    patterns.append(re2.compile(rule))
                except re2.error as error:
                    raise CommandError(f"{path}: {rule!r} is no RE2 pattern: {error}") from error
            else:
                globs.append(f"/{rule}" if kind == "rootglob" else rule)
    return globs, patterns
