"""The registry of singletons that remember something between requests: each registers how it is reset.

`reset_all` runs before each test. Each test's database counts its revisions from the beginning. A revision that an
earlier test left in memory could be taken for one of the present test.
"""

from collections.abc import Callable

_resets: list[Callable[[], object]] = []


def on_reset(reset: Callable[[], object]) -> None:
    """Register a function that resets a memory of this process to its state at the start."""
    _resets.append(reset)


def reset_all() -> None:
    """Reset every memory that is registered."""
    for reset in _resets:
        reset()
