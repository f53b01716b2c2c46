"""Runs a client's logic as a task of an asyncio event loop."""

from __future__ import annotations

import asyncio
import logging
import ssl
import time
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any, TypeAlias, TypeVar, cast

from openflagship.client.transport.effects import (
    Answered,
    Call,
    Close,
    Connect,
    Effect,
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
_CANCEL_AGAIN_SECONDS = 0.1
_LOOK_SECONDS = 0.005
_Result = TypeVar("_Result")
_Pair: TypeAlias = tuple[asyncio.StreamReader, asyncio.StreamWriter]


async def perform(logic: Logic[Answered], tls: ssl.SSLContext | None) -> Answered:
    """Run one logic to its end, in the calling task, and return its result. Raises OSError."""
    driver = AsyncDriver("openflagship-request", lambda: logic, tls)
    try:
        return await driver.drive(logic)
    finally:
        driver.close_all()


async def _within(
    act: Coroutine[Any, Any, _Result], seconds: float, drop: Callable[[_Result], object] = lambda _: None
) -> _Result:
    """As `asyncio.wait_for`, which before Python 3.12 swallows a cancellation that comes as its awaitable is done.

    What was done just then is dropped.
    """

    task = asyncio.ensure_future(act)

    def end(ended: asyncio.Task[_Result]) -> None:
        if not ended.cancelled() and ended.exception() is None:
            drop(ended.result())

    def leave() -> None:
        task.cancel()
        # The loop may take no further turn.
        if task.done():
            end(task)
        else:
            task.add_done_callback(end)

    try:
        await asyncio.wait([task], timeout=seconds)
    except asyncio.CancelledError:
        leave()
        raise
    if task.done():
        return task.result()
    leave()
    raise asyncio.TimeoutError  # noqa: UP041 - another class than TimeoutError on Python 3.10


class AsyncDriver:
    """One logic, one task, and its few open connections. Any thread may call `wake`."""

    def __init__(self, name: str, make_logic: Callable[[], Logic[Any]], tls: ssl.SSLContext | None) -> None:
        self._name = name
        self._make_logic = make_logic
        self._tls = tls
        self._loop = asyncio.get_running_loop()
        self._woken = asyncio.Event()
        self._open: set[_Pair] = set()
        self._task: asyncio.Task[None] | None = None

    def start(self, ended: Callable[[], object] = lambda: None) -> None:
        """`ended` is called on the loop, once the logic has ended or the loop has cancelled it."""
        self._task = self._loop.create_task(self._run(), name=self._name)
        self._task.add_done_callback(lambda _: ended())

    def wake(self) -> None:
        # The loop may be closed by now; then there is nobody to wake.
        with suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._woken.set)

    async def stop(self) -> None:
        """Stop the logic at its present step. On another loop than its own it is told to stop, and not waited for."""
        if self._task is not None and self._loop is not asyncio.get_running_loop():
            self.cancel()
            return
        # Again and again: before Python 3.12 `wait_for` swallows a cancellation that comes as its awaitable is done.
        while self._task is not None and not self._task.done():
            self._task.cancel()
            await asyncio.wait([self._task], timeout=_CANCEL_AGAIN_SECONDS)

    def cancel(self) -> None:
        """Tell the logic to stop, from any thread and any loop. On a loop that is stopped it ends once that runs."""
        # The loop may be closed by now; then nothing runs.
        with suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._cancel)

    def _cancel(self) -> None:
        # Again and again, as `stop` does.
        if self._task is not None and not self._task.done():
            self._task.cancel()
            self._loop.call_later(_CANCEL_AGAIN_SECONDS, self._cancel)

    async def join(self, seconds: float) -> None:
        if self._task is None:
            return
        if self._loop is asyncio.get_running_loop():
            await asyncio.wait([self._task], timeout=max(0.0, seconds))
            return
        until = time.monotonic() + seconds
        # Looks rather than waits: the other loop may be closed at any moment.
        while self.is_alive and time.monotonic() < until:  # noqa: ASYNC110 - see above
            await asyncio.sleep(_LOOK_SECONDS)

    @property
    def is_alive(self) -> bool:
        """Whether it runs: a loop that was stopped takes no step until it is run again."""
        return self._task is not None and not self._task.done() and self._loop.is_running()

    def abandon(self) -> None:
        """Call it in the child after a fork. The loop and its open connections belong to the parent."""
        self._task = None
        self._open = set()

    async def _run(self) -> None:
        while True:
            logic = self._make_logic()
            try:
                await self.drive(logic)
            except (Exception, SystemExit):
                # A sink or a listener may call `sys.exit`, which would end the program's loop.
                log.exception("a bug in openflagship; it goes on in %.0f s", _AFTER_BUG_SECONDS)
            else:
                return
            finally:
                logic.close()
                self.close_all()
            await asyncio.sleep(_AFTER_BUG_SECONDS)

    def close_all(self) -> None:
        for left in tuple(self._open):
            self._close(left)

    async def drive(self, logic: Logic[Answered]) -> Answered:
        """Do what the logic asks until it ends, and return its result. Raises what the logic raises."""
        result: Any = None
        failure: OSError | None = None
        while True:
            try:
                effect = logic.send(result) if failure is None else logic.throw(failure)
            except StopIteration as end:
                return cast("Answered", end.value)
            result, failure = None, None
            try:
                result = await self._do(effect)
            except asyncio.TimeoutError:  # noqa: UP041 - another class than TimeoutError on Python 3.10
                failure = TimeoutError("timed out")
            except OSError as error:
                failure = error

    async def _do(self, effect: Effect) -> Any:
        if isinstance(effect, Read):
            return await _within(effect.handle[0].read(_READ_BYTES), effect.timeout_seconds)
        if isinstance(effect, Pause):
            return await self._pause(effect.seconds)
        if isinstance(effect, Connect):
            return await self._connect(effect)
        if isinstance(effect, Write):
            effect.handle[1].write(effect.data)
            return await _within(effect.handle[1].drain(), effect.timeout_seconds)
        if isinstance(effect, Turn):
            return await asyncio.sleep(0)
        if isinstance(effect, Call):
            return await asyncio.to_thread(effect.function)
        if isinstance(effect, Secure):
            return await _within(self._secure(effect.handle, effect.host), effect.timeout_seconds)
        if not isinstance(effect, Close):
            raise TypeError(f"there is no effect {effect!r}")
        return self._close(effect.handle)

    async def _connect(self, effect: Connect) -> _Pair:
        endpoint = effect.endpoint
        tls = (self._tls or ssl.create_default_context()) if endpoint.is_tls else None
        opening = asyncio.open_connection(endpoint.host, endpoint.port, ssl=tls, limit=_READ_BYTES)
        try:
            pair = await _within(opening, effect.timeout_seconds, lambda pair: pair[1].transport.abort())
        except UnicodeError as error:
            raise OSError(f"{endpoint.host!r} is no host name") from error
        self._open.add(pair)
        return pair

    async def _secure(self, plain: _Pair, host: str) -> _Pair:
        """Raises OSError. The connection is then closed with the others."""
        reader, writer = plain
        tls = self._tls or ssl.create_default_context()
        if hasattr(writer, "start_tls"):
            # From Python 3.11 on.
            await writer.start_tls(tls, server_hostname=host)
            return plain
        reader = asyncio.StreamReader(_READ_BYTES)
        protocol = asyncio.StreamReaderProtocol(reader)
        transport = await self._loop.start_tls(writer.transport, protocol, tls, server_hostname=host)
        if transport is None:
            raise OSError("the connection ended before TLS began")
        protocol.connection_made(transport)
        pair = reader, asyncio.StreamWriter(transport, protocol, reader, self._loop)
        self._open.discard(plain)
        self._open.add(pair)
        return pair

    async def _pause(self, seconds: float) -> bool:
        try:
            await _within(self._woken.wait(), max(0.0, seconds))
        except asyncio.TimeoutError:  # noqa: UP041 - another class than TimeoutError on Python 3.10
            return False
        self._woken.clear()
        return True

    def _close(self, handle: _Pair) -> None:
        self._open.discard(handle)
        # Not close(): over TLS that waits for a farewell of the other side's, which may come after the loop's end.
        with suppress(RuntimeError):
            handle[1].transport.abort()
