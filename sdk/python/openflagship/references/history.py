"""What a history of diffs says of flags: since when one is gone, and what a branch adds and takes away."""

from __future__ import annotations

import re
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import PurePosixPath
from typing import IO, Final

from openflagship.references.git import DIFF, git, streamed
from openflagship.references.ignoring import OWN, Ignore
from openflagship.references.matching import Matcher
from openflagship.references.scanning import Checkout, is_generated

MOST_COMMITS: Final = 5_000
MOST_SECONDS: Final = 60.0
_HUNK = re.compile(rb"@@ -\d+(?:,(\d+))? \+\d+(?:,(\d+))? @@")
_ESCAPED = re.compile(rb"\\([0-7]{3}|.)", re.DOTALL)
_ESCAPES: Final = {b"a": b"\a", b"b": b"\b", b"f": b"\f", b"n": b"\n", b"r": b"\r", b"t": b"\t", b"v": b"\v"}
# A line that no diff contains: text there begins with a space, a plus or a minus.
_COMMIT = b"commit\0"


@dataclass(slots=True)
class FileDiff:
    """The lines that one commit took out of a file and put into it, joined."""

    path: str
    revision: str = ""
    at: str = ""
    removed: list[bytes] = field(default_factory=list)
    added: list[bytes] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Gone:
    at: datetime
    revision: str


@dataclass(frozen=True, slots=True)
class Change:
    """How many lines that refer to a flag a branch adds and removes."""

    added: int
    removed: int


def gone_since(
    checkout: Checkout,
    matcher: Matcher,
    keys: Iterable[str],
    *,
    most_commits: int = MOST_COMMITS,
    most_seconds: float = MOST_SECONDS,
) -> dict[str, Gone]:
    """When the last reference to each of these flags was taken out, for those whose commit is near enough.

    `keys` have no reference in the checkout, so the newest commit that takes one out took the last. The history is
    read once for all of them, along first parents: the date is that on which a merge brought it here. The answer is
    partial where the limits end the search, and in a shallow clone.
    """
    missing = set(keys)
    found: dict[str, Gone] = {}
    until = time.monotonic() + most_seconds
    if not missing:
        return found
    log = ("log", "--first-parent", "-m", "-p", *DIFF, f"--max-count={most_commits}", "--format=commit%x00%H%x00%cI")
    with streamed(checkout.root, *log, "HEAD", "--", *checkout.folders) as output:
        for diff in _counted(checkout, file_diffs(output)):
            if diff.removed:
                for hit in matcher.hits(b"\n".join(diff.removed), PurePosixPath(diff.path).suffix):
                    if hit.key in missing:
                        missing.discard(hit.key)
                        # Python 3.10 does not read the Z of newer gits.
                        found[hit.key] = Gone(datetime.fromisoformat(diff.at.replace("Z", "+00:00")), diff.revision)
            if not missing or time.monotonic() > until:
                break
    return found


def changes(checkout: Checkout, matcher: Matcher, base: str) -> dict[str, Change]:
    """What the checkout's HEAD adds to and takes from its common ancestor with `base`. Raises GitError."""
    ancestor = git(checkout.root, "merge-base", base, "HEAD").decode().strip()
    added: Counter[str] = Counter()
    removed: Counter[str] = Counter()
    # Read whole, so that a failure of git is one of the command.
    text = git(checkout.root, "diff", *DIFF, ancestor, "HEAD", "--", *checkout.folders)
    for diff in _counted(checkout, file_diffs(iter(text.splitlines(keepends=True)))):
        suffix = PurePosixPath(diff.path).suffix
        added.update(hit.key for hit in matcher.hits(b"\n".join(diff.added), suffix))
        removed.update(hit.key for hit in matcher.hits(b"\n".join(diff.removed), suffix))
    return {key: Change(added[key], removed[key]) for key in {*added, *removed}}


def _counted(checkout: Checkout, diffs: Iterator[FileDiff]) -> Iterator[FileDiff]:
    """Those of files that a scan would read: what stood in others was no reference."""
    left_out = Ignore(checkout.root, (OWN,), checkout.settings.ignore)
    for diff in diffs:
        is_plain = diff.path not in left_out and not is_generated(b"\n".join([*diff.removed[:3], *diff.added[:3]]))
        if is_plain:
            yield diff


def file_diffs(lines: Iterable[bytes] | IO[bytes]) -> Iterator[FileDiff]:
    """Read git's unified diff without context, of one comparison or of many commits."""
    current: FileDiff | None = None
    revision = at = ""
    removed = added = 0
    for line in lines:
        # Lines of a hunk are counted, because a removed one may look like any other line of a diff.
        if removed and line.startswith(b"-") and current:
            removed -= 1
            current.removed.append(line[1:].rstrip(b"\r\n"))
        elif added and line.startswith(b"+") and current:
            added -= 1
            current.added.append(line[1:].rstrip(b"\r\n"))
        elif line.startswith(b"@@ ") and (hunk := _HUNK.match(line)):
            removed, added = (int(count) if count is not None else 1 for count in hunk.groups())
        elif line.startswith(b"diff --git "):
            if current:
                yield current
            current = FileDiff("", revision, at)
        elif line.startswith((b"--- ", b"+++ ")) and current:
            current.path = _path_of(line[4:]) or current.path
        elif line.startswith(_COMMIT):
            if current:
                yield current
                current = None
            revision, at = line[len(_COMMIT) :].decode().strip().split("\0")
    if current:
        yield current


def _path_of(name: bytes) -> str:
    """The path from the root; "" for /dev/null, which stands for a file that is not there."""
    # Git ends a name with a tab where it contains a space.
    name = name.rstrip(b"\r\n").removesuffix(b"\t")
    if name.startswith(b'"'):
        # Quotes, backslashes and control characters in a name are written as C writes them.
        name = _ESCAPED.sub(_unescaped, name[1:-1])
    return name[2:].decode("utf-8", "surrogateescape") if name.startswith((b"a/", b"b/")) else ""


def _unescaped(found: re.Match[bytes]) -> bytes:
    text = found[1]
    return bytes([int(text, 8)]) if text.isdigit() else _ESCAPES.get(text, text)
