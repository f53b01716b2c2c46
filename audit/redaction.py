"""Leaving a person's id out of the rows that erasing it writes: the log can forget nothing later."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

_redacted: ContextVar[tuple[str, str] | None] = ContextVar("redacted", default=None)


@contextmanager
def redacting(text: str, by: str) -> Iterator[None]:
    """Within it, rows have `by` wherever their states would have exactly this text."""
    token = _redacted.set((text, by))
    try:
        yield
    finally:
        _redacted.reset(token)


def redact(value: Any) -> Any:
    found = _redacted.get()
    return value if found is None else _replaced(value, *found)


def _replaced(value: Any, text: str, by: str) -> Any:
    if isinstance(value, dict):
        return {name: _replaced(item, text, by) for name, item in value.items()}
    if isinstance(value, list):
        return [_replaced(item, text, by) for item in value]
    return by if value == text else value
