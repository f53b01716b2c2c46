"""The mode for hosts that freeze a process between requests: a call refreshes what is too old.

Nothing runs in the background.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from openflagship.client.following.configuration import Configuration
from openflagship.client.options import Options
from openflagship.client.transport.backoff import Backoff


class OnDemand:
    """Of several threads that call at once, one refreshes. The others wait only where nothing is had yet."""

    def __init__(self, fetch: Callable[[float | None], bool], options: Options) -> None:
        """`fetch` asks the server once, in the calling thread; true where that went well within the seconds given."""
        self._fetch = fetch
        self._limit_seconds = options.poll_seconds
        self._backoff = Backoff(options.first_backoff_seconds, options.most_backoff_seconds)
        self._not_before = 0.0
        self._refreshing = threading.Lock()
        self._refresher: int | None = None

    def refresh(
        self, configuration: Configuration, *, is_asked: bool = False, most_seconds: float | None = None
    ) -> None:
        """Ask the server where the last question is older than the limit, or where that `is_asked`.

        However old the server says that its own news is, it is asked no more often. `most_seconds` bounds the wait.
        """
        # A signal's or a log's handler may ask within this thread's own question, which it must not wait for.
        if (is_asked or self._is_due()) and self._refresher != threading.get_ident():
            until = None if most_seconds is None else time.monotonic() + most_seconds
            if is_asked or not configuration.is_had:
                is_mine = self._refreshing.acquire(timeout=-1 if most_seconds is None else most_seconds)
            else:
                is_mine = self._refreshing.acquire(blocking=False)
            if is_mine:
                try:
                    self._refresher = threading.get_ident()
                    left = None if until is None else until - time.monotonic()
                    # Without time nothing is asked, and so nothing failed.
                    if (is_asked or self._is_due()) and (left is None or left > 0):
                        self._ask(left)
                finally:
                    self._refresher = None
                    self._refreshing.release()
        configuration.check_staleness()
        configuration.announcer.deliver()

    def _is_due(self) -> bool:
        return time.monotonic() >= self._not_before

    def _ask(self, most_seconds: float | None) -> None:
        if self._fetch(most_seconds):
            self._backoff.reset()
            self._not_before = time.monotonic() + self._limit_seconds
        else:
            self._not_before = time.monotonic() + self._backoff.next_seconds()
