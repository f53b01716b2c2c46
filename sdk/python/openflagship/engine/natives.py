"""Python's own types as the values that conditions and units read: one conversion for every door of the SDK."""

from __future__ import annotations

import math
import operator
from datetime import date, datetime, timezone
from decimal import Decimal
from enum import Enum
from numbers import Real
from typing import Any, Final
from uuid import UUID

from openflagship.engine.bucketing import MAX_EXACT_INTEGER, unit_text

PLAIN: Final = frozenset({str, int, float, bool, type(None)})
_LISTS: Final = (list, tuple, set, frozenset)


class UntakenError(TypeError):
    """A value that stands for no text, number, boolean or list of these."""


def plain(value: Any) -> Any:
    """The value as text, a number, a boolean, None, or a list of these. Raises UntakenError.

    A datetime without a zone counts as UTC, a date as its midnight in UTC. Numbers become doubles, as they are in every
    language; whole ones stay whole.
    """
    if value.__class__ in PLAIN:
        return value
    if isinstance(value, _LISTS):
        return value if PLAIN.issuperset(map(type, value)) else [_scalar(element) for element in value]
    return _scalar(value)


def _scalar(value: Any) -> Any:
    if isinstance(value, Enum):
        return _scalar(value.value)
    if value is None or isinstance(value, (str, bool, int, float)):
        return value
    if isinstance(value, UUID):
        return str(value)
    if isinstance(value, date):
        return _instant(value)
    if isinstance(value, (Decimal, Real)):
        return _number(value)
    try:
        # Whole numbers of other libraries.
        return operator.index(value)
    except TypeError:
        raise UntakenError(type(value).__name__) from None


def _instant(value: date) -> str:
    if not isinstance(value, datetime):
        value = datetime(value.year, value.month, value.day)  # noqa: DTZ001 - the zone follows
    offset = value.utcoffset()
    if offset is None:
        value = value.replace(tzinfo=timezone.utc)  # noqa: UP017 - Python 3.10
    elif offset.total_seconds() % 60:
        # ISO 8601 has zones of whole minutes; before about 1900 there were others.
        value = value.astimezone(timezone.utc)  # noqa: UP017 - Python 3.10
    return value.isoformat()


def _number(value: Any) -> int | float:
    try:
        number = float(value)
        whole = int(value) if math.isfinite(number) else None
    except OverflowError:
        # More than a double holds: only a whole number of it is exact.
        whole, number = int(value), math.inf
    except ValueError:
        raise UntakenError(type(value).__name__) from None
    if math.isnan(number):
        raise UntakenError(f"{type(value).__name__} that is no number")
    return whole if whole is not None and whole == value else number


def unit_of_native(value: Any) -> str | None:
    """The unit that a value of Python's stands for, exactly; None where it is none.

    Integers are exact at any size here. In JSON (`unit_text`) they are doubles, and end at 2^53.
    """
    try:
        given = plain(value)
    except UntakenError:
        return None
    if isinstance(given, int) and not isinstance(given, bool) and abs(given) > MAX_EXACT_INTEGER:
        return str(int(given))
    return unit_text(given)
