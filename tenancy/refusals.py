"""Refusals that every door shares: a stale version, fields that do not exist, values that nothing can carry."""

import json
from collections.abc import Collection, Iterable, Mapping
from datetime import datetime
from typing import Any, Final

from openflagship.wire.bodies import text_problem

from audit.export_formats import json_bytes
from tenancy.errors import Conflict, Invalid, Problem

_MOST_LEVELS = 64
# jsonb returns larger numbers as integers that 64 bits do not hold, and that JSON libraries refuse.
LARGEST_NUMBER: Final = 2**63 - 1
MOST_TEXT: Final = 100_000
# It could be meant in any zone, so none is put on it.
NEEDS_ZONE: Final = "Give an instant with its zone, such as 2027-03-01T08:00:00Z."
_MOST_PROBLEMS = 50


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


def refuse_read_only(sent: Mapping[str, Any], current: Mapping[str, Any], remedies: Mapping[str, str]) -> None:
    """Raise Invalid `read_only` for a field that is only shown and was sent with another value than it has.

    A client may send back what it read. `remedies` names the fields, and for each what changes it. `version` is the
    version that was read, and no field of this kind.
    """
    refuse_if_any([
        Problem(name, "read_only", remedy or "This is only shown; leave it out.")
        for name, remedy in remedies.items()
        if name in sent and name in current and json.loads(json_bytes(current[name])) != sent[name]
    ])  # fmt: skip


def value_problems(data: Any, *, numbers_unchecked: Collection[str] = ()) -> list[Problem]:
    """Return what no field of a document may hold: text or numbers that cannot be stored, and nesting without end.

    Every store, every reader and every export can carry whatever passes. `numbers_unchecked` names fields with parts
    that are checked one by one, so that one of them does not refuse the others.
    """
    problems: list[Problem] = []
    # By hand: a function that calls itself would exhaust its stack.
    waiting: list[tuple[str, Any, int]] = [("", data, 0)]
    while waiting and len(problems) < _MOST_PROBLEMS:
        path, value, level = waiting.pop()
        if level > _MOST_LEVELS:
            raise Invalid(f"Nest at most {_MOST_LEVELS} levels deep.", attr=_top(path), code="too_deep")
        if isinstance(value, str):
            problems += text_problems(path, value)
        elif isinstance(value, (int, float)) and not isinstance(value, bool):
            problems += [] if _top(path) in numbers_unchecked else number_problems(path, value)
        elif isinstance(value, list):
            waiting += [(f"{path}[{index}]", item, level + 1) for index, item in reversed(list(enumerate(value)))]
        elif isinstance(value, dict):
            for name in reversed(value):
                here = f"{path}.{name}" if path else name
                if problem := text_problem(name):
                    shown = here.replace("\x00", "�").encode(errors="replace").decode()
                    problems.append(Problem(shown, *problem))
                else:
                    waiting.append((here, value[name], level + 1))
    return problems


def _top(path: str) -> str:
    return path.partition(".")[0].partition("[")[0]


def text_problems(attr: str, text: str) -> list[Problem]:
    """Return what is wrong with a text, whatever its field."""
    if problem := text_problem(text):
        return [Problem(attr, *problem)]
    if len(text) > MOST_TEXT:
        return [Problem(attr, "max_length", f"A text has at most {MOST_TEXT:,} characters.")]
    return []


def number_problems(attr: str, value: float) -> list[Problem]:
    """Return what is wrong with a number, whatever its field."""
    # As a float the bound is one more, so a float has to stay below it. No comparison is true of what is no number.
    is_small = (
        -LARGEST_NUMBER - 1 <= value < LARGEST_NUMBER
        if isinstance(value, float)
        else (-LARGEST_NUMBER - 1 <= value <= LARGEST_NUMBER)
    )
    if is_small:
        return []
    return [Problem(attr, "out_of_range", "Use a number that 64 bits hold: between -9.2e18 and 9.2e18.")]


def instant_problems(attr: str, value: Any) -> list[Problem]:
    """Return what is wrong with an instant, whatever its field; other values pass."""
    if not isinstance(value, datetime) or 1970 <= value.year <= 2100:
        return []
    return [Problem(attr, "out_of_range", "Use an instant from 1970 to 2100.")]
