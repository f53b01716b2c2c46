"""What a process remembers from one request to the next: each singleton registers how it begins anew.

Tests call `reset_all` between them. A test's database goes back to its beginning and counts its revisions anew, so what
an earlier test left in memory could be taken for the present one's.
"""

from collections.abc import Callable

_resets: list[Callable[[], object]] = []


def on_reset(reset: Callable[[], object]) -> None:
    """Register the function that makes a memory of this process as empty as at the start."""
    _resets.append(reset)


def reset_all() -> None:
    """Make this process as one that has just begun."""
    for reset in _resets:
        reset()
