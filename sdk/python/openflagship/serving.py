"""Evaluation over HTTP: from a parsed body to a status and JSON, in one place for the server and for the edge.

Whatever of an answer does not depend on the user is written once for each configuration; needs orjson.
"""

from __future__ import annotations

import hashlib
import json
import math
import time
from typing import Any, Final, Protocol

import orjson

from openflagship.engine import Answer, CompiledEnvironment, Context
from openflagship.engine.answer import OPENFEATURE_REASONS
from openflagship.engine.bucketing import unit_text
from openflagship.ids import uuid7_text

MAX_ATTRIBUTES: Final = 100
MAX_ATTRIBUTE_BYTES: Final = 32 * 1024
MAX_USER_ID_CHARACTERS: Final = 1024
# A number in a body may be written five times as long as it was sent, nothing else grows.
_SURELY_SMALL_BYTES: Final = MAX_ATTRIBUTE_BYTES // 8
_KNOWN: Final = frozenset({"flagKey", "userId", "attributes", "defaultValue", "flagKeys"})
_OFREP_STATUS: Final = {"FLAG_NOT_FOUND": 404, "PARSE_ERROR": 400, "GENERAL": 400}


class InvalidError(Exception):
    """A body that cannot be used; `problems` are (attr, code, detail)."""

    def __init__(self, *problems: tuple[str | None, str, str]) -> None:
        super().__init__()
        self.problems = problems


class OfrepError(Exception):
    """A refusal in OFREP's words."""

    def __init__(self, code: str, details: str) -> None:
        super().__init__(details)
        self.code = code


class Recorder(Protocol):
    """Who is told what was answered."""

    def count(self, reason: str) -> None:
        """One answer with this reason, exposure or not."""

    def expose(  # noqa: PLR0917 the hot path: keywords would cost a third more
        self, evaluation_id: str, key: str, unit: str, answer: Answer, context: Context, unix_ms: int
    ) -> None:
        """An exposure, as the contract asks for one."""


class _Written:
    """An answer in our own form, but for the user and the evaluation's id."""

    __slots__ = ("answer", "bucket_by", "head", "key", "named_head", "tail")

    def __init__(self, environment: CompiledEnvironment, key: str, answer: Answer) -> None:
        # Kept, so that nothing else can come to have its `id()`.
        self.answer = answer
        self.key = key
        self.bucket_by = environment.flags[key].bucket_by
        name = _json(key)
        self.head = b'{"flagKey":' + name + b',"userId":'
        self.named_head = name + b':{"flagKey":' + name + b',"evaluationId":"'
        self.tail = b'",' + _json(answer.to_dict())[1:]


class _WrittenOfrep:
    """An answer in OFREP's form, in which nothing of the user is left."""

    __slots__ = ("answer", "body", "bucket_by", "key")

    def __init__(self, environment: CompiledEnvironment, key: str, answer: Answer) -> None:
        flag = environment.flags[key]
        self.answer = answer
        self.key = key
        self.bucket_by = flag.bucket_by
        self.body = _json(_ofrep_success(flag.document.get("metadata") or {}, key, answer))


