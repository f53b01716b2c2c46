"""When a freeze holds: once from an instant to another, or again and again by a cron expression in a zone."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final
from zoneinfo import ZoneInfo

from croniter import croniter
from croniter.croniter import CroniterBadDateError, CroniterError

LONGEST: Final = timedelta(days=31)


@dataclass(frozen=True, slots=True)
class Window:
    """`cron` begins it again and again for `duration`, within `since` and `until`; without one it holds throughout."""

    since: datetime
    until: datetime | None
    cron: str = ""
    duration: timedelta = timedelta()
    zone: str = "UTC"


def holds_until(window: Window, now: datetime) -> datetime | None:
    """Return when the window that holds now ends; None: none holds. An end that nobody set is `datetime.max`."""
    end = window.until or datetime.max.replace(tzinfo=UTC)
    if not window.since <= now < end:
        return None
    if not window.cron:
        return end
    begun = _latest_start(window, now)
    if begun is None or begun < window.since:
        return None
    closes = begun + window.duration
    return min(closes, end) if now < closes else None


def next_start(window: Window, after: datetime) -> datetime | None:
    """Return when it holds next, later than `after`; None: never again."""
    end = window.until or datetime.max.replace(tzinfo=UTC)
    if not window.cron:
        return window.since if window.since > after else None
    begin = max(after, window.since - timedelta(seconds=1))
    try:
        found = croniter(window.cron, begin.astimezone(ZoneInfo(window.zone))).get_next(datetime).astimezone(UTC)
    except (CroniterBadDateError, OverflowError):
        return None
    return found if found < end else None


def _latest_start(window: Window, now: datetime) -> datetime | None:
    """The last instant at or before `now` that the expression names, on the clock of the zone."""
    here = (now + timedelta(seconds=1)).astimezone(ZoneInfo(window.zone))
    try:
        found: datetime = croniter(window.cron, here).get_prev(datetime)
    except (CroniterError, OverflowError):
        return None
    return found.astimezone(UTC)
