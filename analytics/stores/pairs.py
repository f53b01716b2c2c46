"""One or two figures of each unit, summed up. Rates, counts and totals need them, as do ratios, caps and CUPED."""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from enum import StrEnum
from fractions import Fraction
from typing import Any


class Kind(StrEnum):
    """The kind of a unit's figure.

    An amount counts an event without a value as 1, unless a property is named as its value.
    """

    CONVERTED = "converted"
    COUNT = "count"
    TOTAL = "total"
    AMOUNT = "amount"


@dataclass(frozen=True, slots=True)
class Figure:
    """A unit's figure. With `value_property`, that number in an event's properties is its value; `cap` is per unit."""

    kind: Kind
    event_name: str
    value_property: str = ""
    cap: float | None = None

    @property
    def cap_micros(self) -> int | None:
        return None if self.cap is None else round(self.cap * 10**6)


@dataclass(frozen=True, slots=True)
class Pairing:
    """Pairs y and x of a unit. Events count within `window` of t0, before until + grace, if received by then.

    With `before`, x is about the events of that time before t0 instead. The figures themselves do not depend on
    `grace`.
    """

    y: Figure
    x: Figure | None
    window: timedelta
    grace: timedelta
    before: timedelta = timedelta(0)

    @property
    def event_names(self) -> list[str]:
        return sorted({figure.event_name for figure in (self.y, self.x) if figure is not None})

    @property
    def cache_key(self) -> str:
        """Return a text of everything that decides the figures. A roll-up of them is found by it."""
        figures = [
            None if figure is None else [figure.kind, figure.event_name, figure.value_property, figure.cap_micros]
            for figure in (self.y, self.x)
        ]
        lengths = [length // timedelta(milliseconds=1) for length in (self.window, self.before)]
        return json.dumps([*figures, *lengths], ensure_ascii=False, separators=(",", ":"))


@dataclass(frozen=True, slots=True)
class Breakdown:
    """A pairing by an attribute: the text, number or boolean at the unit's first exposure that carried it."""

    pairing: Pairing
    attribute: str

    @property
    def cache_key(self) -> str:
        return json.dumps([self.attribute, self.pairing.cache_key], ensure_ascii=False, separators=(",", ":"))


# Keyed by the name of an attribute's value (None for units without one), then by variant.
Segments = dict[str | None, dict[str, "PairSummary"]]


@dataclass(frozen=True, slots=True)
class PairSummary:
    """Over `n` units: sums, means and (co)variation around the means of y and x. A unit without events has zeros.

    The figures come exactly from whole millionths and are rounded once, so every store gives the same.
    """

    n: int
    sum_y: float
    mean_y: float
    mean_x: float
    m2_y: float
    m2_x: float
    c_xy: float
    above_cap: int = 0
    late: int = 0

    @classmethod
    def from_micros(  # noqa: PLR0917 - the columns of one row of the stores' queries
        cls,
        n: int,
        y: int | Decimal,
        yy: int | Decimal,
        x: int | Decimal,
        xx: int | Decimal,
        xy: int | Decimal,
        above_cap: int,
        late: int,
    ) -> "PairSummary":
        """Make it from sums of millionths, and of their squares and products, over at least one unit."""
        y, yy, x, xx, xy = (int(value) for value in (y, yy, x, xx, xy))

        def around(products: int, left: int, right: int) -> float:
            return float(Fraction(n * products - left * right, n * 10**12))

        return cls(
            n=n,
            sum_y=float(Fraction(y, 10**6)),
            mean_y=float(Fraction(y, n * 10**6)),
            mean_x=float(Fraction(x, n * 10**6)),
            m2_y=around(yy, y, y),
            m2_x=around(xx, x, x),
            c_xy=around(xy, x, y),
            above_cap=above_cap,
            late=late,
        )


def segment_name(value: str | float) -> str:
    """Return the value's name. `1` and `1.0` are the same number, as in a condition."""
    if isinstance(value, bool):
        return str(value).lower()
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def summaries_by_segment(rows: Iterable[tuple[Any, ...]]) -> Segments:
    """Sum up rows of (JSON value or nothing, variant, then what `from_micros` takes). Values may share a name."""
    sums: dict[tuple[str | None, str], list[int]] = {}
    for text, variant, *figures in rows:
        key = (segment_name(json.loads(text)) if text else None, variant)
        known = sums.get(key, [0] * len(figures))
        sums[key] = [total + int(figure) for total, figure in zip(known, figures, strict=True)]
    found: Segments = {}
    for (name, variant), totals in sums.items():
        found.setdefault(name, {})[variant] = PairSummary.from_micros(*totals)
    return found
