"""ISO 8601 durations of days, hours, minutes and seconds: P1D, PT1H30M, P2W. Months and years have no fixed length."""

import re
from datetime import timedelta
from typing import Final

_FORM: Final = re.compile(
    r"P(?:(?P<weeks>\d{1,4})W)?(?:(?P<days>\d{1,5})D)?"
    r"(?:T(?=\d)(?:(?P<hours>\d{1,5})H)?(?:(?P<minutes>\d{1,6})M)?(?:(?P<seconds>\d{1,7})S)?)?\Z"
)
_UNITS: Final = (("D", 86_400), ("H", 3_600), ("M", 60), ("S", 1))


def parse_duration(text: str) -> timedelta | None:
    """Return the duration; None for a text that is none."""
    match = _FORM.match(text)
    parts = {name: int(value) for name, value in match.groupdict().items() if value} if match else {}
    return timedelta(**parts) if parts else None


def format_duration(duration: timedelta) -> str:
    left, parts = int(duration.total_seconds()), {}
    for unit, seconds in _UNITS:
        parts[unit], left = divmod(left, seconds)
    time = "".join(f"{parts[unit]}{unit}" for unit in "HMS" if parts[unit])
    days = f"{parts['D']}D" if parts["D"] else ""
    return f"P{days}" if days and not time else f"P{days}T{time or '0S'}"


def duration_in_words(duration: timedelta) -> str:
    """As `1 day 12 hours`."""
    left, words = int(duration.total_seconds()), []
    for noun, seconds in (("day", 86_400), ("hour", 3_600), ("minute", 60), ("second", 1)):
        count, left = divmod(left, seconds)
        if count:
            words.append(f"{count} {noun}{'s' if count > 1 else ''}")
    return " ".join(words) or "no time"
