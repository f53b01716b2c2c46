"""How the console writes figures: numbers, counts of things, durations, p-values and instants.

An instant is UTC in the markup and the tooltip. The page's script shows it in the viewer's zone.
"""

from datetime import UTC, datetime

from django.utils.html import format_html
from django.utils.safestring import SafeString

UNKNOWN = "-"
_LEAST_P = 0.0001
_SECOND, _MINUTE, _HOUR = 1_000, 60_000, 3_600_000
# From so many days on, weeks and years are what one reads.
_MOST_DAYS, _MOST_WEEKS_DAYS = 60, 730


def moment(value: datetime | None) -> SafeString | str:
    """Return a `<time>` element, or "never"."""
    if value is None:
        return "never"
    utc = value.astimezone(UTC)
    return format_html(
        '<time datetime="{}" title="{} UTC">{} UTC</time>',
        utc.isoformat(timespec="seconds"),
        utc.strftime("%Y-%m-%d %H:%M:%S"),
        utc.strftime("%Y-%m-%d %H:%M"),
    )


def figure(value: float | None) -> str:
    """Return a plain number with a fitting number of digits."""
    if value is None:
        return UNKNOWN
    return f"{value:,}" if isinstance(value, int) else f"{value:,.4g}"


def counted(count: int, noun: str, plural: str = "") -> str:
    """Return the number with its noun: "1 flag", "2,000 flags"."""
    return f"{count:,} {noun if count == 1 else plural or f'{noun}s'}"


def duration(milliseconds: float | None) -> str:
    """Return "345 ms", "4.2 s", "45 s", "3 min 5 s" or "2 h 10 min"."""
    if milliseconds is None:
        return UNKNOWN
    if milliseconds < _SECOND:
        return f"{milliseconds:.0f} ms"
    if milliseconds < 10 * _SECOND:
        return f"{milliseconds / _SECOND:.1f} s"
    if milliseconds < _MINUTE:
        return f"{milliseconds / _SECOND:.0f} s"
    large, small, rest, size = ("h", "min", milliseconds % _HOUR, _MINUTE)
    whole = milliseconds // _HOUR
    if milliseconds < _HOUR:
        large, small, rest, size, whole = "min", "s", milliseconds % _MINUTE, _SECOND, milliseconds // _MINUTE
    tail = f" {rest // size:.0f} {small}" if rest >= size else ""
    return f"{whole:,.0f} {large}{tail}"


def days(count: int | None) -> str:
    """Return a number of days as one plans with it: "12 days", "20 weeks", "113 years"."""
    if count is None:
        return UNKNOWN
    if count <= _MOST_DAYS:
        return counted(count, "day")
    if count <= _MOST_WEEKS_DAYS:
        return counted(round(count / 7), "week")
    return counted(round(count / 365), "year")


def p_value(value: float | None) -> str:
    if value is None:
        return UNKNOWN
    return f"< {_LEAST_P}" if value < _LEAST_P else f"{value:.4f}"


def p_said(value: float | None) -> str:
    """Return a p-value within a sentence: "p = 0.0312" or "p < 0.0001"."""
    written = p_value(value)
    return f"p {written}" if written.startswith("<") else f"p = {written}"
