"""The diff that takes a flag out of a checkout, and the places that are left to a person."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Final

from openflagship.references.cleanup import javascript, python
from openflagship.references.cleanup.flags import Cleaned, Target
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
    """Take the flag out of each file that the scan found it in. No file is written."""
    texts = dict(_texts(root, scan, target.key))
    target = Target(target.key, target.value, frozenset(_constants(texts, target)), target.calls)
    proposal = Proposal()
    for path, text in texts.items():
        cleaned = _cleaned(path, text, target)
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


def _constants(texts: dict[str, str], target: Target) -> Iterable[str]:
    yield from target.constants
    for path, text in texts.items():
        suffix = PurePosixPath(path).suffix
        if suffix in _PYTHON:
            yield from python.constants_in(text, target.key)
        elif suffix in _JAVASCRIPT:
            yield from javascript.constants_in(text, target.key)


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