class Desk:
    """Answers for one environment at one version; make a new one when the environment is another object."""

    __slots__ = ("_keys", "_ofrep", "_own", "environment")

    def __init__(self, environment: CompiledEnvironment) -> None:
        self.environment = environment
        # By the answer's `id()`: it belongs to the environment and is shared by all evaluations that end alike.
        self._own: dict[int, _Written] = {}
        self._ofrep: dict[int, _WrittenOfrep] = {}
        self._keys: list[str] | None = None

    def evaluate(self, sent: Any, recorder: Recorder, size: int = MAX_ATTRIBUTE_BYTES) -> tuple[int, bytes, str]:
        """One flag: status, body and the evaluation's id. `size`: of the body that was sent. Raises InvalidError."""
        context, problems = _context(sent, size)
        key = sent.get("flagKey")
        if key.__class__ is not str or not key:
            problems = [*problems, ("flagKey", "required", 'Name the flag: a string such as "new-checkout".')]
        if problems:
            raise InvalidError(*problems)
        answer = self.environment.evaluate(key, context, sent.get("defaultValue"))
        unix_ms = time.time_ns() // 1_000_000
        evaluation_id = uuid7_text(unix_ms)
        recorder.count(answer.reason)
        if answer.error_code is not None:
            said = {"flagKey": key, "userId": context.user_id, "evaluationId": evaluation_id, **answer.to_dict()}
            return 404 if answer.error_code == "FLAG_NOT_FOUND" else 200, _json(said), evaluation_id
        written = self._own.get(id(answer)) or self._write(key, answer)
        _expose(written, context, evaluation_id, unix_ms, recorder)
        user_id = b"null" if context.user_id is None else orjson.dumps(context.user_id)
        body = b'%b%b,"evaluationId":"%b%b' % (written.head, user_id, evaluation_id.encode(), written.tail)
        return 200, body, evaluation_id

    def evaluate_all(self, sent: Any, recorder: Recorder, size: int = MAX_ATTRIBUTE_BYTES) -> bytes:
        """The flags named by `flagKeys`, or all; each answer is an exposure of its own. Raises InvalidError."""
        context, problems = _context(sent, size)
        keys = sent.get("flagKeys")
        if keys is not None and not (isinstance(keys, list) and all(isinstance(key, str) for key in keys)):
            problems = [*problems, ("flagKeys", "invalid", "Send a list of flag keys, or leave it out for all flags.")]
        if problems:
            raise InvalidError(*problems)
        parts = []
        unix_ms = time.time_ns() // 1_000_000
        for key, answer in self.environment.evaluate_all(context, keys).items():
            evaluation_id = uuid7_text(unix_ms)
            recorder.count(answer.reason)
            if answer.error_code is not None:
                said = {"flagKey": key, "evaluationId": evaluation_id, **answer.to_dict()}
                parts.append(_json(key) + b":" + _json(said))
                continue
            written = self._own.get(id(answer)) or self._write(key, answer)
            _expose(written, context, evaluation_id, unix_ms, recorder)
            parts.append(b"%b%b%b" % (written.named_head, evaluation_id.encode(), written.tail))
        user_id = _json(context.user_id)
        version = self.environment.version
        return b'{"userId":%b,"configVersion":%d,"flags":{%b}}' % (user_id, version, b",".join(parts))

    def ofrep(self, key: str, sent: Any, recorder: Recorder, size: int = MAX_ATTRIBUTE_BYTES) -> tuple[int, bytes]:
        """One flag in OFREP's form: status and body. Raises OfrepError."""
        context = _ofrep_context(sent, size)
        answer = self.environment.evaluate(key, context)
        recorder.count(answer.reason)
        if answer.error_code is not None:
            return _OFREP_STATUS[answer.error_code], _json({"key": key, **_ofrep_failure(answer)})
        written = self._ofrep.get(id(answer)) or self._write_ofrep(key, answer)
        unix_ms = time.time_ns() // 1_000_000
        _expose(written, context, uuid7_text(unix_ms), unix_ms, recorder)
        return 200, written.body

    def ofrep_all(self, sent: Any, size: int = MAX_ATTRIBUTE_BYTES) -> OfrepBulk:
        """Every flag in OFREP's form. Raises OfrepError."""
        context = _ofrep_context(sent, size)
        answers = self.environment.evaluate_all(context)
        if self._keys is None:
            self._keys = sorted(answers)
        parts = []
        found: list[_WrittenOfrep] = []
        for key in self._keys:
            answer = answers[key]
            if answer.error_code is not None:
                parts.append(_json({"key": key, **_ofrep_failure(answer)}))
                continue
            written = self._ofrep.get(id(answer)) or self._write_ofrep(key, answer)
            found.append(written)
            parts.append(written.body)
        return OfrepBulk(self.environment.version, context, b",".join(parts), found)

    def _write(self, key: str, answer: Answer) -> _Written:
        written = self._own[id(answer)] = _Written(self.environment, key, answer)
        return written

    def _write_ofrep(self, key: str, answer: Answer) -> _WrittenOfrep:
        written = self._ofrep[id(answer)] = _WrittenOfrep(self.environment, key, answer)
        return written


def _expose(
    written: _Written | _WrittenOfrep, context: Context, evaluation_id: str, unix_ms: int, recorder: Recorder
) -> None:
    if written.answer.is_exposure:
        by = written.bucket_by
        unit = context.user_id if by == "userId" else unit_text(context.attributes.get(by))
        if unit:
            recorder.expose(evaluation_id, written.key, unit, written.answer, context, unix_ms)


class OfrepBulk:
    """Every flag for one context, before it is known whether the caller has it already."""

    __slots__ = ("_context", "_flags", "_found", "_version", "etag")

    def __init__(self, version: int, context: Context, flags: bytes, found: list[_WrittenOfrep]) -> None:
        self._version, self._context, self._flags, self._found = version, context, flags, found
        # Of the result, not of the configuration alone: web clients keep it when only attributes change.
        self.etag = f'"{hashlib.blake2b(flags, digest_size=16).hexdigest()}"'

    def is_known(self, if_none_match: str) -> bool:
        if not if_none_match:
            return False
        tags = [tag.strip().removeprefix("W/") for tag in if_none_match.split(",")]
        return self.etag in tags or "*" in tags

    def send(self, recorder: Recorder, more: bytes = b"") -> bytes:
        """Log one exposure for each answer and return the body; not called for a 304. `more`: further members."""
        unix_ms = time.time_ns() // 1_000_000
        for written in self._found:
            recorder.count(written.answer.reason)
            _expose(written, self._context, uuid7_text(unix_ms), unix_ms, recorder)
        return b'{"flags":[%b],"metadata":{"configVersion":%d}%b}' % (self._flags, self._version, more)


