"""`openflagship.v1`: configuration, events and evaluation, by the functions that answer them over HTTP."""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import orjson
from django.conf import settings
from django.db import connections
from google.protobuf.json_format import ParseDict
from openflagship.rpc.door import Call
from openflagship.rpc.generated.openflagship.v1 import flagship_pb2 as v1
from openflagship.rpc.refusals import EvaluationError, body_of, status_of
from openflagship.rpc.structs import plain_of, plain_value
from openflagship.wire import conditional, credentials
from openflagship.wire.answers import exposures_asked
from openflagship.wire.errors import RefusedError

from analytics.api.acceptance import CONVERSION, EXPOSURE, METRIC, Sender, take
from analytics.api.usage import take_usage
from flags.evaluation import answers
from flags.propagation.runtime import RUNTIME
from flags.propagation.snapshots import snapshot_of
from flagship.errors import refused_of
from flagship.serving.rpc.callers import follow, key_of, recorder_of
from tenancy.authentication.keyring import KEYRING, Key

_SNAPSHOT_RETRY_SECONDS = 1
_TAKES: dict[int, Callable[[bytes, Sender], dict[str, Any]]] = {
    v1.EVENT_KIND_EXPOSURE: lambda body, sender: take(EXPOSURE, body, sender),
    v1.EVENT_KIND_CONVERSION: lambda body, sender: take(CONVERSION, body, sender),
    v1.EVENT_KIND_METRIC: lambda body, sender: take(METRIC, body, sender),
    v1.EVENT_KIND_USAGE: take_usage,
}


async def watch(message: v1.WatchRequest, call: Call) -> AsyncIterator[v1.WatchResponse]:
    key = await key_of(call, needs_rules=True)
    last = message.last_version if message.HasField("last_version") else None
    is_first = True
    async for events in follow(key, call, last, instance=message.instance, sdk=message.sdk):
        for event in events:
            yield v1.WatchResponse(
                version=None if event.is_ahead else event.version,
                kind=event.kind,
                document=event.body,
                signatures=event.signatures,
            )
        if not events and not is_first:
            yield v1.WatchResponse(age_seconds=RUNTIME.age_seconds)
        is_first = False


async def get_snapshot(message: v1.GetSnapshotRequest, call: Call) -> v1.GetSnapshotResponse:
    key = await key_of(call, needs_rules=True)
    environment_id = key.environment_id or 0
    # A large one takes a while to make, once for each version.
    snapshot = await asyncio.to_thread(snapshot_of, environment_id)
    if snapshot is None:
        raise RefusedError(503, credentials.NOT_READY, retry_after_seconds=_SNAPSHOT_RETRY_SECONDS)
    said = v1.GetSnapshotResponse(version=snapshot.version, etag=snapshot.etag, age_seconds=RUNTIME.age_seconds)
    if not conditional.is_known(message.if_none_match, snapshot.etag):
        said.document = snapshot.body
        said.signatures.extend(snapshot.signatures(environment_id))
    return said


async def ingest(messages: AsyncIterator[v1.IngestRequest], call: Call) -> AsyncIterator[v1.IngestResponse]:
    key = await key_of(call)
    async for batch in messages:
        if not KEYRING.holds(key):
            raise RefusedError(401, credentials.UNKNOWN_CREDENTIAL)
        # It may ask PostgreSQL.
        yield await asyncio.to_thread(_taken, batch, key, call.request.identify())


def _taken(batch: v1.IngestRequest, key: Key, request_id: str) -> v1.IngestResponse:
    """In a worker thread, whose connection would stay open."""
    said = v1.IngestResponse(id=batch.id)
    try:
        answer = _take(batch, key)
    except Exception as error:
        refused = refused_of(error)
        if refused is None:
            raise
        said.error.CopyFrom(body_of(refused, request_id))
        return said
    finally:
        connections.close_all()
    return ParseDict(answer, said)


def _take(batch: v1.IngestRequest, key: Key) -> dict[str, Any]:
    how = _TAKES.get(batch.kind)
    if how is None:
        raise RefusedError(400, "", ("kind", "required", "Say which kind of events these are."))
    if len(batch.body) > settings.MAX_EVENTS_BODY_BYTES:
        detail = f"The body is larger than {settings.MAX_EVENTS_BODY_BYTES:,} bytes; split it."
        raise RefusedError(413, detail, code="payload_too_large")
    return how(batch.body, Sender(key.environment_id or 0, key.name or "api", batch.id))


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
        raise EvaluationError(status, status_of(RefusedError(status)), found["errorCode"], detail)
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
