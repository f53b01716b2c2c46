"""The client for ordinary programs. One daemon thread follows the configuration, another one sends events."""

from __future__ import annotations

import atexit
import logging
import os
import sys
import threading
import time
import weakref
from types import TracebackType
from typing import Any

from openflagship.client import uwsgi
from openflagship.client.core import ClientCore
from openflagship.client.options import Options
from openflagship.client.threads import ThreadDriver, perform

log = logging.getLogger("openflagship")
_FLUSH_LOOKS_SECONDS = 0.005


class FlagShip(ClientCore):
    """Feature flags for one environment, evaluated in memory. Make one for each process and keep it.

    `client = FlagShip(server_key, url)`; settings by name, as in `Options`. The constructor waits up to
    `start_wait_seconds` for a first configuration, unless it has one, and returns with or without it.
    """

    def __init__(self, server_key: str, url: str, options: Options | None = None, **settings: Any) -> None:
        self._ready = threading.Event()
        self._following: ThreadDriver | None = None
        self._sending: ThreadDriver | None = None
        self._waits_in: int | None = None
        super().__init__(server_key, url, options, settings)
        self._exit = _at_exit(self)
        if self.options.is_offline:
            self._ready.set()
            return
        if uwsgi.is_to_be_forked():
            self._wait_for_fork()
            return
        self._start()
        if not self._configuration.is_had and self.options.start_wait_seconds > 0:
            self.wait_until_ready(self.options.start_wait_seconds)

    def wait_until_ready(self, seconds: float) -> bool:
        """Wait for a configuration; false where none came within that time."""
        return self._configuration.is_had or self._ready.wait(seconds)

    def flush(self, seconds: float = 5.0) -> bool:
        """Send the waiting events; true where all were sent within the time."""
        sending = self._sending
        if sending is None or self._is_closed:
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
        atexit.unregister(self._exit)
        if self._waits_in == os.getpid():
            # No fork came, or this is the process that forked: what it has counted is its own to send.
            self._begin()
        if self._pid != os.getpid():
            # A child that was not told of its fork and never asked for a flag: threads and sockets are the parent's.
            self.restart_after_fork()
            return
        following, sending = self._following, self._sending
        if following is not None:
            following.stop()
        if sending is not None:
            self._sender.ask_close(self.options.close_wait_seconds)
            sending.wake()
            sending.join(self.options.close_wait_seconds + 1.0)
            sending.stop()
        if following is not None:
            following.join(1.0)

    def __enter__(self) -> FlagShip:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def restart_after_fork(self) -> None:
        if self._waits_in is not None:
            if uwsgi.is_to_be_forked():
                return
            if self._waits_in == os.getpid():
                self._begin()
                return
            self._waits_in = None
            # What the process before the fork has was not refreshed since.
            self._configuration.check_staleness()
        for driver in (self._following, self._sending):
            if driver is not None:
                driver.abandon()
        self._following = self._sending = None
        self._ready = threading.Event()
        if self._configuration.is_had:
            self._ready.set()
        self._assemble()
        if not self._is_closed and not self.options.is_offline:
            self._start()

    def _wait_for_fork(self) -> None:
        """Fetch a configuration for all workers, without a thread. Each worker starts its own threads."""
        if not self._configuration.is_had and self.options.start_wait_seconds > 0:
            perform(self._synchroniser.run_once(), self._tls)
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
            self._following.start()
            self._sending.start()
        except RuntimeError as error:
            # No thread can be had, such as while the interpreter shuts down: evaluate from what is here.
            log.warning("the client's threads could not be started: %s", error)

    def _wake_sender(self) -> None:
        if self._sending is not None:
            self._sending.wake()

    def _configuration_changed(self) -> None:
        self._ready.set()
        self._wake_sender()


def _at_exit(client: FlagShip) -> Any:
    """Flush when the process ends. Worker processes end without `atexit`, so they have a hook of their own."""
    reference = weakref.ref(client)

    def close() -> None:
        found = reference()
        if found is not None:
            found.close()

    def close_in_child(_client: FlagShip) -> None:
        for name in ("multiprocessing.util", "billiard.util"):
            module = sys.modules.get(name)
            if module is not None:
                module.Finalize(None, close, exitpriority=100)

    atexit.register(close)
    for name in ("multiprocessing.util", "billiard.util"):
        if name in sys.modules or name.startswith("multiprocessing"):
            module = __import__(name, fromlist=["register_after_fork"])
            module.register_after_fork(client, close_in_child)
    return close
