"""Reading the values of another product's file: keys, lists, texts and weights."""

import re
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from tenancy.errors import Invalid


def key_of(text: Any, fallback: str) -> str:
    """Return the text as a key. Characters that a key may not have become hyphens."""
    key = re.sub(r"[^A-Za-z0-9._-]+", "-", str(text or "")).strip("-._")[:100]
    return key or fallback


def unique(key: str, taken: set[str]) -> str:
    """Return the key, with a number if it is taken, and add it to `taken`."""
    found, number = key, 2
    while found in taken:
        suffix = f"-{number}"
        found, number = key[: 100 - len(suffix)] + suffix, number + 1
    taken.add(found)
    return found


def refuse_other_environment(wanted: str | None, known: Collection[str]) -> None:
    """Raise Invalid where an environment is asked for that the file does not have."""
    if wanted is None or wanted in known:
        return
    there = f"It has: {', '.join(known)}." if known else "It names no environment; leave sourceEnvironment out."
    raise Invalid(
        f"The file has no environment {wanted!r}. {there}", attr="sourceEnvironment", code="unknown_environment"
    )


def chosen_environment(wanted: str | None, known: Sequence[str]) -> str | None:
    """Return the environment to read from a file: the one asked for, or the only one. Raises Invalid."""
    refuse_other_environment(wanted, known)
    if wanted is None and len(known) > 1:
        raise Invalid(
            f"The file has the environments {', '.join(known)}; say which with sourceEnvironment.",
            attr="sourceEnvironment",
            code="required",
        )
    return wanted or (known[0] if known else None)


def objects(value: Any, attr: str) -> list[dict[str, Any]]:
    """Return a list of objects, empty if it is missing. Raises Invalid if it is anything else."""
    if value is None:
        return []
    items = list(value.values()) if isinstance(value, Mapping) else value
    if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
        raise Invalid(
            "The file does not have the form of that product's export.", attr=f"data.{attr}", code="unreadable"
        )
    return items


def id_of(value: Any) -> str | int | None:
    """Return an id that other parts of the file name: text, a whole number, or None where it is missing.

    Raises Invalid for anything else.
    """
    if value is None or (isinstance(value, (str, int)) and not isinstance(value, bool)):
        return value
    raise Invalid(
        f"An id in the file is {str(value)[:40]!r}; it has to be text or a number.", attr="data", code="unreadable"
    )


def texts(value: Any) -> list[str]:
    """Return the items of a list as text. Anything else has no items."""
    return [str(item) for item in value if item not in (None, "")] if isinstance(value, list) else []


def basis_points(value: Any, per: float) -> int | None:
    """Return a weight as basis points of `per`, or None if it is not a weight."""
    if isinstance(value, str):
        try:
            value = float(value)
        except ValueError:
            return None
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value <= per:
        return None
    return round(value * 10_000 / per)


def lay_out(shares: list[tuple[str, int]]) -> list[list[Any]]:
    """Turn (variant, basis points) into ranges from bucket 0 on. What rounding made too large is cut off at the end."""
    ranges: list[list[Any]] = []
    start = 0
    for variant, width in shares:
        end = min(10_000, start + width)
        if end > start:
            ranges.append([start, end, variant])
            start = end
    return ranges


def type_of(values: list[Any]) -> str:
    """Return the type of a flag that has these values."""
    if len(values) == 2 and all(isinstance(value, bool) for value in values):
        return "boolean"
    if all(isinstance(value, str) for value in values):
        return "string"
    if all(isinstance(value, (int, float)) and not isinstance(value, bool) for value in values):
        return "number"
    return "json"
