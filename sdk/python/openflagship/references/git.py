"""Calls of git, which may be missing. Nothing of the repository's own configuration changes what they print."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Final

# Fixed, so that no setting of a person or a repository changes the form of the answer.
_PLAIN: Final = ("-c", "core.quotePath=false", "-c", "color.ui=false", "-c", "core.fsmonitor=false")
DIFF: Final = (
    "--unified=0", "--no-color", "--no-ext-diff", "--no-textconv", "--no-renames", "--src-prefix=a/", "--dst-prefix=b/",
)  # fmt: skip
_TIMEOUT_SECONDS = 120


class GitError(Exception):
    """Git is missing, this is no repository of it, or it refuses; the message is git's own."""


def git(root: Path, *arguments: str) -> bytes:
    """What git prints. Raises GitError."""
    try:
        done = subprocess.run(  # noqa: S603 - a list, and no shell
            ["git", *_PLAIN, *arguments],  # noqa: S607 - git is where the person has it
            cwd=root,
            capture_output=True,
            timeout=_TIMEOUT_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise GitError(str(error)) from error
    if done.returncode:
        raise GitError(done.stderr.decode(errors="replace").strip() or f"git ended with {done.returncode}")
    return done.stdout


@contextmanager
def streamed(root: Path, *arguments: str) -> Iterator[IO[bytes]]:
    """Git's output while it comes. Git ends with the block, however much it would still have said."""
    try:
        process = subprocess.Popen(  # noqa: S603 - a list, and no shell
            ["git", *_PLAIN, *arguments],  # noqa: S607 - git is where the person has it
            cwd=root,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
    except OSError as error:
        raise GitError(str(error)) from error
    try:
        if process.stdout is None:
            raise GitError("git gives no output")
        yield process.stdout
    finally:
        process.kill()
        process.wait()
        if process.stdout is not None:
            process.stdout.close()
