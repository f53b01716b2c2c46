"""Rate limits: token buckets in the memory of one process. A check costs a microsecond and asks no server.

What other processes let through is taken off with `debit`, by whoever counts for all of them. Where nobody does, the
limit is per process: with four workers a caller may send up to four times as much.
"""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final, NamedTuple

from openflagship.wire.errors import RefusedError

# Above so many callers all buckets start anew. Memory stays bounded, and no request is refused for it.
_MAX_BUCKETS: Final = 50_000
# When to try again: streams end when their clients go, not at a fixed moment.
_STREAM_RETRY_SECONDS: Final = 30


def rate_limit_headers(limit_per_minute: int, level: float) -> list[tuple[str, str]]:
    """The headers for a bucket with this many tokens left."""
    return [
        ("RateLimit-Limit", str(limit_per_minute)),
        ("RateLimit-Remaining", str(max(0, int(level)))),
        ("RateLimit-Reset", str(math.ceil((limit_per_minute - level) * 60 / limit_per_minute))),
    ]


class Verdict(NamedTuple):
    """Whether a request may pass. `level` is the number of tokens left in its caller's bucket."""

    is_allowed: bool
    limit_per_minute: int
    level: float

    @property
    def headers(self) -> list[tuple[str, str]]:
        return rate_limit_headers(self.limit_per_minute, self.level)

    @property
    def retry_after_seconds(self) -> int:
        """After how many whole seconds the caller may send again; 0 for a request that may pass."""
        return 0 if self.is_allowed else max(1, math.ceil((1 - self.level) * 60 / self.limit_per_minute))


def too_many_requests(verdict: Verdict) -> RefusedError:
    """The refusal of a request for which there was no token."""
    seconds = verdict.retry_after_seconds
    detail = f"The limit is {verdict.limit_per_minute:,} requests a minute. Send the next one in {seconds} s."
    return RefusedError(429, detail, retry_after_seconds=seconds, headers=verdict.headers)


def too_many_streams(kind: str, most: int) -> RefusedError:
    """The refusal of a stream for which there was no place. `kind`: key, address or process."""
    headers = [
        ("RateLimit-Limit", str(most)),
        ("RateLimit-Remaining", "0"),
        ("RateLimit-Reset", str(_STREAM_RETRY_SECONDS)),
    ]
    detail = f"One {kind} may hold {most:,} streams open here. Close one, or connect to another process."
    return RefusedError(429, detail, retry_after_seconds=_STREAM_RETRY_SECONDS, headers=headers)


class Buckets:
    """One bucket per caller, refilled evenly over a minute. Threads may race; then one more request gets through."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Forget every caller."""
        self._levels: dict[str, tuple[float, float]] = {}
        self._spent: dict[str, int] = {}

    def take_spent(self) -> dict[str, int]:
        """How many tokens each caller has spent since the last call."""
        spent, self._spent = self._spent, {}
        return spent

    def debit(self, caller: str, tokens: int) -> None:
        """Take off what the caller spent elsewhere; it may leave a debt that is refilled first."""
        found = self._levels.get(caller)
        if found is not None:
            self._levels[caller] = (found[0] - tokens, found[1])

    def spend(self, caller: str, limit_per_minute: int) -> tuple[bool, float]:
        """Take one token from the caller's bucket. Returns whether there was one, and how many are left."""
        now = time.monotonic()
        found = self._levels.get(caller)
        if found is None:
            level = float(limit_per_minute)
            if len(self._levels) >= _MAX_BUCKETS:
                self._levels, self._spent = {}, {}
        else:
            level = found[0] + (now - found[1]) * limit_per_minute / 60
            if level > limit_per_minute:
                level = float(limit_per_minute)
        is_allowed = level >= 1
        if is_allowed:
            level -= 1
            self._spent[caller] = self._spent.get(caller, 0) + 1
        self._levels[caller] = (level, now)
        return is_allowed, level

    def admit(self, caller: str, limit_per_minute: int) -> None:
        """`spend` for an answer that says nothing about it. Raises RefusedError where there was no token."""
        is_allowed, level = self.spend(caller, limit_per_minute)
        if not is_allowed:
            raise too_many_requests(Verdict(is_allowed, limit_per_minute, level))

    def take(self, caller: str, limit_per_minute: int) -> Verdict:
        """`spend` with everything that an answer says about it."""
        is_allowed, level = self.spend(caller, limit_per_minute)
        return Verdict(is_allowed, limit_per_minute, level)


class Places:
    """How many streams are open, in all and of each key, or of each of another kind. A limit of 0 is none."""

    def __init__(self, most: int, most_per_key: int, kind: str = "key") -> None:
        self._most = most
        self._most_per_key = most_per_key
        self._kind = kind
        self._by_key: Counter[str] = Counter()

    @contextmanager
    def taken(self, key: str) -> Iterator[None]:
        """Hold a place; without a key, such as for a browser with a token, one of all. Raises RefusedError."""
        if self._most and self._by_key.total() >= self._most:
            raise too_many_streams("process", self._most)
        if key and self._most_per_key and self._by_key[key] >= self._most_per_key:
            raise too_many_streams(self._kind, self._most_per_key)
        self._by_key[key] += 1
        try:
            yield
        finally:
            self._by_key[key] -= 1
            if not self._by_key[key]:
                del self._by_key[key]
