"""Refusals that every service shares: a version that is stale, and fields that do not exist."""

from collections.abc import Iterable, Mapping
from typing import Any

from tenancy.errors import Conflict, Invalid, Problem


def refuse_stale(noun: str, current: Mapping[str, Any], version: int | None) -> None:
    """Raise Conflict `version_conflict` with the current state unless `version` is its version; None skips it."""
    if version is not None and version != current["version"]:
        raise Conflict(
            f"The {noun} is at version {current['version']}, and you changed version {version}. Read it again, and "
            "apply your change to what is there now.",
            code="version_conflict",
            attr="version",
            current=current,
        )


def refuse_if_any(problems: list[Problem]) -> None:
    """Raise Invalid where there is any problem."""
    if problems:
        raise Invalid(problems)


def refuse_unknown(sent: Iterable[str], known: Iterable[str]) -> None:
    """Raise Invalid `unknown_field` for each field that is none of `known`."""
    refuse_if_any(unknown_fields(sent, known))


def unknown_fields(sent: Iterable[str], known: Iterable[str], *, within: str = "") -> list[Problem]:
    """Return a problem for each field of `sent` that is none of `known`; `within` is the path of their object."""
    allowed = set(known)
    path = f"{within}." if within else ""
    return [Problem(f"{path}{name}", "unknown_field", unknown_field(name)) for name in sent if name not in allowed]


def unknown_field(name: str) -> str:
    """Return the message for a field that does not exist."""
    return f"There is no field {name!r}; leave it out."
