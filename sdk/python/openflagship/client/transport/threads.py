"""Runs a client's logic on its own thread with plain blocking sockets. Under gevent's patches it is a greenlet."""

from __future__ import annotations

import logging
import math
import queue
import socket
import ssl
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any, cast

from openflagship.client.transport.effects import (
    Answered,
    Call,
    Close,
    Connect,
    Effect,
    Endpoint,
    Logic,
    Pause,
    Read,
    Secure,
    Turn,
    Write,
)

log = logging.getLogger("openflagship")

_READ_BYTES = 262_144
_AFTER_BUG_SECONDS = 5.0
# A timeout of 0 would mean "do not wait", and is an error of another kind.
_LEAST_SECONDS = 0.001


def perform(logic: Logic[Answered], tls: ssl.SSLContext | None = None, most_seconds: float | None = None) -> Answered:
    """Run one logic to its end, in the calling thread, and return its result.

    Raises OSError, and TimeoutError once `most_seconds` have passed: then the logic ends at its present step.
    """
    driver = ThreadDriver("openflagship-request", lambda: logic, tls, most_seconds)
    try:
        return driver.drive(logic)
    except StoppedError:
        raise TimeoutError("timed out") from None
    finally:
        logic.close()
        driver.close_all()


class StoppedError(Exception):
    """The driver was told to stop."""