class Desks:
    """The desk of each environment by any name for it, renewed when the environment changes."""

    __slots__ = ("_desks",)

    def __init__(self) -> None:
        self._desks: dict[Any, Desk] = {}

    def of(self, name: Any, environment: CompiledEnvironment) -> Desk:
        desk = self._desks.get(name)
        if desk is None or desk.environment is not environment:
            desk = self._desks[name] = Desk(environment)
        return desk


def _json(value: Any) -> bytes:
    try:
        return orjson.dumps(value)
    except TypeError:
        # An integer that 64 bits do not hold.
        return json.dumps(value, separators=(",", ":")).encode()


def _context(sent: Any, size: int) -> tuple[Context, list[tuple[str | None, str, str]]]:
    if not isinstance(sent, dict):
        raise InvalidError((None, "invalid_type", "Send a JSON object."))
    user_id, attributes = sent.get("userId"), sent.get("attributes")
    if (
        (user_id is None or (user_id.__class__ is str and len(user_id) <= MAX_USER_ID_CHARACTERS))
        and (attributes is None or (attributes.__class__ is dict and len(attributes) <= MAX_ATTRIBUTES))
        and size <= _SURELY_SMALL_BYTES
        and sent.keys() <= _KNOWN
    ):
        return Context(user_id, attributes), []
    problems: list[tuple[str | None, str, str]] = [
        (name, "unknown_field", f"There is no field {name!r}; attributes go into `attributes`.")
        for name in sent
        if name not in _KNOWN
    ]
    if user_id is not None and not isinstance(user_id, str):
        problems.append(("userId", "invalid_type", "Send the user id as a string."))
        user_id = None
    if attributes is None:
        attributes = {}
    elif not isinstance(attributes, dict):
        problems.append(("attributes", "invalid_type", 'Send attributes as an object: {"country": "DE"}.'))
        attributes = {}
    problems += attribute_problems(user_id, attributes)
    return Context(user_id, attributes), problems


def attribute_problems(user_id: str | None, attributes: dict[str, Any]) -> list[tuple[str | None, str, str]]:
    """What exceeds the documented limits, as (attr, code, detail)."""
    found: list[tuple[str | None, str, str]] = []
    if user_id is not None and len(user_id) > MAX_USER_ID_CHARACTERS:
        found.append(("userId", "too_long", f"A user id has at most {MAX_USER_ID_CHARACTERS} characters."))
    if len(attributes) > MAX_ATTRIBUTES:
        detail = f"At most {MAX_ATTRIBUTES} attributes; send those rules use."
        found.append(("attributes", "too_many", detail))
    elif attributes and len(_json(attributes)) > MAX_ATTRIBUTE_BYTES:
        found.append(("attributes", "too_large", "Attributes may take 32 KiB; send those that rules use."))
    return found


def _ofrep_context(sent: Any, size: int) -> Context:
    if not isinstance(sent, dict):
        raise OfrepError("PARSE_ERROR", 'Send a JSON object: {"context": {"targetingKey": "user-1"}}.')
    context = sent.get("context")
    if context is None:
        context = {}
    if not isinstance(context, dict):
        raise OfrepError("INVALID_CONTEXT", "`context` must be an object.")
    targeting_key = context.pop("targetingKey", None)
    user_id = context.pop("userId", None) if targeting_key is None else targeting_key
    if user_id is not None and not isinstance(user_id, str):
        raise OfrepError("INVALID_CONTEXT", "`targetingKey` must be a string.")
    if (
        size > _SURELY_SMALL_BYTES
        or len(context) > MAX_ATTRIBUTES
        or (user_id is not None and len(user_id) > MAX_USER_ID_CHARACTERS)
    ):
        problems = attribute_problems(user_id, context)
        if problems:
            raise OfrepError("INVALID_CONTEXT", " ".join(detail for _, _, detail in problems))
    return Context(user_id, context)


def _ofrep_success(found: dict[str, Any], key: str, answer: Answer) -> dict[str, Any]:
    """A switched-off flag is a success with reason DISABLED; staleness has no reason there and goes into metadata."""
    metadata: dict[str, Any] = {name: value for name, value in found.items() if _is_scalar(value)}
    for name, value in (("ruleId", answer.rule_id), ("experiment", answer.experiment)):
        if value is not None:
            metadata[name] = value
    if answer.stale:
        metadata["stale"] = True
    reason = OPENFEATURE_REASONS[answer.reason] if answer.stale else answer.openfeature_reason
    return {
        "key": key,
        "reason": reason,
        "variant": answer.variant or "",
        "value": answer.value,
        "metadata": metadata,
    }


def _ofrep_failure(answer: Answer) -> dict[str, Any]:
    details = answer.detail or "There is no such flag in this environment."
    return {"errorCode": answer.error_code, "errorDetails": details}


def _is_scalar(value: Any) -> bool:
    return isinstance(value, (str, bool, int)) or (isinstance(value, float) and math.isfinite(value))
