"""How long to wait after failures. Jitter keeps the clients of a restarted server from coming all at once."""

from __future__ import annotations

import random
from collections.abc import Callable
from datetime import datetime, timezone
from email.utils import parsedate_to_datetime

FIRST_SECONDS = 1.0
MOST_SECONDS = 30.0
# A server may ask for no longer a pause.
_MOST_ASKED_SECONDS = 600.0


class Backoff:
    """Each failure doubles the ceiling. A wait is random: between half of the ceiling and all of it."""

    def __init__(
        self,
        first_seconds: float = FIRST_SECONDS,
        most_seconds: float = MOST_SECONDS,
        random_fraction: Callable[[], float] = random.random,
    ) -> None:
        self.failures = 0
        self._first_seconds = first_seconds
        self._most_seconds = most_seconds
        self._random_fraction = random_fraction

    def reset(self) -> None:
        self.failures = 0

    def next_seconds(self) -> float:
        ceiling = min(self._most_seconds, self._first_seconds * 2.0 ** min(self.failures, 16))
        self.failures += 1
        return ceiling * (0.5 + 0.5 * self._random_fraction())


def seconds_of(retry_after: str | None) -> float | None:
    """The pause that `Retry-After` asks for, as seconds or as a date; at most ten minutes."""
    if retry_after is None:
        return None
    if retry_after.isascii() and retry_after.isdigit():
        return min(float(retry_after), _MOST_ASKED_SECONDS)
    try:
        at = parsedate_to_datetime(retry_after)
    except (TypeError, ValueError):
        return None
    if at.tzinfo is None:
        at = at.replace(tzinfo=timezone.utc)  # noqa: UP017 - Python 3.10
    return max(0.0, min((at - datetime.now(at.tzinfo)).total_seconds(), _MOST_ASKED_SECONDS))
