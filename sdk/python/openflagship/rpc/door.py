"""The one door of every call: its request id, its refusal, its figures, and an answer to what nobody expected."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import ExitStack, aclosing
from functools import lru_cache
from typing import Any, ClassVar, Final, Protocol
from urllib.parse import unquote

import grpc
from google.protobuf.descriptor import MethodDescriptor, ServiceDescriptor
from google.protobuf.message import DecodeError
from google.protobuf.message_factory import GetMessageClass

from openflagship.rpc.refusals import metadata_of, status_of
from openflagship.wire.asgi import AsgiRequest
from openflagship.wire.bodies import MAX_BODY_BYTES
from openflagship.wire.errors import PARSE_ERROR, RefusedError
from openflagship.wire.reading import GoneError

log = logging.getLogger("openflagship.rpc")

_SELECTOR: Final = b"flagd-selector"
_AUTHORIZATION: Final = b"authorization"
_UNEXPECTED: Final = "Something went wrong here. The log says what, under the request's id."


class Call:
    """One call. `request` has the metadata as headers, so that whoever knows a caller over HTTP knows it here.

    `caller` is the public name of its credential, once that is known; `note` is for whoever observes.
    """

    __slots__ = ("caller", "context", "method", "note", "request")
    is_stream: ClassVar[bool] = False

    def __init__(self, request: AsgiRequest, method: str, context: Any) -> None:
        self.request, self.method, self.context = request, method, context
        self.caller = ""
        self.note: Any = None


class StreamCall(Call):
    """One call that is answered by a stream. What is `held` is given back when all of the call is over."""

    __slots__ = ("_cut", "held")
    is_stream = True

    def __init__(self, request: AsgiRequest, method: str, context: Any) -> None:
        super().__init__(request, method, context)
        self.held = ExitStack()
        self._cut: asyncio.Future[RefusedError] = asyncio.get_running_loop().create_future()

    def cut(self, refused: RefusedError) -> None:
        """End the stream with a refusal, although its caller takes nothing of what is being sent."""
        if not self._cut.done():
            self._cut.set_result(refused)

    async def write(self, content: bytes) -> None:
        """Send one message of a stream. Raises RefusedError where it is cut, GoneError where the caller is gone."""
        writing = asyncio.ensure_future(self.context.write(content))
        writing.add_done_callback(_pass_over)
        try:
            await asyncio.wait((writing, self._cut), return_when=asyncio.FIRST_COMPLETED)
        except asyncio.CancelledError:
            writing.cancel()
            raise
        if not writing.done():
            # It stays on its way: a caller that reads on gets it before the refusal.
            raise self._cut.result()
        if writing.exception() is not None:
            raise GoneError from writing.exception()


class EndedError(Exception):
    """A call that has ended with a status, where the context is not `grpc.aio`'s own."""

    def __init__(self, code: grpc.StatusCode, message: str, trailing: Sequence[tuple[str, str | bytes]] = ()) -> None:
        super().__init__(message)
        self.code = code
        self.trailing = tuple(trailing)


def _pass_over(writing: asyncio.Future[None]) -> None:
    """Take note of a failure that nobody waits for: the caller of a stream that was cut has gone."""
    if not writing.cancelled():
        writing.exception()


# Answers by one message, which may be written already, or by a stream of them.
Unary = Callable[[Any, Call], Awaitable[Any]]
Streaming = Callable[[Any, StreamCall], AsyncGenerator[Any, None]]


class Observer(Protocol):
    def __call__(self, call: Call, code: grpc.StatusCode, seconds: float) -> None:
        """Note that a call has ended."""


