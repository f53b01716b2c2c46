"""The Connect protocol over HTTP/1.1, as an ASGI application: flagd's provider for Go speaks it in place of gRPC.

The calls go through the same door as those over gRPC, which sees their headers as metadata.
"""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from http import HTTPStatus
from typing import Any, Final
from urllib.parse import quote

import grpc
from google.protobuf.descriptor import ServiceDescriptor
from google.rpc.status_pb2 import Status

from openflagship.rpc.door import EndedError, methods_of, request_of
from openflagship.rpc.refusals import DETAILS
from openflagship.wire.asgi import (
    JSON,
    AsgiRequest,
    Receive,
    Scope,
    Send,
    encoded,
    send_part,
    send_whole,
    watching,
)
from openflagship.wire.errors import RefusedError
from openflagship.wire.reading import GoneError

_UNARY: Final = b"application/proto"
_STREAM: Final = b"application/connect+proto"
_STATUSES: Final = {
    "INVALID_ARGUMENT": 400, "FAILED_PRECONDITION": 400, "UNAUTHENTICATED": 401, "PERMISSION_DENIED": 403,
    "NOT_FOUND": 404, "ABORTED": 409, "RESOURCE_EXHAUSTED": 429, "UNIMPLEMENTED": 501, "UNAVAILABLE": 503,
    "DEADLINE_EXCEEDED": 504,
}  # fmt: skip
_COMPRESSING: Final = frozenset({b"content-encoding", b"connect-content-encoding"})
_HEAD_BYTES: Final = 5
_END_OF_STREAM: Final = 2
# Whoever did not take the end of a stream by then is cut off without it.
_END_SECONDS: Final = 10.0
_CLOSE: Final = ("connection", "close")
_COMPRESSED: Final = "Send messages as they are, not compressed."
_NO_ENVELOPE: Final = "The body is no envelope: one byte of flags, four of the message's length, and the message."


class ConnectApplication:
    """Answers each method that takes one message, by its path `/package.Service/Method`."""

    def __init__(
        self,
        services: Iterable[tuple[ServiceDescriptor, Any]],
        most_bytes: int,
        admits: Callable[[AsgiRequest], bool] = lambda _request: True,
    ) -> None:
        """`services`: the description of each, and the door's handler of its calls.

        Of whoever is not admitted no body is read; it is for the handler to refuse the call.
        """
        self._most_bytes = most_bytes
        self._admits = admits
        self._methods: dict[str, tuple[bool, Any]] = {}
        for service, handler in services:
            self._methods |= {path: (is_stream, act) for path, is_stream, act in methods_of(service, handler)}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        request = AsgiRequest(scope, receive)
        is_stream, act = self._methods.get(request.path, (False, None))
        kind = _STREAM if is_stream else _UNARY
        if act is None:
            await _refuse(send, EndedError(grpc.StatusCode.UNIMPLEMENTED, f"There is no {request.path} here."))
        elif b"origin" in request.headers:
            # A page of any site could ask an address that needs no key.
            await _refuse(send, EndedError(grpc.StatusCode.PERMISSION_DENIED, "This address is not for browsers."))
        elif request.method != "POST" or request.headers.get(b"content-type") != kind:
            await send_whole(send, 415 if request.method == "POST" else 405, [(b"accept-post", kind)], b"")
        elif not request.headers.keys().isdisjoint(_COMPRESSING):
            await _refuse(send, EndedError(grpc.StatusCode.UNIMPLEMENTED, _COMPRESSED))
        else:
            with suppress(GoneError):  # nobody is left to hear an answer
                await (self._stream if is_stream else self._unary)(request, send, act)

    async def _unary(self, request: AsgiRequest, send: Send, act: Any) -> None:
        context = _Context(request, send)
        try:
            said = await act(await self._body(context) or b"", context)
        except EndedError as ended:
            await _refuse(send, ended, context.closing)
        else:
            await send_whole(send, 200, [(b"content-type", _UNARY), *encoded(context.trailing)], said)

    async def _stream(self, request: AsgiRequest, send: Send, act: Any) -> None:
        context = _Context(request, send)
        try:
            content = await self._body(context, _HEAD_BYTES)
            message = b"" if content is None else _message_in(content)
        except EndedError as error:
            await context.send_initial_metadata(())
            await context.end({"error": _body_of(error)})
            return
        acting = asyncio.ensure_future(act(message, context))
        ended: dict[str, Any] = {}
        async with watching(request, acting.cancel):
            try:
                await acting
            except EndedError as error:
                ended = {"error": _body_of(error)}
            except asyncio.CancelledError:
                acting.cancel()
                # The caller is gone, and so is the door's act. Whoever cancels this task finds it cancelled.
                if not acting.cancelled():
                    raise
                return
        await context.end(ended)

    async def _body(self, context: _Context, more_bytes: int = 0) -> bytes | None:
        """None where the caller is not admitted. Raises EndedError."""
        if not self._admits(request_of(context)):
            context.closing = (_CLOSE,)
            return None
        try:
            return await context.request.body(self._most_bytes + more_bytes)
        except RefusedError as error:
            context.closing = (_CLOSE,)
            is_late = error.status == HTTPStatus.REQUEST_TIMEOUT
            code = grpc.StatusCode.DEADLINE_EXCEEDED if is_late else grpc.StatusCode.RESOURCE_EXHAUSTED
            raise EndedError(code, str(error)) from error


