"""`openflagship.v1` in front of a mocked server: each call is the request over HTTP that says the same.

So whatever a case scripts, and whatever it reads of what was asked, is as over HTTP.
"""

from __future__ import annotations

import http.client
import json
import re
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any, NoReturn, cast

import grpc
from google.protobuf.json_format import ParseDict
from openflagship.rpc.generated.openflagship.v1 import flagship_pb2 as v1
from openflagship.rpc.refusals import body_of, metadata_of, status_of
from openflagship.rpc.server import Limits
from openflagship.wire.errors import RefusedError

from sdk.conformance.endpoints import SNAPSHOT, STREAM, Endpoints

_PATIENCE_SECONDS = 60.0
_MOST_BYTES = 5 * 1024 * 1024
_AGE = re.compile(r"\bage=([\d.]+)")
_KINDS = {
    v1.EVENT_KIND_EXPOSURE: "exposure",
    v1.EVENT_KIND_CONVERSION: "conversion",
    v1.EVENT_KIND_METRIC: "metrics",
    v1.EVENT_KIND_USAGE: "usage",
}
# Of a batch, said in its receipt; other refusals end the call.
_OF_BATCHES = {400, 413}


class Gateway:
    """A gRPC server on a port of its own."""

    def __init__(self, behind: Endpoints) -> None:
        self._behind = behind
        # As the product's own server: nothing compressed is taken.
        limits = Limits(most_bytes=_MOST_BYTES, most_calls=0, keep_alive_seconds=_PATIENCE_SECONDS)
        self._server = grpc.server(ThreadPoolExecutor(16), options=limits.options())
        ways: dict[str, tuple[Any, Any, Any]] = {
            "Config/Watch": (grpc.unary_stream_rpc_method_handler, self._watch, v1.WatchRequest),
            "Config/GetSnapshot": (grpc.unary_unary_rpc_method_handler, self._snapshot, v1.GetSnapshotRequest),
            "Events/Ingest": (grpc.stream_stream_rpc_method_handler, self._ingest, v1.IngestRequest),
        }
        handlers: dict[str, dict[str, Any]] = {}
        for name, (make, act, message) in ways.items():
            service, method = name.split("/")
            handlers.setdefault(service, {})[method] = make(
                act, request_deserializer=message.FromString, response_serializer=lambda said: said.SerializeToString()
            )
        self._server.add_generic_rpc_handlers(
            [
                grpc.method_handlers_generic_handler(f"openflagship.v1.{name}", methods)
                for name, methods in handlers.items()
            ]
        )
        self.target = f"127.0.0.1:{self._server.add_insecure_port('127.0.0.1:0')}"
        self._server.start()

    def close(self) -> None:
        self._server.stop(None).wait(_PATIENCE_SECONDS)

    def _snapshot(self, message: v1.GetSnapshotRequest, context: grpc.ServicerContext) -> v1.GetSnapshotResponse:
        known = {"If-None-Match": message.if_none_match} if message.if_none_match else {}
        answer = self._ask(context, "GET", SNAPSHOT, known)
        if answer.status not in {200, 304}:
            _refuse(context, answer)
        age = answer.getheader("X-FlagShip-Age")
        return v1.GetSnapshotResponse(
            etag=answer.getheader("ETag") or "",
            document=answer.read(),
            signatures=answer.headers.get_all("X-Signature") or [],
            age_seconds=None if age is None else float(age),
        )

    def _watch(self, message: v1.WatchRequest, context: grpc.ServicerContext) -> Iterator[v1.WatchResponse]:
        named = {"X-FlagShip-Instance": message.instance, "X-FlagShip-SDK": message.sdk}
        headers = {"Accept": "text/event-stream", **named}
        if message.HasField("last_version"):
            headers["Last-Event-ID"] = str(message.last_version)
        answer = self._ask(context, "GET", STREAM, headers)
        if answer.status != 200:
            _refuse(context, answer)
        age = answer.getheader("X-FlagShip-Age")
        yield v1.WatchResponse(age_seconds=None if age is None else float(age))
        try:
            yield from _messages(answer)
        except (OSError, http.client.HTTPException) as error:
            context.abort(grpc.StatusCode.UNAVAILABLE, f"The stream broke: {error}")

    def _ingest(
        self, batches: Iterator[v1.IngestRequest], context: grpc.ServicerContext
    ) -> Iterator[v1.IngestResponse]:
        for batch in batches:
            headers = {"Content-Type": "application/json", **({"Idempotency-Key": batch.id} if batch.id else {})}
            answer = self._ask(context, "POST", f"/api/events/{_KINDS[batch.kind]}", headers, batch.body)
            said = v1.IngestResponse(id=batch.id)
            if answer.status == 202:
                yield ParseDict(json.loads(answer.read()), said)
            elif answer.status in _OF_BATCHES:
                said.error.CopyFrom(body_of(_refusal_in(answer), ""))
                yield said
            else:
                _refuse(context, answer)

    def _ask(
        self, context: grpc.ServicerContext, method: str, path: str, headers: dict[str, str], body: bytes | None = None
    ) -> http.client.HTTPResponse:
        """The head of the answer. The connection ends with the call."""
        connection = http.client.HTTPConnection("127.0.0.1", self._behind.port, timeout=_PATIENCE_SECONDS)
        sent = {name: value for name, value in context.invocation_metadata() if isinstance(value, str)}
        kept: dict[str, str] = {name: sent[name] for name in ("authorization", "user-agent") if name in sent}
        try:
            connection.connect()
            held = connection.sock

            def end() -> None:
                with suppress(OSError):
                    held.shutdown(socket.SHUT_RDWR)
                connection.close()

            if not context.add_callback(end):
                end()
            connection.request(method, path, body, {**kept, **headers})
            return connection.getresponse()
        except (OSError, http.client.HTTPException) as error:
            connection.close()
            context.abort(grpc.StatusCode.UNAVAILABLE, f"Nobody answers: {error}")


def _messages(answer: http.client.HTTPResponse) -> Iterator[v1.WatchResponse]:
    """The stream's events and comments, until its end."""
    fields: dict[str, list[str]] = {}
    while line := answer.readline():
        text = line.decode().rstrip("\r\n")
        name, _, value = text.partition(":")
        if text and not name:
            age = _AGE.search(value)
            yield v1.WatchResponse(age_seconds=None if age is None else float(age[1]))
        elif text:
            fields.setdefault(name, []).append(value.removeprefix(" "))
        elif "data" in fields:
            version = fields.get("id", [""])[-1]
            yield v1.WatchResponse(
                version=int(version) if version else None,
                kind=fields["event"][-1],
                document="\n".join(fields["data"]).encode(),
                signatures=fields.get("signature", []),
            )
            fields = {}
        else:
            fields = {}


def _refusal_in(answer: http.client.HTTPResponse) -> RefusedError:
    try:
        detail = json.loads(answer.read())["errors"][0]["detail"]
    except (ValueError, KeyError, IndexError):
        detail = ""
    return RefusedError(answer.status, detail, retry_after_seconds=int(answer.getheader("Retry-After") or "1"))


def _refuse(context: grpc.ServicerContext, answer: http.client.HTTPResponse) -> NoReturn:
    refused = _refusal_in(answer)
    context.set_trailing_metadata(cast("Any", metadata_of(refused, "")))
    context.abort(status_of(refused), str(refused))
