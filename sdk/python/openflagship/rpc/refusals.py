"""Refusals as gRPC has them: the status for each of HTTP's, and the members of the body as details."""

from __future__ import annotations

from typing import Final

import grpc
from google.protobuf.any_pb2 import Any as AnyMessage
from google.rpc.status_pb2 import Status

from openflagship.engine.answer import PARSE_ERROR
from openflagship.rpc.generated.openflagship.v1.flagship_pb2 import ErrorBody
from openflagship.wire.errors import RefusedError

_CODES: Final = {
    400: grpc.StatusCode.INVALID_ARGUMENT,
    401: grpc.StatusCode.UNAUTHENTICATED,
    403: grpc.StatusCode.PERMISSION_DENIED,
    404: grpc.StatusCode.NOT_FOUND,
    405: grpc.StatusCode.UNIMPLEMENTED,
    408: grpc.StatusCode.DEADLINE_EXCEEDED,
    409: grpc.StatusCode.ABORTED,
    # As gRPC itself has it of a message that is too large.
    413: grpc.StatusCode.RESOURCE_EXHAUSTED,
    415: grpc.StatusCode.INVALID_ARGUMENT,
    429: grpc.StatusCode.RESOURCE_EXHAUSTED,
    500: grpc.StatusCode.INTERNAL,
    503: grpc.StatusCode.UNAVAILABLE,
}
DETAILS: Final = "grpc-status-details-bin"


def status_of(error: RefusedError) -> grpc.StatusCode:
    if error.problems[0][1] == PARSE_ERROR:
        # By it flagd's providers know a flag that is not understood.
        return grpc.StatusCode.DATA_LOSS
    unknown = grpc.StatusCode.INTERNAL if error.status >= 500 else grpc.StatusCode.FAILED_PRECONDITION
    return _CODES.get(error.status, unknown)


def body_of(error: RefusedError, request_id: str) -> ErrorBody:
    """The members of the body over HTTP."""
    body = ErrorBody(type=error.kind, request_id=request_id)
    for attr, code, detail in error.problems:
        body.errors.add(attr=attr or "", code=code, detail=detail)
    if error.status in {429, 503}:
        body.retry_after_seconds = error.retry_after_seconds
    return body


def metadata_of(error: RefusedError, request_id: str) -> tuple[tuple[str, str | bytes], ...]:
    """The trailing metadata of a refusal: its details, and the headers of the refusal over HTTP."""
    packed = AnyMessage()
    packed.Pack(body_of(error, request_id))
    status = Status(code=status_of(error).value[0], message=str(error), details=[packed])
    headers = [(name.lower(), value) for name, value in error.headers]
    return ((DETAILS, status.SerializeToString()), *headers)
