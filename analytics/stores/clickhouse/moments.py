"""Instants and periods in the ClickHouse store, as Unix milliseconds."""

from datetime import UTC, datetime, timedelta
from typing import Any, Final

from analytics.stores.base import Period

NO_END_MS: Final = 2**53
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)


def unix_ms(moment: datetime) -> int:
    """Return the instant in Unix milliseconds, rounded up.

    Stored instants are whole milliseconds. So `>= since` and `< until` select the same events as with the exact
    instant.
    """
    return -((-(moment - _EPOCH)) // _MILLISECOND)


def period_of(period: Period) -> dict[str, Any]:
    """Return the parameters of statements about a period."""
    return {
        "environment_id": period.environment_id,
        "experiment": period.experiment,
        "since": unix_ms(period.since),
        "until": unix_ms(period.until) if period.until else NO_END_MS,
        "pauses": [(unix_ms(since), unix_ms(until)) for since, until in period.pauses],
        "next_phase": unix_ms(period.next_phase) if period.next_phase else NO_END_MS,
        "left_out": list(period.left_out),
    }


def moment_of(milliseconds: int) -> datetime:
    return _EPOCH + milliseconds * _MILLISECOND
