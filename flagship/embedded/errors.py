"""The one exception of the embedded services, and the lines of a failed server's log that explain it."""

from __future__ import annotations

from pathlib import Path

LOG_TAIL_LINES = 15


class EmbeddedError(RuntimeError):
    """The embedded services cannot run; the message names the path and the remedy."""


def log_tail(path: Path, *, since_byte: int = 0) -> str:
    """Return the last lines of a server's log, indented for a message, or a sentence if there are none."""
    try:
        with path.open("rb") as log:
            log.seek(since_byte)
            lines = log.read().decode("utf-8", errors="replace").splitlines()
    except OSError as error:
        return f"  (its log {path} cannot be read: {error.strerror})"
    if not lines:
        return f"  (its log {path} is empty)"
    return "\n".join([f"  last lines of {path}:", *(f"  | {line}" for line in lines[-LOG_TAIL_LINES:])])
