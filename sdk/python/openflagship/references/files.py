"""The files of a checkout that a scan reads: what git tracks, or what a walk finds and no ignore file leaves out."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from openflagship.management import CommandError
from openflagship.references.git import GitError, git
from openflagship.references.ignoring import GIT, OWN, Ignore

_CONTROL_FOLDERS: Final = frozenset({".git", ".hg", ".svn", ".bzr", ".jj", ".pijul", "_darcs", "CVS", ".fslckout"})
# Not written by the people of the repository, even where no ignore file says so.
_FOREIGN_FOLDERS: Final = frozenset({"node_modules", "__pycache__", ".venv", ".tox"})
# By git's own numbers: a file, and one that may be run. Links and submodules are others.
_PLAIN_FILES: Final = (b"100644", b"100755")


def root_of(folder: Path) -> tuple[Path, bool]:
    """The root of the checkout that a folder is in, and whether git knows its files; else the folder itself."""
    start = folder.resolve()
    for each in (start, *start.parents):
        if (each / ".git").exists():
            try:
                git(each, "rev-parse", "--git-dir")
            except GitError:
                return each, False
            return each, True
        if any((each / name).exists() for name in _CONTROL_FOLDERS):
            return each, False
    return start, False


def relative_paths(root: Path, folders: Sequence[Path]) -> list[str]:
    """The folders as paths from the root; none means all. Raises CommandError for one that is outside."""
    found = []
    for folder in folders:
        try:
            path = folder.resolve().relative_to(root).as_posix()
        except ValueError as error:
            raise CommandError(f"{folder} is not in the checkout {root}") from error
        if not folder.exists():
            raise CommandError(f"{folder} is not there")
        if path == ".":
            return []
        found.append(path)
    return found


def files(root: Path, folders: Sequence[str], ignore: tuple[str, ...], *, is_git: bool) -> Iterator[str]:
    """Each file's path from the root, in order. Raises CommandError."""
    if is_git:
        left_out = Ignore(root, (OWN,), ignore)
        yield from (path for path in _tracked(root, folders) if path not in left_out)
        return
    left_out = Ignore(root, (GIT, OWN), ignore)
    for start in folders or [""]:
        if (root / start).is_file():
            yield start
        else:
            yield from _walked(root, f"{start}/" if start else "", left_out)


def _tracked(root: Path, folders: Sequence[str]) -> Iterator[str]:
    try:
        listing = git(root, "ls-files", "-z", "--stage", "--", *folders)
    except GitError as error:
        raise CommandError(str(error)) from error
    seen: set[bytes] = set()
    for line in listing.split(b"\0"):
        about, _, path = line.partition(b"\t")
        # A file in conflict is listed once for each side.
        if about.startswith(_PLAIN_FILES) and path not in seen:
            seen.add(path)
            yield os.fsdecode(path)


def _walked(root: Path, folder: str, left_out: Ignore) -> Iterator[str]:
    waiting = [folder]
    while waiting:
        here = waiting.pop()
        folders = []
        try:
            entries = sorted(os.scandir(root / here), key=lambda entry: entry.name)
        except OSError:
            # A folder that may not be read, or that is gone meanwhile.
            continue
        for entry in entries:
            path = here + entry.name
            if entry.is_dir(follow_symlinks=False):
                if entry.name not in _CONTROL_FOLDERS | _FOREIGN_FOLDERS and f"{path}/" not in left_out:
                    folders.append(f"{path}/")
            elif entry.is_file(follow_symlinks=False) and path not in left_out:
                yield path
        waiting += reversed(folders)
