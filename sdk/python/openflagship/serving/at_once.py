"""Coroutines that wait for nothing, run without an event loop's task: one costs as much as an evaluation."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any, TypeVar

Answer = TypeVar("Answer")


class WaitsError(RuntimeError):
    """The coroutine waits for something, and must not."""


def run_at_once(acting: Coroutine[Any, Any, Answer]) -> Answer:
    """Its result. Raises what it raises, and WaitsError where it waits, after which it is closed."""
    try:
        acting.send(None)
    except StopIteration as done:
        result: Answer = done.value
        return result
    acting.close()
    raise WaitsError(f"{acting!r} waits for something, and must not")
