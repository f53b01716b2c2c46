"""How many requests one credential may send: a bucket that fills evenly, the rest answered 429."""

from __future__ import annotations

import math
import time
from collections.abc import Hashable


class Limits:
    """`per_minute` of 0 limits nothing. Lives on the event loop; callers are the credentials, so there are few."""

    def __init__(self, per_minute: int) -> None:
        self._per_minute = per_minute
        self._levels: dict[Hashable, tuple[float, float]] = {}

    def spend(self, caller: Hashable) -> int:
        """0 where the request may pass, else after how many seconds another may."""
        most = self._per_minute
        if not most:
            return 0
        now = time.monotonic()
        level, since = self._levels.get(caller, (float(most), now))
        level = min(most, level + (now - since) * most / 60)
        if level < 1:
            return max(1, math.ceil((1 - level) * 60 / most))
        self._levels[caller] = (level - 1, now)
        return 0
