"""Argument types that several commands share."""

from argparse import ArgumentTypeError
from datetime import UTC, date, datetime

from django.utils.dateparse import parse_date, parse_datetime


def positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise ArgumentTypeError(f"{text!r} is not a number of at least 1")
    return int(text)


def day(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise ArgumentTypeError(f"{text!r} is not a day such as 2026-11-01") from None


def moment(text: str) -> datetime:
    """Read an instant. A date is its midnight; without an offset it is UTC."""
    found = parse_datetime(text)
    if found is None:
        named = parse_date(text)
        if named is None:
            raise ValueError(text)
        found = datetime(named.year, named.month, named.day)  # noqa: DTZ001 - the offset comes next
    return found if found.tzinfo else found.replace(tzinfo=UTC)
