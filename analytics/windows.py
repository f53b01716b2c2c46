"""The window of a question: `?window=7d`, `24h`, or `<instant>/<instant>`."""

import re
from datetime import datetime, timedelta

from django.utils.dateparse import parse_datetime

from tenancy.errors import Invalid
from tenancy.refusals import instant_problems

_SPAN = re.compile(r"(\d{1,4})([hd])\Z")
_REMEDY = (
    "Give a number of days or hours such as 7d or 24h, or two instants: 2026-01-05T00:00:00Z/2026-01-12T00:00:00Z."
)


def bounds(text: str, now: datetime) -> tuple[datetime, datetime]:
    """Read `?window=`, ending now where it is a span. Raises Invalid."""
    span = _SPAN.match(text)
    if span:
        amount = int(span[1])
        length = timedelta(hours=amount) if span[2] == "h" else timedelta(days=amount)
        if length:
            return now - length, now
        raise Invalid(_REMEDY, attr="window", code="invalid")
    first, _, second = text.partition("/")
    since, until = _instant(first), _instant(second)
    if since is None or until is None or since >= until:
        raise Invalid(_REMEDY, attr="window", code="invalid")
    return since, until


def _instant(text: str) -> datetime | None:
    try:
        found = parse_datetime(text)
    except ValueError:
        return None
    if found is None or found.tzinfo is None or instant_problems("window", found):
        return None
    return found
