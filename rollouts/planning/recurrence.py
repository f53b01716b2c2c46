"""When a recurring change is due: a cron expression on the clock of a zone, daylight saving included.

An hour that the clock leaves out: the change is due when the clock goes on. An hour that it shows twice: the change is
due once, the first time.
"""

import re
from datetime import UTC, datetime, timedelta
from typing import Final
from zoneinfo import ZoneInfo

from croniter import croniter
from croniter.croniter import CroniterBadDateError

# Farther back than any clock is set, so that an instant which the clock leaves out is not lost.
_MOST_SHIFTED: Final = timedelta(hours=3)
_MOST_TRIES: Final = 1_000
# What croniter draws by chance, each time anew: R, H, R(0-5), H/2. Names as MAR and THU are others.
_DRAWN: Final = re.compile(r"(?<![A-Za-z])[RH](?![A-Za-z])", re.IGNORECASE)


def is_cron(text: str) -> bool:
    """Whether it is an expression of five fields."""
    return len(text.split()) == 5 and croniter.is_valid(text)


def drawn_in(text: str) -> list[str]:
    """Return the fields that stand for an instant drawn by chance, which nobody could tell beforehand."""
    return [field for field in text.split() if _DRAWN.search(field)]


def next_due(cron: str, zone: str, after: datetime) -> datetime | None:
    """Return the first instant later than `after`; None: there is none within 50 years."""
    here = ZoneInfo(zone)
    wall_clock = croniter(cron, after.astimezone(here).replace(tzinfo=None) - _MOST_SHIFTED)
    for _ in range(_MOST_TRIES):
        try:
            shown = wall_clock.get_next(datetime)
        except (CroniterBadDateError, OverflowError):
            return None
        found = _instant(shown, here)
        if found > after:
            return found
    return None


def _instant(shown: datetime, zone: ZoneInfo) -> datetime:
    """The first instant at which the zone's clock shows this or, where it never does, the one at which it goes on."""
    first = shown.replace(tzinfo=zone, fold=0)
    instant = first.astimezone(UTC)
    if instant.astimezone(zone).replace(tzinfo=None, fold=0) == shown:
        return instant
    # The clock leaves it out: search for the end of the gap, to the second.
    low, high = instant - _MOST_SHIFTED, instant + _MOST_SHIFTED
    while high - low > timedelta(seconds=1):
        middle = low + (high - low) / 2
        if middle.astimezone(zone).replace(tzinfo=None, fold=0) < shown:
            low = middle
        else:
            high = middle
    return high.replace(microsecond=0)
