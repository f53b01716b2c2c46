"""`openflagship.v1`: configuration, events and evaluation, by the functions that answer them over HTTP."""

import asyncio
import math
from collections.abc import AsyncGenerator, AsyncIterator
from typing import Any

import orjson
from google.protobuf.json_format import ParseDict
from openflagship.rpc.door import Call, StreamCall
from openflagship.rpc.generated.openflagship.v1 import flagship_pb2 as v1
from openflagship.rpc.structs import plain_of, plain_value
from openflagship.wire import conditional, credentials, sse
from openflagship.wire.answers import exposures_asked
from openflagship.wire.errors import RefusedError

from flags.evaluation import answers
from flags.propagation.runtime import RUNTIME
from flags.propagation.snapshots import snapshot_of
from flags.streaming import http
from flagship.serving.rpc.callers import DrainingError, follow, key_of, received, recorder_of
from flagship.serving.rpc.intake import INTAKE, refusal_of

_SNAPSHOT_RETRY_SECONDS = 1


async def watch(message: v1.WatchRequest, call: StreamCall) -> AsyncGenerator[v1.WatchResponse, None]:
    key = await key_of(call, needs_rules=True)
    last = message.last_version if message.HasField("last_version") else None
    is_first = True
    try:
        async for events in follow(key, call, last, instance=message.instance, sdk=message.sdk):
            if is_first:
                yield v1.WatchResponse(age_seconds=_age(), retry_milliseconds=sse.first_retry_milliseconds())
            elif not events:
                yield v1.WatchResponse(age_seconds=_age())
            is_first = False
            for event in events:
                yield v1.WatchResponse(
                    version=None if event.is_ahead else event.version,
                    kind=event.kind,
                    document=event.body,
                    signatures=event.signatures,
                )
    except DrainingError as error:
        if error.retry_milliseconds is not None:
            yield v1.WatchResponse(retry_milliseconds=error.retry_milliseconds)
        raise


def _age() -> float | None:
    """How old the knowledge here is; nothing before any was had."""
    return RUNTIME.age_seconds if math.isfinite(RUNTIME.age_seconds) else None


async def get_snapshot(message: v1.GetSnapshotRequest, call: Call) -> v1.GetSnapshotResponse:
    key = await key_of(call, needs_rules=True)
    environment_id = key.environment_id or 0
    # A large one takes a while to make, once for each version.
    snapshot = await asyncio.to_thread(snapshot_of, environment_id)
    if snapshot is None:
        raise RefusedError(503, credentials.NOT_READY, retry_after_seconds=_SNAPSHOT_RETRY_SECONDS)
    said = v1.GetSnapshotResponse(version=snapshot.version, etag=snapshot.etag, age_seconds=_age())
    if not conditional.is_known(message.if_none_match, snapshot.etag):
        said.document = snapshot.body
        said.signatures.extend(snapshot.signatures(environment_id))
    return said


async def ingest(
    messages: AsyncIterator[v1.IngestRequest], call: StreamCall
) -> AsyncGenerator[v1.IngestResponse, None]:
    key = await key_of(call)
    # The call has paid for its first batch.
    is_first = True
    async for batch in received(messages, key, call):
        request_id = call.request.identify()
        try:
            if not is_first:
                http.limit(key, call.request.scope)
        except RefusedError as refused:
            yield refusal_of(batch, refused, request_id)
        else:
            yield await INTAKE.take(batch, key, request_id)
        is_first = False


async def evaluate(message: v1.EvaluateRequest, call: Call) -> v1.EvaluateResponse:
    key = await key_of(call)
    sent = {"flagKey": message.flag_key, **_caller_of(message)}
    if message.HasField("default_value"):
        sent["defaultValue"] = plain_value(message.default_value)
    caller = recorder_of(answers.Caller, key, call)
    status, body, evaluation_id = answers.evaluate(caller, sent, message.ByteSize())
    call.request.identify(evaluation_id)
    found = orjson.loads(body)
    if status != 200:
        detail = found.get("detail") or f"There is no flag {message.flag_key!r} in this environment."
        raise RefusedError(status, detail, code=found["errorCode"])
    return ParseDict(found, v1.EvaluateResponse())


async def evaluate_all(message: v1.EvaluateAllRequest, call: Call) -> v1.EvaluateAllResponse:
    key = await key_of(call)
    exposures = exposures_asked(message.exposures or None)
    sent = _caller_of(message)
    if message.flag_keys:
        sent["flagKeys"] = list(message.flag_keys)
    caller = recorder_of(answers.Caller, key, call)
    body = answers.evaluate_all(caller, sent, message.ByteSize(), exposures=exposures)
    return ParseDict(orjson.loads(body), v1.EvaluateAllResponse())


def _caller_of(message: v1.EvaluateRequest | v1.EvaluateAllRequest) -> dict[str, Any]:
    """The members of a body over HTTP that say who is asked about."""
    sent: dict[str, Any] = {"attributes": plain_of(message.attributes)}
    if message.user_id:
        sent["userId"] = message.user_id
    if message.source:
        sent["source"] = message.source
    return sent


ACTS: dict[str, dict[str, Any]] = {
    "Config": {"Watch": watch, "GetSnapshot": get_snapshot},
    "Events": {"Ingest": ingest},
    "Evaluation": {"Evaluate": evaluate, "EvaluateAll": evaluate_all},
}
