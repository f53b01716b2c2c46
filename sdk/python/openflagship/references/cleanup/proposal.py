"""The diff that takes a flag out of a checkout, and the places that are left to a person."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import Final

from openflagship.references.cleanup import javascript, javascript_names, python, python_names
from openflagship.references.cleanup.flags import Cleaned, Import, Names, Target
from openflagship.references.scanning import Scan

_PYTHON: Final = frozenset({".py", ".pyi"})
_JAVASCRIPT: Final = frozenset({".ts", ".tsx", ".mts", ".cts", ".js", ".jsx", ".mjs", ".cjs"})
_OTHER = "this language is left to you"


@dataclass(frozen=True, slots=True)
class Left:
    path: str
    line: int
    why: str


@dataclass(slots=True)
class Proposal:
    """`diff` is one that `git apply` takes. `left` are the places in the files as they are after it."""

    diff: str = ""
    files: int = 0
    left: list[Left] = field(default_factory=list)


def propose(root: Path, scan: Scan, target: Target) -> Proposal:
    """Take the flag out of each file that the scan found it in. No file is written. The scan has every place."""
    texts = dict(_texts(root, scan, target.key))
    names = {path: _names(path, text, target.key) for path, text in texts.items()}
    proposal = Proposal()
    for path, text in texts.items():
        cleaned = _cleaned(path, text, _with_constants(root, target, path, names))
        if cleaned is None:
            places = scan.found[target.key].places
            proposal.left += [Left(path, place.line, _OTHER) for place in places if place.path == path]
            continue
        proposal.left += [Left(path, each.line, each.why) for each in cleaned.by_hand]
        if cleaned.text != text:
            proposal.files += 1
            proposal.diff += unified(path, text, cleaned.text)
    return proposal


def _texts(root: Path, scan: Scan, key: str) -> Iterable[tuple[str, str]]:
    found = scan.found.get(key)
    for path in dict.fromkeys(place.path for place in found.places) if found else ():
        yield path, (root / path).read_bytes().decode("utf-8", "surrogateescape")


def _names(path: str, text: str, key: str) -> Names:
    suffix = PurePosixPath(path).suffix
    if suffix in _PYTHON:
        return python_names.names_in(path, text, key)
    return javascript_names.names_in(path, text, key) if suffix in _JAVASCRIPT else Names()


def _with_constants(root: Path, target: Target, path: str, names: dict[str, Names]) -> Target:
    """The target with a file's constants: its own, and those that it imports by name from a file that has them."""
    here = names[path]
    constants = here.constants | {each.local for each in here.imports if each.name in _constants_of(root, each, names)}
    anywhere = frozenset[str]().union(*(each.constants for each in names.values()))
    return replace(target, constants=constants, doubtful=(anywhere | here.others) - constants)


def _constants_of(root: Path, imported: Import, names: dict[str, Names]) -> frozenset[str]:
    """Those of the module; none where two files may be it."""
    there = [place for place in imported.places if (root / place).is_file()]
    return names[there[0]].constants if len(there) == 1 and there[0] in names else frozenset()


def _cleaned(path: str, text: str, target: Target) -> Cleaned | None:
    suffix = PurePosixPath(path).suffix
    if suffix in _PYTHON:
        return python.clean(text, target)
    return javascript.clean(text, target) if suffix in _JAVASCRIPT else None


def unified(path: str, before: str, after: str) -> str:
    """A file's part of the diff. Only a line feed ends a line, as git sees it."""
    lines = difflib.unified_diff(_lines(before), _lines(after), f"a/{path}", f"b/{path}")
    return "".join(line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n" for line in lines)


def _lines(text: str) -> list[str]:
    lines = [f"{line}\n" for line in text.split("\n")]
    # The last line has no end; where it is empty the text ends with one.
    last = lines.pop()[:-1]
    return [*lines, last] if last else lines
