"""The one door of every call: its request id, its refusal, its figures, and an answer to what nobody expected."""

from __future__ import annotations

import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Final, Protocol
from urllib.parse import unquote

import grpc
from google.protobuf.descriptor import MethodDescriptor, ServiceDescriptor
from google.protobuf.message_factory import GetMessageClass

from openflagship.rpc.refusals import metadata_of, status_of
from openflagship.wire.asgi import AsgiRequest
from openflagship.wire.errors import RefusedError

log = logging.getLogger("openflagship.rpc")

_SELECTOR: Final = b"flagd-selector"
_AUTHORIZATION: Final = b"authorization"
_UNEXPECTED: Final = "Something went wrong here. The log says what, under the request's id."


@dataclass(slots=True)
class Call:
    """One call. `request` has the metadata as headers, so that whoever knows a caller over HTTP knows it here.

    `caller` is the public name of its credential, once that is known; `note` is for whoever observes.
    """

    request: AsgiRequest
    method: str
    context: Any
    caller: str = ""
    note: Any = None


# Answers one message, or a stream of them.
Unary = Callable[[Any, Call], Awaitable[Any]]
Streaming = Callable[[Any, Call], AsyncIterator[Any]]


class Observer(Protocol):
    def __call__(self, call: Call, code: grpc.StatusCode, seconds: float) -> None:
        """Note that a call has ended."""


class Door:
    """Makes gRPC's handlers of functions that answer or raise RefusedError.

    `refusal_of` says what another error means to a caller; None where nobody expected it.
    """

    def __init__(
        self, observe: Observer, refusal_of: Callable[[Exception], RefusedError | None] = lambda _error: None
    ) -> None:
        self._observe = observe
        self._refusal_of = refusal_of

    def handler(self, service: ServiceDescriptor, acts: dict[str, Unary | Streaming]) -> grpc.GenericRpcHandler:
        """The service's methods, each answered by the act of its name."""
        handlers = {method.name: self._method(method, acts[method.name]) for method in service.methods}
        return grpc.method_handlers_generic_handler(service.full_name, handlers)

    def _method(self, method: MethodDescriptor, act: Any) -> grpc.RpcMethodHandler[Any, Any]:
        name = method.full_name
        kind = {
            (False, False): grpc.unary_unary_rpc_method_handler,
            (False, True): grpc.unary_stream_rpc_method_handler,
            (True, True): grpc.stream_stream_rpc_method_handler,
        }[method.client_streaming, method.server_streaming]
        behaviour: Any = self._streaming(name, act) if method.server_streaming else self._unary(name, act)
        return kind(
            behaviour,
            request_deserializer=GetMessageClass(method.input_type).FromString,
            response_serializer=GetMessageClass(method.output_type).SerializeToString,
        )

    def _unary(self, name: str, act: Unary) -> Any:
        async def answer(message: Any, context: Any) -> Any:
            started = time.perf_counter()
            call = Call(_request_of(context), name, context)
            try:
                said = await act(message, call)
            except Exception as error:  # noqa: BLE001 - whatever it is, the caller gets a status and the log the rest
                refused = self._refused(error, call)
                self._observe(call, status_of(refused), time.perf_counter() - started)
                await _abort(call, refused)
            context.set_trailing_metadata((("x-request-id", call.request.identify()),))
            self._observe(call, grpc.StatusCode.OK, time.perf_counter() - started)
            return said

        return answer

    def _streaming(self, name: str, act: Streaming) -> Any:
        async def answer(message: Any, context: Any) -> AsyncIterator[Any]:
            started = time.perf_counter()
            call = Call(_request_of(context), name, context)
            code = grpc.StatusCode.CANCELLED
            try:
                # Before the first message, so that a caller knows that it is heard.
                await context.send_initial_metadata((("x-request-id", call.request.identify()),))
                async for said in act(message, call):
                    yield said
                code = grpc.StatusCode.OK
            except Exception as error:  # noqa: BLE001 - as above
                refused = self._refused(error, call)
                code = status_of(refused)
                await _abort(call, refused)
            finally:
                self._observe(call, code, time.perf_counter() - started)

        return answer

    def _refused(self, error: Exception, call: Call) -> RefusedError:
        refused = error if isinstance(error, RefusedError) else self._refusal_of(error)
        if refused is None:
            log.error("call_failed %s %s", call.method, call.request.identify(), exc_info=error)
            refused = RefusedError(500, _UNEXPECTED)
        return refused


async def _abort(call: Call, refused: RefusedError) -> None:
    """Raises what ends the call."""
    request_id = call.request.identify()
    trailing = (("x-request-id", request_id), *metadata_of(refused, request_id))
    await call.context.abort(status_of(refused), str(refused), trailing)


def _request_of(context: Any) -> AsgiRequest:
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
    return AsgiRequest({"type": "grpc", "path": "", "headers": headers, "client": _peer_of(context.peer())})


def _peer_of(peer: str) -> tuple[str, int]:
    """Address and port of `ipv4:127.0.0.1:5000` or `ipv6:%5B::1%5D:5000`; nothing of a Unix socket."""
    kind, _, rest = peer.partition(":")
    if kind not in {"ipv4", "ipv6"}:
        return "", 0
    address, _, port = unquote(rest).rpartition(":")
    return address.strip("[]"), int(port) if port.isdigit() else 0
