"""flagd's evaluation service, v1 and v2: OpenFeature's flagd providers of every language work in their RPC mode.

Providers keep an answer whose reason is STATIC until its flag is named or the stream breaks. No answer here has that
reason, so none is kept, and a kill is never hidden.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from typing import Any, Final, Protocol

import openflagship.rpc.generated.flagd.evaluation.v1.evaluation_pb2 as v1
import openflagship.rpc.generated.flagd.evaluation.v2.evaluation_pb2 as v2
from openflagship.engine import Answer, Context
from openflagship.engine.answer import FLAG_NOT_FOUND, TYPE_MISMATCH
from openflagship.ids import ID_LENGTH
from openflagship.rpc.affected import Affected, Changes
from openflagship.rpc.door import Call, StreamCall, Streaming, Unary
from openflagship.rpc.structs import ending_in_text, plain_of
from openflagship.wire.answers import Recorder, Responder, TypeProblem
from openflagship.wire.bodies import OfrepError, ofrep_context_of
from openflagship.wire.errors import RefusedError
from openflagship.wire.rendering import RenderedOfrep, ofrep_failure

VERSIONS: Final = (v1, v2)
# Over HTTP. Another code is 500, which is INTERNAL: gRPC's UNKNOWN would make the providers ask twice more.
_STATUSES: Final = {FLAG_NOT_FOUND: 404, TYPE_MISMATCH: 400}


class Desk(Protocol):
    """One caller's environment: what answers it, and what records that."""

    @property
    def responder(self) -> Responder:
        """Raises RefusedError while there is no configuration."""

    @property
    def recorder(self) -> Recorder: ...

    def changes(self, call: StreamCall) -> AsyncGenerator[Changes, None]:
        """What changes from now on, for a stream. The first item and keep-alives are empty.

        It ends by raising RefusedError.
        """


class Host(Protocol):
    """Who may come in."""

    async def enter(self, call: Call) -> Desk:
        """Check the caller's credential and its limits. Raises RefusedError."""


def acts_of(host: Host, version: Any) -> dict[str, Unary | Streaming]:
    """What answers each method of the service in one of `VERSIONS`."""
    affected = Affected()

    def resolver(response: Any, problem_of: TypeProblem, put: Callable[[Any, Any], None]) -> Unary:
        async def resolve(message: Any, call: Call) -> Any:
            desk = await host.enter(call)
            context = _context_of(message)
            found, evaluation_id = desk.responder.resolve(message.flag_key, context, desk.recorder, problem_of)
            call.request.identify(evaluation_id)
            if isinstance(found, Answer):
                raise _failure(found)
            head = found.rpc_heads.get(response) or write(found)
            return head + evaluation_id.encode()

        def write(found: RenderedOfrep) -> bytes:
            said = response(reason=_reason_of(found.answer), variant=found.answer.variant)
            put(said, found.answer.value)
            head = ending_in_text(said, "metadata", found.metadata, "evaluationId", ID_LENGTH)
            found.rpc_heads[response] = head
            return head

        return resolve

    async def resolve_all(message: Any, call: Call) -> Any:
        desk = await host.enter(call)
        try:
            bulk = desk.responder.ofrep_all({"context": plain_of(message.context)}, message.ByteSize())
        except OfrepError as error:
            raise _refused(error) from error
        said = version.ResolveAllResponse()
        for found, evaluation_id in bulk.recorded(desk.recorder):
            if isinstance(found, RenderedOfrep) and _put_any(said.flags, found):
                _fill_metadata(said.flags[found.key].metadata, found, evaluation_id)
        said.metadata.update({"configVersion": bulk.version})
        return said

    async def event_stream(_message: Any, call: StreamCall) -> AsyncGenerator[Any, None]:
        desk = await host.enter(call)
        is_first = True
        async for changes in desk.changes(call):
            if is_first:
                is_first = False
                yield version.EventStreamResponse(type="provider_ready")
                continue
            if changes == Changes():
                yield version.EventStreamResponse(type="keep_alive")
                continue
            said = version.EventStreamResponse(type="configuration_change")
            flags = said.data.fields["flags"].struct_value
            flags.SetInParent()
            for key in affected.by(changes, desk.responder.environment):
                flags.fields[key].struct_value.SetInParent()
            yield said

    acts: dict[str, Unary | Streaming] = {
        "ResolveBoolean": resolver(version.ResolveBooleanResponse, _no_boolean, _put),
        "ResolveString": resolver(version.ResolveStringResponse, _no_string, _put),
        "ResolveFloat": resolver(version.ResolveFloatResponse, _no_number, _put),
        "ResolveInt": resolver(version.ResolveIntResponse, _no_whole_number, _put_whole),
        "ResolveObject": resolver(version.ResolveObjectResponse, _no_object, _put_object),
        "EventStream": event_stream,
    }
    if version is v1:
        acts["ResolveAll"] = resolve_all
    return acts


