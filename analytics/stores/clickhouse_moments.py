"""Instants as the ClickHouse store keeps them: Unix milliseconds."""

from datetime import UTC, datetime, timedelta
from typing import Final

NO_END_MS: Final = 2**53
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)


def unix_ms(moment: datetime) -> int:
    """Rounded up: stored instants are whole milliseconds, so `>= since` and `< until` then say the same as before."""
    return -((-(moment - _EPOCH)) // _MILLISECOND)


def moment_of(milliseconds: int) -> datetime:
    return _EPOCH + milliseconds * _MILLISECOND