class Door:
    """Makes gRPC's handlers of functions that answer or raise RefusedError.

    `refusal_of` says what another error means to a caller; None where nobody expected it.
    """

    def __init__(
        self,
        observe: Observer,
        refusal_of: Callable[[Exception], RefusedError | None] = lambda _error: None,
        *,
        most_bytes: int = MAX_BODY_BYTES,
    ) -> None:
        """`most_bytes`: of the message of a call that sends one. What a stream may bring is for its act to say."""
        self._observe = observe
        self._refusal_of = refusal_of
        self._most_bytes = most_bytes

    def handler(self, service: ServiceDescriptor, acts: dict[str, Unary | Streaming]) -> grpc.GenericRpcHandler:
        """The service's methods, each answered by the act of its name."""
        handlers = {method.name: self._method(method, acts[method.name]) for method in service.methods}
        return grpc.method_handlers_generic_handler(service.full_name, handlers)

    def _method(self, method: MethodDescriptor, act: Any) -> grpc.RpcMethodHandler[Any, Any]:
        kind = {
            (False, False): grpc.unary_unary_rpc_method_handler,
            (False, True): grpc.unary_stream_rpc_method_handler,
            (True, True): grpc.stream_stream_rpc_method_handler,
        }[method.client_streaming, method.server_streaming]
        # Messages come and go as bytes: what cannot be read is refused, counted and named like everything else.
        return kind(self._streaming(method, act) if method.server_streaming else self._unary(method, act))

    def _unary(self, method: MethodDescriptor, act: Unary) -> Any:
        read, name = self._reader(method), method.full_name

        async def answer(content: bytes, context: Any) -> bytes:
            started = time.perf_counter()
            call = Call(request_of(context), name, context)
            try:
                answered = await act(read(content), call)
                said: bytes = answered if answered.__class__ is bytes else answered.SerializeToString()
            except Exception as error:  # noqa: BLE001 - whatever it is, the caller gets a status and the log the rest
                refused = self._refused(error, call)
                self._observe(call, status_of(refused), time.perf_counter() - started)
                await _abort(call, refused)
            context.set_trailing_metadata((("x-request-id", call.request.identify()),))
            self._observe(call, grpc.StatusCode.OK, time.perf_counter() - started)
            return said

        return answer

    def _streaming(self, method: MethodDescriptor, act: Streaming) -> Any:
        read = self._reader(method)

        # Not a generator: only whoever writes himself can end a stream that nobody reads.
        async def answer(content: Any, context: Any) -> None:
            started = time.perf_counter()
            call = StreamCall(request_of(context), method.full_name, context)
            code = grpc.StatusCode.CANCELLED
            try:
                # Before the first message, so that a caller knows that it is heard.
                await context.send_initial_metadata((("x-request-id", call.request.identify()),))
                message = _each(content, read) if method.client_streaming else read(content)
                async with aclosing(act(message, call)) as answers:
                    async for said in answers:
                        await call.write(said.SerializeToString())
                code = grpc.StatusCode.OK
            except GoneError:
                pass  # nobody is left to hear an answer
            except Exception as error:  # noqa: BLE001 - as above
                refused = self._refused(error, call)
                code = status_of(refused)
                await _abort(call, refused)
            finally:
                call.held.close()
                self._observe(call, code, time.perf_counter() - started)

        return answer

    def _reader(self, method: MethodDescriptor) -> Callable[[bytes], Any]:
        """Makes a method's message of bytes, or raises RefusedError."""
        kind, most_bytes = method.input_type, None if method.client_streaming else self._most_bytes
        parse: Callable[[bytes], Any] = GetMessageClass(kind).FromString

        def read(content: bytes) -> Any:
            if most_bytes is not None and len(content) > most_bytes:
                raise RefusedError(413, f"The message is larger than {most_bytes:,} bytes; send less, or split it.")
            try:
                return parse(content)
            except DecodeError as error:
                detail = f"These bytes are no {kind.full_name}: {error}. Send one that is made from our .proto file."
                raise RefusedError(400, detail, code=PARSE_ERROR) from error

        return read

    def _refused(self, error: Exception, call: Call) -> RefusedError:
        refused = error if isinstance(error, RefusedError) else self._refusal_of(error)
        if refused is None:
            log.error("call_failed %s %s", call.method, call.request.identify(), exc_info=error)
            refused = RefusedError(500, _UNEXPECTED)
        return refused


def methods_of(service: ServiceDescriptor, handler: grpc.GenericRpcHandler) -> Iterator[tuple[str, bool, Any]]:
    """Of each method of a service its path, whether it answers by a stream, and what answers it."""
    for method in service.methods:
        path = f"/{service.full_name}/{method.name}"
        found: Any = handler.service(_Asked(path))
        yield path, method.server_streaming, found.stream_stream or found.unary_stream or found.unary_unary


class _Asked(grpc.HandlerCallDetails):
    """What gRPC's handlers want to know of a call to find its method."""

    def __init__(self, method: str) -> None:
        self.method = method
        self.invocation_metadata = ()


async def _abort(call: Call, refused: RefusedError) -> None:
    """Raises what ends the call."""
    request_id = call.request.identify()
    trailing = (("x-request-id", request_id), *metadata_of(refused, request_id))
    await call.context.abort(status_of(refused), str(refused), trailing)


async def _each(contents: AsyncIterator[bytes], read: Callable[[bytes], Any]) -> AsyncIterator[Any]:
    async for content in contents:
        yield read(content)


def request_of(context: Any) -> AsgiRequest:
    """The call's metadata as the headers of a request.

    flagd's providers can send no `authorization`: a key may stand in their selector.
    """
    headers: list[tuple[bytes, bytes]] = []
    selector = b""
    for name, value in context.invocation_metadata():
        if isinstance(value, str):
            pair = (name.encode(), value.encode("utf-8", "replace"))
            headers.append(pair)
            if pair[0] == _SELECTOR:
                selector = pair[1]
    if selector.startswith(b"fs_") and all(name != _AUTHORIZATION for name, _ in headers):
        headers.append((_AUTHORIZATION, b"Bearer " + selector))
    return AsgiRequest({"type": "grpc", "path": "", "headers": headers, "client": peer_of(context.peer())})


# Many calls come over each connection.
@lru_cache(maxsize=4_096)
def peer_of(peer: str) -> tuple[str, int]:
    """Address and port of `ipv4:127.0.0.1:5000` or `ipv6:%5B::1%5D:5000`; nothing of a Unix socket."""
    kind, _, rest = peer.partition(":")
    if kind not in {"ipv4", "ipv6"}:
        return "", 0
    address, _, port = unquote(rest).rpartition(":")
    return address.strip("[]"), int(port) if port.isdigit() else 0
