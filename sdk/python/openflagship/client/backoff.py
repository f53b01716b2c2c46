"""How long to wait after failures. Jitter keeps the clients of a restarted server from coming all at once."""

from __future__ import annotations

import random
from collections.abc import Callable

FIRST_SECONDS = 1.0
MOST_SECONDS = 30.0


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
