"""Tells listeners what changed, off the follower's thread.

A listener is foreign code. A slow one delays other listeners, and neither the next change nor an evaluation.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable
from typing import TypeAlias

from openflagship.client.callers_code import check_done
from openflagship.client.transport.effects import Logic, Pause
from openflagship.engine import CompiledEnvironment

log = logging.getLogger("openflagship")

# The keys of the changed flags. None stands for any flag; an empty set says that only staleness changed.
Keys: TypeAlias = frozenset[str] | None
ChangeListener: TypeAlias = Callable[[Keys, CompiledEnvironment], None]
# Called with the new `Status.connection`.
ConnectionListener: TypeAlias = Callable[[str], None]

MOST_WAITING = 1_000
# Whoever has news wakes the announcer.
_LOOK_SECONDS = 3600.0


class Announcer:
    """A bounded queue. Once it is full, its changes become one: any flag may have changed."""

    def __init__(self) -> None:
        # Wakes whoever runs `run`; it must not wait.
        self.wake: Callable[[], None] = _nobody
        self._on_change: tuple[ChangeListener, ...] = ()
        self._on_connection: tuple[ConnectionListener, ...] = ()
        self._waiting: deque[tuple[Keys, CompiledEnvironment] | str] = deque()

    def listen(self, listener: ChangeListener) -> Callable[[], None]:
        """Call `listener` after every change. The returned function ends that."""
        self._on_change = (*self._on_change, listener)

        def end() -> None:
            self._on_change = tuple(other for other in self._on_change if other is not listener)

        return end

    def listen_to_connection(self, listener: ConnectionListener) -> Callable[[], None]:
        """Call `listener` with each new state of the connection. The returned function ends that."""
        self._on_connection = (*self._on_connection, listener)

        def end() -> None:
            self._on_connection = tuple(other for other in self._on_connection if other is not listener)

        return end

    def changed(self, keys: Keys, environment: CompiledEnvironment) -> None:
        if self._on_change:
            self._put((keys, environment))

    def connection_is(self, state: str) -> None:
        if self._on_connection:
            self._put(state)

    def forget(self) -> None:
        """Drop what waits: after a fork it is the parent's to tell."""
        self._waiting = deque()

    def _put(self, news: tuple[Keys, CompiledEnvironment] | str) -> None:
        if len(self._waiting) >= MOST_WAITING:
            self._reduce()
        self._waiting.append(news)
        self.wake()

    def _reduce(self) -> None:
        """Leave the last state of the connection, and one change in place of all."""
        state = change = None
        for news in tuple(self._waiting):
            if isinstance(news, str):
                state = news
            else:
                change = news
        self._waiting.clear()
        if state is not None:
            self._waiting.append(state)
        if change is not None:
            self._waiting.append((None, change[1]))

    def deliver(self) -> None:
        """Tell the listeners everything that waits."""
        while True:
            try:
                news = self._waiting.popleft()
            except IndexError:
                # Also where a full queue was reduced at this very moment.
                return
            if isinstance(news, str):
                for on_connection in self._on_connection:
                    _call(on_connection, news)
            else:
                for on_change in self._on_change:
                    _call(on_change, *news)

    def run(self) -> Logic[None]:
        """Run until the driver stops it."""
        while True:
            self.deliver()
            if not self._waiting:
                yield Pause(_LOOK_SECONDS)


def _nobody() -> None:
    """Nobody runs the announcer, such as before the client starts."""


def _call(listener: Callable[..., object], *news: object) -> None:
    try:
        check_done(listener(*news))
    except (Exception, SystemExit):
        # The listener is not our code; the others have to hear as well.
        log.exception("a listener to changes failed")