def _body_of(ended: EndedError) -> Mapping[str, Any]:
    packed: Any = next((value for name, value in ended.trailing if name == DETAILS), b"")
    details = [
        {"type": one.type_url.rpartition("/")[2], "value": base64.b64encode(one.value).decode().rstrip("=")}
        for one in Status.FromString(packed).details
    ]
    return {"code": ended.code.name.lower(), "message": str(ended), "details": details}


class _Context:
    """What the door needs of gRPC's context."""

    def __init__(self, request: AsgiRequest, send: Send) -> None:
        self.request, self._send = request, send
        self.trailing: list[tuple[str, str]] = []
        # Headers of an answer after which the connection is of no more use.
        self.closing: tuple[tuple[str, str], ...] = ()

    def invocation_metadata(self) -> list[tuple[str, str]]:
        return [(name.decode("latin-1"), value.decode("latin-1")) for name, value in self.request.headers.items()]

    def peer(self) -> str:
        host, port = self.request.scope.get("client") or ("", 0)
        return f"ipv6:{quote(f'[{host}]')}:{port}" if ":" in host else f"ipv4:{host}:{port}"

    def set_trailing_metadata(self, trailing: Iterable[tuple[str, str]]) -> None:
        self.trailing = list(trailing)

    async def send_initial_metadata(self, metadata: Iterable[tuple[str, str]]) -> None:
        headers = [(b"content-type", _STREAM), *encoded((*metadata, *self.closing))]
        await self._send({"type": "http.response.start", "status": 200, "headers": headers})

    async def write(self, content: bytes) -> None:
        await send_part(self._send, _enveloped(content))

    async def abort(self, code: grpc.StatusCode, message: str, trailing: Sequence[tuple[str, Any]]) -> None:
        raise EndedError(code, message, trailing)

    async def end(self, ended: Mapping[str, Any]) -> None:
        """End a stream, and the connection of a caller that does not take the end."""
        last = send_part(self._send, _enveloped(json.dumps(ended).encode(), _END_OF_STREAM), is_last=True)
        try:
            await asyncio.wait_for(last, _END_SECONDS)
        except asyncio.TimeoutError:  # noqa: UP041 - another class on Python 3.10
            transport = self.request.scope.get("state", {}).get("transport")
            if transport is not None:
                transport.abort()
                await self.request.wait_until_gone()


def _message_in(content: bytes) -> bytes:
    """The message of a body's one envelope. Raises EndedError."""
    if len(content) < _HEAD_BYTES or int.from_bytes(content[1:_HEAD_BYTES], "big") != len(content) - _HEAD_BYTES:
        raise EndedError(grpc.StatusCode.INVALID_ARGUMENT, _NO_ENVELOPE)
    if content[0]:
        raise EndedError(grpc.StatusCode.UNIMPLEMENTED, _COMPRESSED)
    return content[_HEAD_BYTES:]


def _enveloped(content: bytes, flags: int = 0) -> bytes:
    return bytes([flags]) + len(content).to_bytes(4, "big") + content


async def _refuse(send: Send, ended: EndedError, more: Iterable[tuple[str, str]] = ()) -> None:
    trailing = [(name, value) for name, value in ended.trailing if isinstance(value, str)]
    headers = [(b"content-type", JSON), *encoded((*trailing, *more))]
    await send_whole(send, _STATUSES.get(ended.code.name, 500), headers, json.dumps(_body_of(ended)).encode())