def _context_of(message: Any) -> Context:
    try:
        return ofrep_context_of({"context": plain_of(message.context)}, message.ByteSize())
    except OfrepError as error:
        raise _refused(error) from error


def _refused(error: OfrepError) -> RefusedError:
    """OFREP's refusals are about the body; here that is an invalid argument."""
    return RefusedError(400, str(error), code=error.code.lower())


def _failure(answer: Answer) -> RefusedError:
    code = answer.error_code or ""
    return RefusedError(_STATUSES.get(code, 500), str(ofrep_failure(answer)["errorDetails"]), code=code)


def _reason_of(answer: Answer) -> str:
    reason = answer.openfeature_reason
    return "DEFAULT" if reason == "STATIC" else reason


def _fill_metadata(struct: Any, found: RenderedOfrep, evaluation_id: str) -> None:
    struct.update({**found.metadata, "evaluationId": evaluation_id})


def _put(said: Any, value: Any) -> None:
    said.value = value


def _put_whole(said: Any, value: Any) -> None:
    said.value = int(value)


def _put_object(said: Any, value: Any) -> None:
    said.value.SetInParent()
    said.value.update(value)


def _put_any(flags: Any, found: RenderedOfrep) -> bool:
    """Whether flagd's protocol has a place for the value: it has none for a list, nor for JSON's null."""
    value = found.answer.value
    if value is None or isinstance(value, (list, tuple)):
        return False
    said = flags[found.key]
    said.reason, said.variant = _reason_of(found.answer), found.answer.variant or ""
    if isinstance(value, bool):
        said.bool_value = value
    elif isinstance(value, str):
        said.string_value = value
    elif isinstance(value, (int, float)):
        said.double_value = value
    else:
        said.object_value.SetInParent()
        said.object_value.update(value)
    return True


def _mismatch(flag_type: str | None, wanted: str, is_right: bool) -> str | None:
    """Why a flag is not what was asked for. Its value says it for a flag without a type, of an older configuration."""
    if flag_type == wanted or (flag_type is None and is_right):
        return None
    return f"The flag's type is {flag_type}, asked for was {wanted}."


def _no_boolean(flag_type: str | None, value: Any) -> str | None:
    return _mismatch(flag_type, "boolean", isinstance(value, bool))


def _no_string(flag_type: str | None, value: Any) -> str | None:
    return _mismatch(flag_type, "string", isinstance(value, str))


def _no_number(flag_type: str | None, value: Any) -> str | None:
    return _mismatch(flag_type, "number", isinstance(value, (int, float)) and not isinstance(value, bool))


def _no_whole_number(flag_type: str | None, value: Any) -> str | None:
    problem = _no_number(flag_type, value)
    if problem is None and not (float(value).is_integer() and -(2**63) <= value < 2**63):
        problem = f"The flag's value is {value}, asked for was a whole number of 64 bits."
    return problem


def _no_object(flag_type: str | None, value: Any) -> str | None:
    problem = _mismatch(flag_type, "json", isinstance(value, (dict, list, tuple)))
    if problem is None and not isinstance(value, dict):
        kind = "a list" if isinstance(value, (list, tuple)) else "null" if value is None else "no object"
        problem = f"The flag's value is {kind}, for which flagd's protocol has no place; ask over OFREP."
    return problem
