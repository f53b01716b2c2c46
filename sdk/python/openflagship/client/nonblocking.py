"""The client for asyncio programs: the logic of the threaded client, as tasks of the running loop."""

from __future__ import annotations

import asyncio
import logging
import os
import time
import weakref
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING

from openflagship.client.core import FLUSH_SECONDS, ClientCore, ServedFrom
from openflagship.client.options import Options, Settings
from openflagship.client.transport.aio import AsyncDriver

if TYPE_CHECKING:
    from typing_extensions import Unpack

log = logging.getLogger("openflagship")
_FLUSH_LOOKS_SECONDS = 0.005
_READY_LOOKS_SECONDS = 0.02


class AsyncFlagShip(ClientCore):
    """Like `FlagShip`; evaluation is the same plain call. Use `async with`, or `await start()` and `await close()`."""

    def __init__(self, server_key: str, url: str, options: Options | None = None, **settings: Unpack[Settings]) -> None:
        self._following: AsyncDriver | None = None
        self._sending: AsyncDriver | None = None
        self._announcing: AsyncDriver | None = None
        self._watching: AsyncDriver | None = None
        self._is_loaded = self._is_warned = False
        self._starting: asyncio.Lock | None = None
        self._ready: asyncio.Event | None = None
        # The loop that cancelled the tasks: only `start` starts them there again.
        self._ending: weakref.ref[asyncio.AbstractEventLoop] | None = None
        super().__init__(server_key, url, options, settings)
        if self.options.mode == "on_demand":
            raise ValueError("mode='on_demand' is for FlagShip: a call of AsyncFlagShip may not wait for the network.")
        self._is_started = False
        if not self.options.is_offline:
            # No process's: so that a question before `start` is noticed.
            self._pid = 0

    async def start(self) -> None:
        """Start to follow. Wait up to `start_wait_seconds` for a first configuration, unless there is one.

        Raises ValueError for a bootstrap that is not a snapshot, where the constructor could not read it.
        """
        if self._is_closed or (self._following is not None and self._following.is_alive):
            return
        self._leave_ended_loop()
        if self._starting is None:
            self._starting = asyncio.Lock()
        async with self._starting:
            await self._load()
            if self._following is not None or self.options.is_offline or self._is_closed:
                return
            self._start()
        if not self._configuration.is_had and self.options.start_wait_seconds > 0:
            await self.wait_until_ready(self.options.start_wait_seconds)

    async def ready(self, timeout: float | None = None) -> ServedFrom:  # noqa: ASYNC109 - as the threaded client's
        """Wait for the network, `start_wait_seconds` unless said otherwise, and say what is served from. Never raises.

        It waits no longer once the server has refused the key.
        """
        deadline = time.monotonic() + self._patience(timeout, self.options.start_wait_seconds)
        # Looks rather than waits: a refusal is no event.
        while self._following is not None and not self._is_settled and time.monotonic() < deadline:  # noqa: ASYNC110 - see above
            await asyncio.sleep(min(_READY_LOOKS_SECONDS, max(0.0, deadline - time.monotonic())))
        return self._served_from

    async def wait_until_ready(self, seconds: float) -> bool:
        """Wait for a configuration; false where none came within that time."""
        if not self._configuration.is_had and self._ready is not None:
            waiting = asyncio.ensure_future(self._ready.wait())
            await asyncio.wait([waiting], timeout=self._patience(seconds, 0.0))
            waiting.cancel()
        return self._configuration.is_had

    async def flush(self, seconds: float = FLUSH_SECONDS) -> bool:
        """Send the waiting events; true where all were sent within the time. A closed client sends none."""
        if self._is_closed:
            return False
        seconds = self._patience(seconds, FLUSH_SECONDS)
        sending = self._sending
        if sending is None:
            return self._sender.pending == 0
        number = self._sender.ask_flush()
        sending.wake()
        deadline = time.monotonic() + seconds
        # Looks rather than waits: the sender's logic knows neither threads nor loops that it could tell.
        while self._sender.flushes_done < number and time.monotonic() < deadline and sending.is_alive:  # noqa: ASYNC110 - see above
            await asyncio.sleep(_FLUSH_LOOKS_SECONDS)
        return self._sender.pending == 0

    async def close(self) -> None:
        """Send the waiting events for at most `close_wait_seconds`, and end. Evaluation goes on from memory."""
        if self._is_closed:
            return
        # First: what another loop left off is told to stop, should that loop run again.
        self._leave_ended_loop()
        self._is_closed = True
        self._queue.end()
        # Read once: what ends is forgotten.
        sending, others = self._sending, (self._following, self._announcing, self._watching)
        for driver in others:
            if driver is not None:
                await driver.stop()
        if self._is_started and not self.options.is_offline:
            self._sender.ask_close(self.options.close_wait_seconds)
            if sending is None:
                # The loop that it ran on is gone; what waits is sent from this one.
                sending = AsyncDriver("openflagship-send", self._sender.run, self._tls)
                sending.start()
            sending.wake()
            await sending.join(self.options.close_wait_seconds + 1.0)
            await sending.stop()
        # No process's: so that an evaluation looks at the clock, which nobody watches any more.
        self._pid = 0

    async def __aenter__(self) -> AsyncFlagShip:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

    def restart_after_fork(self) -> None:
        """Wait for a loop: the first evaluation or `start()` on one starts the client in the child."""
        self._forget_drivers()
        self._assemble()
        if not self.options.is_offline:
            self._pid = 0

    def _forget_drivers(self) -> None:
        self._following = self._sending = self._announcing = self._watching = None
        self._ready = self._starting = None

    def _leave_ended_loop(self) -> None:
        """Forget the tasks of a loop that runs no more."""
        if self._following is None or self._following.is_alive:
            return
        for driver in (self._following, self._sending, self._announcing, self._watching):
            if driver is not None and not self._is_closed:
                driver.cancel()
        self._forget_drivers()
        # No process's: so that the next evaluation on a loop starts anew there.
        self._pid = 0

    def _note_end(self, following: AsyncDriver) -> None:
        """Call it on the loop on which the follower has ended."""
        if self._following is following:
            self._ending = weakref.ref(asyncio.get_running_loop())
            self._leave_ended_loop()

    def _restart_after_fork(self) -> None:
        if self.options.is_offline:
            self._pid = os.getpid()
            return
        # Nobody may be watching the clock.
        self._configuration.check_staleness()
        if self._is_closed:
            return
        if not self._is_started:
            self._warn_not_started()
        elif self._following is None or self._pid:
            try:
                loop = asyncio.get_running_loop()
            except RuntimeError:
                return
            if self._ending is not None and self._ending() is loop:
                # It cancelled the tasks, most likely because it ends, and would not cancel new ones.
                return
            if self._pid:
                # Forked without a word to Python: the tasks are the parent's.
                self.restart_after_fork()
            self._start()

    def _warn_not_started(self) -> None:
        if not self._is_warned:
            self._is_warned = True
            log.warning("this AsyncFlagShip was not started: use `async with`, or `await client.start()`")

    def _loads_at_once(self) -> bool:
        """What is kept is read in the constructor, unless that would hold up an event loop; then in `start`."""
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            self._is_loaded = True
        else:
            self._is_loaded = self.options.is_offline and self._store is None
        return self._is_loaded

    async def _load(self) -> None:
        if self._is_loaded:
            return
        self._is_loaded = True
        bootstrap = await asyncio.to_thread(self._read_bootstrap)
        stored = await asyncio.to_thread(self._read_stored)
        self._take(bootstrap, stored)
        if self._configuration.source == "stored":
            self._sender.note_stored()

    def _start(self) -> None:
        self._pid = os.getpid()
        self._is_started = True
        self._ready = asyncio.Event()
        self._following = AsyncDriver("openflagship-follow", self._synchroniser.run, self._tls)
        self._sending = AsyncDriver("openflagship-send", self._sender.run, self._tls)
        self._announcing = AsyncDriver("openflagship-announce", self._configuration.announcer.run, self._tls)
        self._watching = AsyncDriver("openflagship-watch", self._configuration.watch, self._tls)
        self._ending = None
        self._following.start(partial(self._note_end, self._following))
        for driver in (self._sending, self._announcing, self._watching):
            driver.start()

    def _wake_sender(self) -> None:
        if self._sending is not None:
            self._sending.wake()

    def _wake_announcer(self) -> None:
        for driver in (self._announcing, self._watching):
            if driver is not None:
                driver.wake()

    def _configuration_changed(self) -> None:
        if self._ready is not None:
            self._ready.set()
        self._wake_sender()
