"""ISO 8601 instants as Unix milliseconds."""

from __future__ import annotations

import re
from datetime import date
from functools import lru_cache

_PATTERN = re.compile(
    r"([0-9]{4})-([0-9]{2})-([0-9]{2})T([0-9]{2}):([0-9]{2})(?::([0-9]{2})(?:\.([0-9]+))?)?"
    r"(?:Z|([+-])([0-9]{2})(?::?([0-9]{2}))?)"
)
_EPOCH_DAY = date(1970, 1, 1).toordinal()
_LONGEST_REMEMBERED = 40


def instant_ms(text: str) -> int | None:
    """Unix milliseconds of an ISO 8601 instant with a zone; None for other text, or a date that does not exist.

    Digits past the milliseconds are ignored, as they are in other languages.
    """
    return _remembered_ms(text) if len(text) <= _LONGEST_REMEMBERED else None


def _milliseconds(text: str) -> int | None:
    match = _PATTERN.fullmatch(text)
    if match is None:
        return None
    year, month, day, hour, minute, second, fraction, sign, zone_hours, zone_minutes = match.groups()
    hours, minutes, seconds = int(hour), int(minute), int(second or 0)
    offset = int(zone_hours or 0) * 60 + int(zone_minutes or 0)
    if hours > 23 or minutes > 59 or seconds > 59 or int(zone_hours or 0) > 23 or int(zone_minutes or 0) > 59:
        return None
    try:
        days = date(int(year), int(month), int(day)).toordinal() - _EPOCH_DAY
    except ValueError:
        return None
    if sign == "-":
        offset = -offset
    milliseconds = int((fraction or "0")[:3].ljust(3, "0"))
    return (((days * 24 + hours) * 60 + minutes - offset) * 60 + seconds) * 1000 + milliseconds


_remembered_ms = lru_cache(maxsize=1024)(_milliseconds)
