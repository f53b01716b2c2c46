"""The client for asyncio programs: the logic of the threaded client, as two tasks of the running loop."""

from __future__ import annotations

import asyncio
import logging
import os
import time
from types import TracebackType
from typing import Any

from openflagship.client.aio import AsyncDriver
from openflagship.client.core import ClientCore
from openflagship.client.options import Options

log = logging.getLogger("openflagship")
_FLUSH_LOOKS_SECONDS = 0.005


class AsyncFlagShip(ClientCore):
    """Like `FlagShip`; evaluation is the same plain call. Use `async with`, or `await start()` and `await close()`."""

    def __init__(self, server_key: str, url: str, options: Options | None = None, **settings: Any) -> None:
        self._following: AsyncDriver | None = None
        self._sending: AsyncDriver | None = None
        self._ready: asyncio.Event | None = None
        super().__init__(server_key, url, options, settings)

    async def start(self) -> None:
        """Start to follow. Wait up to `start_wait_seconds` for a first configuration, unless there is one."""
        if self._following is not None or self.options.is_offline or self._is_closed:
            return
        self._start()
        if not self._configuration.is_had and self.options.start_wait_seconds > 0:
            await self.wait_until_ready(self.options.start_wait_seconds)

    async def wait_until_ready(self, seconds: float) -> bool:
        """Wait for a configuration; false where none came within that time."""
        if not self._configuration.is_had and self._ready is not None:
            waiting = asyncio.ensure_future(self._ready.wait())
            await asyncio.wait([waiting], timeout=seconds)
            waiting.cancel()
        return self._configuration.is_had

    async def flush(self, seconds: float = 5.0) -> bool:
        """Send the waiting events; true where all were sent within the time."""
        sending = self._sending
        if sending is None or self._is_closed:
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
        self._is_closed = True
        if self._following is not None:
            await self._following.stop()
        if self._sending is not None:
            self._sender.ask_close(self.options.close_wait_seconds)
            self._sending.wake()
            await self._sending.join(self.options.close_wait_seconds + 1.0)
            await self._sending.stop()

    async def __aenter__(self) -> AsyncFlagShip:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

    def restart_after_fork(self) -> None:
        """Wait for a loop: the first evaluation or `start()` on one starts the client in the child."""
        self._following = self._sending = self._ready = None
        parent = self._pid
        self._assemble()
        self._pid = parent

    def _restart_after_fork(self) -> None:
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            return
        if self._following is None and not self._is_closed and not self.options.is_offline:
            self._start()

    def _start(self) -> None:
        self._pid = os.getpid()
        self._ready = asyncio.Event()
        self._following = AsyncDriver("openflagship-follow", self._synchroniser.run, self._tls)
        self._sending = AsyncDriver("openflagship-send", self._sender.run, self._tls)
        self._following.start()
        self._sending.start()

    def _wake_sender(self) -> None:
        if self._sending is not None:
            self._sending.wake()

    def _configuration_changed(self) -> None:
        if self._ready is not None:
            self._ready.set()
        self._wake_sender()
