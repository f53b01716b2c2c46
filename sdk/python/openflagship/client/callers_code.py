"""Functions that a caller gives: they are called plainly, so a coroutine function would do nothing."""

from __future__ import annotations

import asyncio
import inspect
from typing import Any


def is_coroutine_function(function: Any) -> bool:
    """Whether a call of it gives a coroutine, which nobody here would wait for."""
    is_one = inspect.iscoroutinefunction
    return is_one(function) or (callable(function) and is_one(type(function).__call__))


def check_done(result: object) -> None:
    """Raises TypeError for what a call gave and still wants to be waited for. A task runs by itself."""
    if inspect.isawaitable(result) and not asyncio.isfuture(result):
        close = getattr(result, "close", None)
        if close is not None:
            close()
        raise TypeError("it is a coroutine function, and nobody waits for it: give a plain function")
