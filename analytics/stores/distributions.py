"""Distributions of figures, for questions that sums cannot answer: quantiles, and caps by a share of units."""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import numpy as np

from analytics.stores.pairs import Pairing

Rows = np.ndarray[Any, np.dtype[np.void]]


class Scope(StrEnum):
    """What the figures are of: each event that has a value, or each unit."""

    EVENTS = "events"
    UNITS = "units"


# The columns as stored: the figures, then counts, which add up. A value of events has further counts. One is of the
# units whose least value it is. For the k-th least of a unit's b values, the others sum 2k - 1 and b. Added up to any
# value, with a the unit's events up to it, they give the sums over units of a * a and of a * b.
_STORED = {
    Scope.EVENTS: [("value", ">f8"), ("events", ">i8"), ("units", ">i8"), ("squares", ">i8"), ("products", ">i8")],
    Scope.UNITS: [("y", ">f8"), ("x", ">f8"), ("units", ">i8")],
}
FIGURES = {Scope.EVENTS: ("value",), Scope.UNITS: ("y", "x")}


@dataclass(frozen=True, slots=True)
class Distribution:
    """The values of a pairing's y, event by event, or both figures, unit by unit.

    The figures are not capped, and events have no x. Units whose figures are 0 have no row; the number of units
    includes them.
    """

    scope: Scope
    pairing: Pairing

    @property
    def cache_key(self) -> str:
        return json.dumps([self.scope, self.pairing.cache_key], separators=(",", ":"))


@dataclass(frozen=True, slots=True, eq=False)
class Distributed:
    """`rows` are in the order of their figures, each of which occurs once. `columns_of` names the columns."""

    units: int
    rows: Rows
    late: int = 0

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, Distributed)
            and (self.units, self.late) == (other.units, other.late)
            and np.array_equal(self.rows, other.rows)
        )

    __hash__ = None  # type: ignore[assignment]


def columns_of(scope: Scope) -> list[str]:
    return [name for name, _ in _STORED[scope]]


def packed_rows(scope: Scope, packed: bytes | memoryview) -> Rows:
    """Read rows from the columns as PostgreSQL's `float8send` and `int8send` write them, one row after the other."""
    return np.frombuffer(packed, dtype=_STORED[scope])


def rows_of(scope: Scope, columns: Iterable[Iterable[Any]]) -> Rows:
    found = [np.array(list(column)) for column in columns]
    rows = np.empty(found[0].size, dtype=_STORED[scope])
    for name, column in zip(columns_of(scope), found, strict=True):
        rows[name] = column
    return rows


def merged(scope: Scope, parts: Iterable[tuple[int, Rows]]) -> Rows:
    """Return one row for each figure with the counts of all parts. The counts of parts with sign -1 are subtracted."""
    native = np.dtype([(name, kind[1:]) for name, kind in _STORED[scope]])
    signed = [(sign, rows) for sign, rows in parts if rows.size]
    if not signed:
        return np.empty(0, dtype=native)
    figures = [np.concatenate([rows[name] for _, rows in signed]).astype("f8") for name in FIGURES[scope]]
    order = np.lexsort(figures[::-1])
    figures = [figure[order] for figure in figures]
    differs = np.logical_or.reduce([figure[1:] != figure[:-1] for figure in figures])
    starts = np.concatenate([[0], np.flatnonzero(differs) + 1])
    found = np.empty(starts.size, dtype=native)
    for name in native.names or ():
        if name in FIGURES[scope]:
            found[name] = figures[FIGURES[scope].index(name)][starts]
        else:
            counts = np.concatenate([sign * rows[name].astype("i8") for sign, rows in signed])
            found[name] = np.add.reduceat(counts[order], starts)
    return found[found["events" if scope is Scope.EVENTS else "units"] != 0]
