"""What the converters share: notes on what was lost, keys that fit our syntax, defensive reading of others' files."""

import re
from collections.abc import Mapping
from typing import Any

from tenancy.errors import Invalid


class Notes:
    """Collects what could not be carried over."""

    def __init__(self) -> None:
        self.found: list[dict[str, Any]] = []

    def add(self, entity: str, key: str | None, detail: str) -> None:
        self.found.append({"entity": entity, "key": key, "detail": detail})


class NotExpressibleError(Exception):
    """A condition has no counterpart here; whoever holds it must be left out."""


def key_of(text: Any, fallback: str) -> str:
    """Return the text as a key of ours: other characters become hyphens."""
    key = re.sub(r"[^A-Za-z0-9._-]+", "-", str(text or "")).strip("-._")[:100]
    return key or fallback


def unique(key: str, taken: set[str]) -> str:
    """Return the key, numbered where it is taken, and take it."""
    found, number = key, 2
    while found in taken:
        suffix = f"-{number}"
        found, number = key[: 100 - len(suffix)] + suffix, number + 1
    taken.add(found)
    return found


def objects(value: Any, attr: str) -> list[dict[str, Any]]:
    """Return a list of objects that may be missing. Raises Invalid where it is anything else."""
    if value is None:
        return []
    items = list(value.values()) if isinstance(value, Mapping) else value
    if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
        raise Invalid(
            "The file does not have the form of that product's export.", attr=f"data.{attr}", code="unreadable"
        )
    return items


def texts(value: Any) -> list[str]:
    """Return a list's items as text; anything else is no items."""
    return [str(item) for item in value if item not in (None, "")] if isinstance(value, list) else []


def basis_points(value: Any, per: float) -> int | None:
    """Return a weight as basis points where `per` is the whole; None where it is no weight."""
    if isinstance(value, str):
        try:
            value = float(value)
        except ValueError:
            return None
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value <= per:
        return None
    return round(value * 10_000 / per)


def lay_out(shares: list[tuple[str, int]]) -> list[list[Any]]:
    """Lay (variant, basis points) out from bucket 0 on; what rounding made too much is cut off at the end."""
    ranges: list[list[Any]] = []
    start = 0
    for variant, width in shares:
        end = min(10_000, start + width)
        if end > start:
            ranges.append([start, end, variant])
            start = end
    return ranges
