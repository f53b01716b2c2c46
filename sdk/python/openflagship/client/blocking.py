"""The client for ordinary programs.

Daemon threads follow the configuration, send events, call listeners, and mark answers stale when it is time.
"""

from __future__ import annotations

import atexit
import logging
import os
import threading
import time
import weakref
from contextlib import suppress
from types import TracebackType
from typing import TYPE_CHECKING

from openflagship.client import uwsgi
from openflagship.client.core import FLUSH_SECONDS, ClientCore, ServedFrom
from openflagship.client.endings import at_end, hook_worker
from openflagship.client.following.on_demand import OnDemand
from openflagship.client.options import Options, Settings
from openflagship.client.transport.threads import ThreadDriver, perform

if TYPE_CHECKING:
    from typing_extensions import Unpack

log = logging.getLogger("openflagship")
_FLUSH_LOOKS_SECONDS = 0.005
_READY_LOOKS_SECONDS = 0.05
_JOIN_SECONDS = 1.0


class FlagShip(ClientCore):
    """Feature flags for one environment, evaluated in memory. Make one for each process and keep it.

    `client = FlagShip(server_key, url)`; settings by name, as in `Options`. The constructor waits up to
    `start_wait_seconds` for a first configuration, unless it has one, and returns with or without it.
    """

    def __init__(self, server_key: str, url: str, options: Options | None = None, **settings: Unpack[Settings]) -> None:
        self._ready = threading.Event()
        self._following: ThreadDriver | None = None
        self._sending: ThreadDriver | None = None
        self._announcing: ThreadDriver | None = None
        # Apart from the listeners' thread: a slow one must not keep stale answers from being called so.
        self._watching: ThreadDriver | None = None
        self._on_demand: OnDemand | None = None
        # Of several threads that flush without a sender's thread, one sends at a time.
        self._sending_here = threading.Lock()
        self._waits_in: int | None = None
        super().__init__(server_key, url, options, settings)
        self._exit = at_end(self)
        if self.options.is_offline:
            self._ready.set()
            return
        if self.options.mode == "on_demand":
            # No process's: so that every question comes by `_restart_after_fork`, which refreshes when it is time.
            self._pid = 0
            self._on_demand = OnDemand(self._fetch_once, self.options)
            return
        if uwsgi.is_to_be_forked():
            self._wait_for_fork()
            return
        self._start()
        if not self._configuration.is_had and self.options.start_wait_seconds > 0:
            self.wait_until_ready(self.options.start_wait_seconds)

    def wait_until_ready(self, seconds: float) -> bool:
        """Wait for a configuration; false where none came within that time."""
        seconds = self._patience(seconds, 0.0)
        if self._on_demand is not None:
            # Nothing else brings one.
            self._on_demand.refresh(self._configuration, most_seconds=seconds)
            return self._configuration.is_had
        return self._configuration.is_had or self._ready.wait(seconds)

    def ready(self, timeout: float | None = None) -> ServedFrom:
        """Wait for the network, `start_wait_seconds` unless said otherwise, and say what is served from. Never raises.

        It waits no longer once the server has refused the key.
        """
        seconds = self._patience(timeout, self.options.start_wait_seconds)
        if self._on_demand is not None:
            self._on_demand.refresh(self._configuration, most_seconds=seconds)
            return self._served_from
        deadline = time.monotonic() + seconds
        while self._following is not None and not self._is_settled and (left := deadline - time.monotonic()) > 0:
            self._ready.wait(min(left, _READY_LOOKS_SECONDS))
            if self._ready.is_set() and not self._is_settled:
                # Set by what another process had before a fork.
                time.sleep(min(left, _READY_LOOKS_SECONDS))
        return self._served_from

    def refresh(self) -> bool:
        """In the mode "on_demand": ask for the configuration now, and say whether it is current."""
        if self._on_demand is not None:
            self._on_demand.refresh(self._configuration, is_asked=True)
        return self._synchroniser.error is None and self._configuration.is_had

    def flush(self, seconds: float = FLUSH_SECONDS) -> bool:
        """Send the waiting events; true where all were sent within the time. A closed client sends none."""
        if self._is_closed:
            return False
        seconds = self._patience(seconds, FLUSH_SECONDS)
        sending = self._sending
        if self._on_demand is not None:
            return self._flush_here(seconds)
        if sending is None:
            # Nobody sends: before uWSGI's fork, or any more.
            return self._sender.pending == 0
        number = self._sender.ask_flush()
        sending.wake()
        deadline = time.monotonic() + seconds
        # Looks rather than waits: the sender's logic knows neither threads nor loops that it could tell.
        while self._sender.flushes_done < number and time.monotonic() < deadline and sending.is_alive:
            time.sleep(_FLUSH_LOOKS_SECONDS)
        return self._sender.pending == 0

    def close(self) -> None:
        """Send the waiting events for at most `close_wait_seconds`, and end. Evaluation goes on from memory."""
        if self._is_closed:
            return
        self._is_closed = True
        self._queue.end()
        atexit.unregister(self._exit)
        if self._waits_in == os.getpid():
            # No fork came, or this is the process that forked: what it has counted is its own to send.
            self._begin()
        if self._on_demand is not None:
            self._close_here(self.options.close_wait_seconds)
            return
        if self._pid != os.getpid():
            # A child that was not told of its fork and never asked for a flag: threads and sockets are the parent's.
            self.restart_after_fork()
            return
        sending, others = self._sending, (self._following, self._announcing, self._watching)
        for driver in others:
            if driver is not None:
                driver.stop()
        if sending is not None:
            self._sender.ask_close(self.options.close_wait_seconds)
            sending.wake()
            sending.join(self.options.close_wait_seconds + 1.0)
            sending.stop()
        for driver in (sending, *others):
            if driver is not None:
                driver.join(_JOIN_SECONDS)
        # No process's: so that an evaluation looks at the clock, which nobody watches any more.
        self._pid = 0

    def __enter__(self) -> FlagShip:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def _restart_after_fork(self) -> None:
        if self._is_closed:
            self._configuration.check_staleness()
        elif self._on_demand is None:
            super()._restart_after_fork()
        else:
            self._on_demand.refresh(self._configuration)

    def _fetch_once(self, most_seconds: float | None) -> bool:
        try:
            perform(self._synchroniser.run_once(), self._tls, most_seconds)
        except TimeoutError as error:
            self._synchroniser.give_up(error)
            return False
        return self._synchroniser.error is None

    def _flush_here(self, seconds: float) -> bool:
        """Send what waits in the calling thread, which waits no longer than that for another one that does."""
        until = time.monotonic() + seconds
        if self._sending_here.acquire(timeout=seconds):
            try:
                number = self._sender.ask_flush()
                left = max(0.0, until - time.monotonic())
                perform(self._sender.run_flush(left), self._tls, left)
                self._sender.flushes_done = max(self._sender.flushes_done, number)
            except TimeoutError:
                # What was not sent waits for the next flush.
                pass
            finally:
                self._sending_here.release()
        return self._sender.pending == 0

    def _close_here(self, seconds: float) -> None:
        """Send what waits in the calling thread, which may be the one that flushes: in a signal's handler."""
        until = time.monotonic() + seconds
        if not self._sending_here.acquire(timeout=self._patience(seconds, 0.0)):
            return
        try:
            left = max(0.0, until - time.monotonic())
            self._sender.ask_close(left)
            with suppress(TimeoutError):
                perform(self._sender.run(), self._tls, left + 1.0)
        finally:
            self._sending_here.release()

    def restart_after_fork(self) -> None:
        if self._on_demand is not None:
            self._assemble()
            self._sending_here = threading.Lock()
            self._pid = 0
            self._on_demand = OnDemand(self._fetch_once, self.options)
            return
        if self._waits_in is not None:
            if uwsgi.is_to_be_forked():
                return
            if self._waits_in == os.getpid():
                self._begin()
                return
            self._waits_in = None
            # What the process before the fork has was not refreshed since.
            self._configuration.check_staleness()
        for driver in (self._following, self._sending, self._announcing, self._watching):
            if driver is not None:
                driver.abandon()
        hook_worker(self._exit)
        self._following = self._sending = self._announcing = self._watching = None
        self._ready = threading.Event()
        if self._configuration.is_had:
            self._ready.set()
        self._assemble()
        if not self._is_closed and not self.options.is_offline:
            self._start()

    def _wait_for_fork(self) -> None:
        """Fetch a configuration for all workers, without a thread. Each worker starts its own threads."""
        if not self._configuration.is_had and self.options.start_wait_seconds > 0:
            self._fetch_once(self.options.start_wait_seconds)
        # No process's: so the first question in any worker begins what was put off, hook or no hook.
        self._waits_in, self._pid = self._pid, 0
        reference = weakref.ref(self)

        def begin() -> None:
            found = reference()
            if found is not None:
                found.begin_worker()

        uwsgi.after_fork(begin)

    def begin_worker(self) -> None:
        """Start the threads in a uWSGI worker before its first request, and wait for a configuration."""
        if self._pid != os.getpid():
            self._restart_after_fork()
        deadline = time.monotonic() + self.options.start_wait_seconds
        while self._following is not None and not self._synchroniser.is_fetched and time.monotonic() < deadline:
            time.sleep(_FLUSH_LOOKS_SECONDS)

    def _begin(self) -> None:
        self._waits_in, self._pid = None, os.getpid()
        self._start()

    def _start(self) -> None:
        try:
            self._following = ThreadDriver("openflagship-follow", self._synchroniser.run, self._tls)
            self._sending = ThreadDriver("openflagship-send", self._sender.run, self._tls)
            self._announcing = ThreadDriver("openflagship-announce", self._configuration.announcer.run, self._tls)
            self._watching = ThreadDriver("openflagship-watch", self._configuration.watch, self._tls)
            for driver in (self._following, self._sending, self._announcing, self._watching):
                driver.start()
        except RuntimeError as error:
            # No thread can be had, such as while the interpreter shuts down: evaluate from what is here.
            log.warning("the client's threads could not be started: %s", error)

    def _wake_sender(self) -> None:
        if self._sending is not None:
            self._sending.wake()

    def _wake_announcer(self) -> None:
        for driver in (self._announcing, self._watching):
            if driver is not None:
                driver.wake()

    def _configuration_changed(self) -> None:
        self._ready.set()
        self._wake_sender()
