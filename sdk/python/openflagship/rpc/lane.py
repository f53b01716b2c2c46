"""A thread that answers evaluations as they come, beside the event loop that serves all else.

For each call `grpc.aio` makes three tasks and as many turns of the loop, which costs five times what an evaluation
costs. So a thread takes the calls of some methods from gRPC's core itself, over a completion queue of its own. The
core's own parts are not among what gRPC promises to keep: where they are not found, `grpc.aio` serves those calls too.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import threading
from collections.abc import Callable, Coroutine, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import grpc
from grpc._cython import cygrpc  # type: ignore[attr-defined]  # it has no stubs

from openflagship.rpc.door import EndedError
from openflagship.serving.at_once import WaitsError, run_at_once

log = logging.getLogger("openflagship.rpc")

# Answers a message as the door's handlers do, and never waits.
Act: TypeAlias = Callable[[bytes, Any], Coroutine[Any, Any, bytes]]

_NO_FLAGS: Final = 0
_END_SECONDS: Final = 1.0
_WAITS: Final = b"Something is wrong with this method here. The log says what."


class Lane:
    """Made before the server starts; `start` it afterwards. It ends with the server."""

    def __init__(self, core: Any, acts: Mapping[str, Act]) -> None:
        """`core`: what `core_of` finds of a server. `acts`: by the path of their method."""
        self._core, self._acts = core, acts
        # How many events are still to come.
        self._due = 0
        self._queue = cygrpc.CompletionQueue()
        core.register_completion_queue(self._queue)
        for path in acts:
            core.register_method(path)
        self._thread = threading.Thread(target=self._run, name="openflagship-rpc", daemon=True)

    def start(self) -> None:
        for path in self._acts:
            self._ask(path)
        self._thread.start()

    async def join(self) -> None:
        """Wait for the thread, once the server has stopped. It may never have started."""
        if self._thread.is_alive():
            await asyncio.to_thread(self._thread.join, _END_SECONDS)

    def _ask(self, path: str) -> None:
        """Ask for the method's next call. The core keeps those that come meanwhile."""
        # It refuses once the server stops.
        with suppress(ValueError):
            self._core.request_registered_call(self._queue, self._queue, path, path)
            self._due += 1

    def begin(self, call: Any, operations: tuple[Any, ...], tag: Callable[[Any], None]) -> None:
        """Begin operations of a call. Their event goes to `tag`."""
        call.start_server_batch(operations, tag)
        self._due += 1

    def _run(self) -> None:
        while self._due:
            event: Any = self._queue.poll(None)
            self._due -= 1
            try:
                if not isinstance(event.tag, str):
                    event.tag(event)
                elif event.success:
                    self._ask(event.tag)
                    _Call(self, event.tag, self._acts[event.tag], event).receive()
            except Exception:
                log.exception("a call of gRPC failed; the next ones are answered")


@dataclass(slots=True)
class _Call:
    """One call, from its head to its answer. Its steps are the tags of gRPC's events."""

    lane: Lane
    path: str
    act: Act
    head: Any

    def receive(self) -> None:
        self.lane.begin(self.head.call, (cygrpc.ReceiveMessageOperation(_NO_FLAGS),), self.answer)

    def answer(self, event: Any) -> None:
        content = event.batch_operations[0].message()
        if content is None:
            # Whoever called is gone, or sent more than is allowed and was told so.
            return
        context = _Context(self.head)
        try:
            said = run_at_once(self.act(content, context))
        except EndedError as ended:
            self._send(_status(ended.code.value[0], str(ended).encode(), ended.trailing))
        except WaitsError:
            log.exception("%s failed", self.path)
            self._send(_status(cygrpc.StatusCode.internal, _WAITS, ()))
        else:
            message = cygrpc.SendMessageOperation(said, _NO_FLAGS)
            self._send(message, _status(cygrpc.StatusCode.ok, b"", context.trailing))

    def _send(self, *operations: Any) -> None:
        first = cygrpc.SendInitialMetadataOperation(None, _NO_FLAGS)
        self.lane.begin(self.head.call, (first, *operations), self.end)

    def end(self, event: Any) -> None:
        """What a caller does not take any more is no error. With this the last reference to the call goes."""


def _status(code: int, message: bytes, trailing: Any) -> Any:
    return cygrpc.SendStatusFromServerOperation(trailing, code, message, _NO_FLAGS)


class _Context:
    """What the door needs of gRPC's context."""

    __slots__ = ("_head", "trailing")

    def __init__(self, head: Any) -> None:
        self._head = head
        self.trailing: tuple[tuple[str, str], ...] = ()

    def invocation_metadata(self) -> Any:
        return self._head.invocation_metadata

    def peer(self) -> str:
        said: bytes = self._head.call.peer()
        return said.decode()

    def set_trailing_metadata(self, trailing: tuple[tuple[str, str], ...]) -> None:
        self.trailing = trailing

    async def abort(self, code: grpc.StatusCode, message: str, trailing: Any) -> None:
        raise EndedError(code, message, trailing)


def core_of(server: grpc.aio.Server) -> Any:
    """The part of gRPC's core that a server is made of; None where this version keeps it otherwise."""
    found = [one for one in gc.get_referents(getattr(server, "_server", None)) if isinstance(one, cygrpc.Server)]
    needed = ("register_completion_queue", "register_method", "request_registered_call")
    if len(found) == 1 and all(hasattr(found[0], name) for name in needed):
        return found[0]
    log.warning("this version of gRPC (%s) is not known: its calls cost more here", grpc.__version__)
    return None