class ThreadDriver:
    """One logic, one thread, and its few open connections. Signal handlers may call `wake` too."""

    def __init__(
        self,
        name: str,
        make_logic: Callable[[], Logic[Any]],
        tls: ssl.SSLContext | None,
        most_seconds: float | None = None,
    ) -> None:
        self._make_logic = make_logic
        self._until = math.inf if most_seconds is None else time.monotonic() + most_seconds
        self._tls = tls
        # A SimpleQueue and no Event: its put() is reentrant, so that a signal handler may evaluate flags too.
        self._woken: queue.SimpleQueue[None] = queue.SimpleQueue()
        self._is_stopping = False
        self._sockets: set[socket.socket] = set()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def wake(self) -> None:
        self._woken.put(None)

    def stop(self) -> None:
        """Stop the logic at its present step, without waiting for it."""
        self._is_stopping = True
        self.wake()
        for found in tuple(self._sockets):
            with suppress(OSError):
                # Not a TLS socket's own, which forgets TLS first: a write just then would go in the clear.
                socket.socket.shutdown(found, socket.SHUT_RDWR)

    def join(self, seconds: float) -> None:
        if self._thread.is_alive() and self._thread is not threading.current_thread():
            self._thread.join(max(0.0, seconds))

    @property
    def is_alive(self) -> bool:
        return self._thread.is_alive()

    def abandon(self) -> None:
        """Call it in the child after a fork. It drops the parent's connections without sending anything on them."""
        found, self._sockets = self._sockets, set()
        for inherited in found:
            with suppress(OSError):
                # detach() first: closing a TLS socket may write to it, and it is the parent's.
                socket.close(inherited.detach())

    def _run(self) -> None:
        while not self._is_stopping:
            logic = self._make_logic()
            try:
                self.drive(logic)
            except StoppedError:
                return
            except (Exception, SystemExit):
                # A sink or a listener may call `sys.exit`, which would end this thread without a word.
                log.exception("a bug in openflagship; it goes on in %.0f s", _AFTER_BUG_SECONDS)
            else:
                return
            finally:
                logic.close()
                self.close_all()
            self._pause(_AFTER_BUG_SECONDS)

    def close_all(self) -> None:
        for left in tuple(self._sockets):
            self._close(left)

    def drive(self, logic: Logic[Answered]) -> Answered:
        """Do what the logic asks until it ends; return its result. Raises what the logic raises, and StoppedError."""
        result: Any = None
        failure: OSError | None = None
        while not self._is_stopping and (self._until == math.inf or time.monotonic() < self._until):
            try:
                effect = logic.send(result) if failure is None else logic.throw(failure)
            except StopIteration as end:
                return cast("Answered", end.value)
            result, failure = None, None
            try:
                result = self._do(effect)
            except OSError as error:
                failure = error
        raise StoppedError

    def _do(self, effect: Effect) -> Any:
        if isinstance(effect, Read):
            effect.handle.settimeout(self._within(effect.timeout_seconds))
            return effect.handle.recv(_READ_BYTES)
        if isinstance(effect, Pause):
            return self._pause(min(effect.seconds, self._left))
        if isinstance(effect, Connect):
            return self._connect(effect)
        if isinstance(effect, Write):
            effect.handle.settimeout(self._within(effect.timeout_seconds))
            return effect.handle.sendall(effect.data)
        if isinstance(effect, Turn):
            return None
        if isinstance(effect, Call):
            return effect.function()
        if isinstance(effect, Secure):
            effect.handle.settimeout(self._within(effect.timeout_seconds))
            return self._secure(effect.handle, effect.host)
        if not isinstance(effect, Close):
            raise TypeError(f"there is no effect {effect!r}")
        return self._close(effect.handle)

    @property
    def _left(self) -> float:
        return self._until if self._until == math.inf else self._until - time.monotonic()

    def _within(self, seconds: float) -> float:
        return max(_LEAST_SECONDS, min(seconds, self._left))

    def _connect(self, effect: Connect) -> socket.socket:
        endpoint = effect.endpoint
        until = time.monotonic() + self._within(effect.timeout_seconds)
        plain = self._connected(endpoint, until)
        # A peer that vanishes without a word is found out by the read timeout; this spares the NAT's patience too.
        plain.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        plain.settimeout(max(_LEAST_SECONDS, until - time.monotonic()))
        return self._secure(plain, endpoint.host) if endpoint.is_tls else plain

    def _connected(self, endpoint: Endpoint, until: float) -> socket.socket:
        """A connection to one of the host's addresses, all of them tried within the one time. Raises OSError."""
        try:
            found = socket.getaddrinfo(endpoint.host, endpoint.port, 0, socket.SOCK_STREAM)
        except UnicodeError as error:
            raise OSError(f"{endpoint.host!r} is no host name") from error
        failure: OSError = OSError(f"{endpoint.host!r} has no address")
        for number, (family, kind, protocol, _, address) in enumerate(found):
            left = until - time.monotonic()
            if left <= 0:
                break
            one = socket.socket(family, kind, protocol)
            # Known before it is connected, so that `stop` ends the attempt.
            self._sockets.add(one)
            if self._is_stopping:
                # Asked only now: `stop` may have looked before it was known.
                self._close(one)
                break
            try:
                # What is left is shared: a first address that nobody answers must not take the others' time.
                one.settimeout(max(_LEAST_SECONDS, left / (len(found) - number)))
                one.connect(address)
            except OSError as error:
                failure = error
                self._close(one)
            else:
                return one
        raise failure

    def _secure(self, plain: socket.socket, host: str) -> socket.socket:
        tls = self._tls or ssl.create_default_context()
        try:
            secured = tls.wrap_socket(plain, server_hostname=host, do_handshake_on_connect=False)
        except OSError:
            self._close(plain)
            raise
        # Swapped before the handshake, so that `stop` ends it: `plain` has no connection any more.
        self._sockets.discard(plain)
        self._sockets.add(secured)
        if self._is_stopping:
            raise StoppedError
        try:
            secured.do_handshake()
        except OSError:
            self._close(secured)
            raise
        return secured

    def _pause(self, seconds: float) -> bool:
        try:
            self._woken.get(timeout=min(max(0.0, seconds), threading.TIMEOUT_MAX))
        except queue.Empty:
            return False
        with suppress(queue.Empty):
            while True:
                self._woken.get_nowait()
        return True

    def _close(self, handle: socket.socket) -> None:
        self._sockets.discard(handle)
        handle.close()
