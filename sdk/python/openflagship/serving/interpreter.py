"""How the interpreter of a process that answers is set, so that neither threads nor collections hold requests up."""

from __future__ import annotations

import gc
import sys
from typing import Final

# A thread that holds the interpreter gives it up after so long; an evaluation waits for it a few times.
SWITCH_SECONDS: Final = 0.001


def switch_often() -> None:
    """For processes with threads beside the loop that answers."""
    sys.setswitchinterval(SWITCH_SECONDS)


def settle() -> None:
    """Let the collector pass over what has been loaded by now: it stays.

    To look through ten thousand flags holds up a request, and takes a seventh of the time of a page.
    """
    gc.unfreeze()
    gc.collect()
    gc.freeze()
