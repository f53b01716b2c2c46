"""Rate limits: token buckets in this process's memory. A check takes a microsecond and asks no server.

The limit is therefore per process: with four workers a caller may send up to four times as much.
"""

import math
import time
from dataclasses import dataclass

from tenancy.process_memory import on_reset

# With more callers than this the buckets begin anew: memory stays bounded, and no caller is refused for it.
_MAX_BUCKETS = 50_000


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether a request may pass, and what the RateLimit headers say; times in seconds."""

    is_allowed: bool
    limit: int
    remaining: int
    reset_seconds: int
    retry_after_seconds: int

    @property
    def headers(self) -> dict[str, str]:
        return {
            "RateLimit-Limit": str(self.limit),
            "RateLimit-Remaining": str(self.remaining),
            "RateLimit-Reset": str(self.reset_seconds),
        }


class Buckets:
    """One bucket per caller, refilled evenly over a minute. Threads may race, and then one request more may pass."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        self._levels: dict[str, tuple[float, float]] = {}

    def spend(self, caller: str, limit_per_minute: int) -> tuple[bool, float]:
        """Take one token from the caller's bucket, if there is one; return whether there was, and what is left."""
        now = time.monotonic()
        found = self._levels.get(caller)
        if found is None:
            level = float(limit_per_minute)
            if len(self._levels) >= _MAX_BUCKETS:
                self._levels = {}
        else:
            level = found[0] + (now - found[1]) * limit_per_minute / 60
            if level > limit_per_minute:
                level = float(limit_per_minute)
        is_allowed = level >= 1
        if is_allowed:
            level -= 1
        self._levels[caller] = (level, now)
        return is_allowed, level

    def take(self, caller: str, limit_per_minute: int) -> Verdict:
        """Spend a token, and return the verdict with what the headers need."""
        is_allowed, level = self.spend(caller, limit_per_minute)
        rate = limit_per_minute / 60
        return Verdict(
            is_allowed=is_allowed,
            limit=limit_per_minute,
            remaining=int(level),
            reset_seconds=math.ceil((limit_per_minute - level) / rate),
            retry_after_seconds=0 if is_allowed else max(1, math.ceil((1 - level) / rate)),
        )


BUCKETS = Buckets()
on_reset(BUCKETS.reset)
