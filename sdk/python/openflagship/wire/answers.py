"""Evaluation over HTTP: from a parsed body to a status and JSON, for the server and for the edge."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterator
from typing import Any, Final, Protocol, TypeAlias

import orjson

from openflagship.engine import Answer, CompiledEnvironment, Context
from openflagship.engine.answer import TYPE_MISMATCH, failure
from openflagship.engine.runtime import unit_of
from openflagship.ids import uuid7_text
from openflagship.wire.bodies import (
    MAX_ATTRIBUTE_BYTES,
    InvalidError,
    OfrepError,
    context_of,
    ofrep_context_of,
    write_json,
)
from openflagship.wire.conditional import is_known
from openflagship.wire.rendering import RenderedAnswer, RenderedOfrep, ofrep_failure

# Of a flag's type and a value: why they are not what was asked for; None where they are.
TypeProblem: TypeAlias = Callable[[str | None, Any], str | None]

_OFREP_STATUS: Final = {"FLAG_NOT_FOUND": 404, "PARSE_ERROR": 400, "GENERAL": 400}


class Recorder(Protocol):
    """Counts the answers and records the exposures."""

    def count(self, key: str, answer: Answer) -> None:
        """Count one answer of the flag with this key."""

    def expose(  # noqa: PLR0917 the hot path: keywords would cost a third more
        self,
        evaluation_id: str,
        key: str,
        unit: str,
        answer: Answer,
        context: Context,
        unix_ms: int,
        is_prefetched: bool = False,
    ) -> None:
        """Record one exposure; `is_prefetched`: of a bulk answer, which its user need not have seen."""


EXPOSURES_NONE: Final = "none"
EXPOSURES_OF_EXPERIMENTS: Final = "experiments"
EXPOSURES_ALL: Final = "all"
EXPOSURES: Final = (EXPOSURES_NONE, EXPOSURES_OF_EXPERIMENTS, EXPOSURES_ALL)
_WHICH_EXPOSURES: Final = f"Ask for one of {', '.join(EXPOSURES)}; experiments is the default."


def exposures_asked(given: str | None) -> str:
    """Which exposures a bulk answer is to log, by the query parameter `exposures`. Raises InvalidError."""
    if given is None:
        return EXPOSURES_OF_EXPERIMENTS
    if given not in EXPOSURES:
        raise InvalidError(("exposures", "invalid", _WHICH_EXPOSURES))
    return given


def ofrep_exposures_asked(given: str | None) -> str:
    """The same, refused in OFREP's words. Raises OfrepError."""
    try:
        return exposures_asked(given)
    except InvalidError as error:
        raise OfrepError("GENERAL", f"exposures: {_WHICH_EXPOSURES}") from error


def _is_logged(answer: Answer, exposures: str) -> bool:
    return exposures == EXPOSURES_ALL or (exposures == EXPOSURES_OF_EXPERIMENTS and answer.experiment is not None)


class Responder:
    """Answers for one environment at one version. Another environment object needs another responder."""

    __slots__ = ("_keys", "_ofrep", "_own", "environment")

    def __init__(self, environment: CompiledEnvironment) -> None:
        self.environment = environment
        # By the answer's `id()`. The environment owns its answers; all evaluations that end alike share one.
        self._own: dict[int, RenderedAnswer] = {}
        self._ofrep: dict[int, RenderedOfrep] = {}
        self._keys: list[str] | None = None

    def evaluate(self, sent: Any, recorder: Recorder, size: int = MAX_ATTRIBUTE_BYTES) -> tuple[int, bytes, str]:
        """One flag: status, body and the evaluation's id. `size`: of the body that was sent. Raises InvalidError."""
        context, problems = context_of(sent, size)
        key = sent.get("flagKey")
        if key.__class__ is not str or not key:
            problems = [*problems, ("flagKey", "required", 'Name the flag: a string such as "new-checkout".')]
        if problems:
            raise InvalidError(*problems)
        answer = self.environment.evaluate(key, context, sent.get("defaultValue"))
        unix_ms = time.time_ns() // 1_000_000
        evaluation_id = uuid7_text(unix_ms)
        recorder.count(key, answer)
        if answer.error_code is not None:
            said = {"flagKey": key, "userId": context.user_id, "evaluationId": evaluation_id, **answer.to_dict()}
            return 404 if answer.error_code == "FLAG_NOT_FOUND" else 200, write_json(said), evaluation_id
        rendered = self._own.get(id(answer)) or self._render(key, answer)
        _expose(rendered, context, evaluation_id, unix_ms, recorder)
        user_id = b"null" if context.user_id is None else orjson.dumps(context.user_id)
        body = b'%b%b,"evaluationId":"%b%b' % (rendered.head, user_id, evaluation_id.encode(), rendered.tail)
        return 200, body, evaluation_id

    def evaluate_all(
        self,
        sent: Any,
        recorder: Recorder,
        size: int = MAX_ATTRIBUTE_BYTES,
        *,
        exposures: str = EXPOSURES_OF_EXPERIMENTS,
    ) -> bytes:
        """The flags named by `flagKeys`, or all; `exposures` says which of them are logged. Raises InvalidError."""
        context, problems = context_of(sent, size)
        keys = sent.get("flagKeys")
        if keys is not None and not (isinstance(keys, list) and all(isinstance(key, str) for key in keys)):
            problems = [*problems, ("flagKeys", "invalid", "Send a list of flag keys, or leave it out for all flags.")]
        if problems:
            raise InvalidError(*problems)
        parts = []
        unix_ms = time.time_ns() // 1_000_000
        for key, answer in self.environment.evaluate_all(context, keys).items():
            evaluation_id = uuid7_text(unix_ms)
            recorder.count(key, answer)
            if answer.error_code is not None:
                said = {"flagKey": key, "evaluationId": evaluation_id, **answer.to_dict()}
                parts.append(write_json(key) + b":" + write_json(said))
                continue
            rendered = self._own.get(id(answer)) or self._render(key, answer)
            if _is_logged(answer, exposures):
                _expose(rendered, context, evaluation_id, unix_ms, recorder, is_prefetched=True)
            parts.append(b"%b%b%b" % (rendered.named_head, evaluation_id.encode(), rendered.tail))
        user_id = write_json(context.user_id)
        version = self.environment.version
        return b'{"userId":%b,"configVersion":%d,"flags":{%b}}' % (user_id, version, b",".join(parts))

    def ofrep(self, key: str, sent: Any, recorder: Recorder, size: int = MAX_ATTRIBUTE_BYTES) -> tuple[int, bytes]:
        """One flag in OFREP's form: status and body. Raises OfrepError."""
        context = ofrep_context_of(sent, size)
        answer = self.environment.evaluate(key, context)
        recorder.count(key, answer)
        if answer.error_code is not None:
            return _OFREP_STATUS[answer.error_code], write_json({"key": key, **ofrep_failure(answer)})
        rendered = self._ofrep.get(id(answer)) or self._render_ofrep(key, answer)
        unix_ms = time.time_ns() // 1_000_000
        evaluation_id = uuid7_text(unix_ms)
        _expose(rendered, context, evaluation_id, unix_ms, recorder)
        return 200, rendered.named(evaluation_id)

    def resolve(
        self, key: str, context: Context, recorder: Recorder, problem_of: TypeProblem
    ) -> tuple[RenderedOfrep | Answer, str]:
        """One flag without a form: the answer with its metadata, or the failure; and the evaluation's id."""
        answer = self.environment.evaluate(key, context)
        if answer.error_code is None:
            problem = problem_of(self.environment.flags[key].type, answer.value)
            if problem is not None:
                answer = failure(None, TYPE_MISMATCH, problem, answer.config_version, answer.stale)
        recorder.count(key, answer)
        unix_ms = time.time_ns() // 1_000_000
        evaluation_id = uuid7_text(unix_ms)
        if answer.error_code is not None:
            return answer, evaluation_id
        rendered = self._ofrep.get(id(answer)) or self._render_ofrep(key, answer)
        _expose(rendered, context, evaluation_id, unix_ms, recorder)
        return rendered, evaluation_id

    def ofrep_all(self, sent: Any, size: int = MAX_ATTRIBUTE_BYTES) -> OfrepBulk:
        """Every flag in OFREP's form. Raises OfrepError."""
        context = ofrep_context_of(sent, size)
        answers = self.environment.evaluate_all(context)
        if self._keys is None:
            self._keys = sorted(answers)
        found: list[RenderedOfrep | bytes] = []
        for key in self._keys:
            answer = answers[key]
            if answer.error_code is not None:
                found.append(write_json({"key": key, **ofrep_failure(answer)}))
            else:
                found.append(self._ofrep.get(id(answer)) or self._render_ofrep(key, answer))
        return OfrepBulk(self.environment.version, context, found)

    def _render(self, key: str, answer: Answer) -> RenderedAnswer:
        rendered = self._own[id(answer)] = RenderedAnswer(self.environment, key, answer)
        return rendered

    def _render_ofrep(self, key: str, answer: Answer) -> RenderedOfrep:
        rendered = self._ofrep[id(answer)] = RenderedOfrep(self.environment, key, answer)
        return rendered


def _expose(
    rendered: RenderedAnswer | RenderedOfrep,
    context: Context,
    evaluation_id: str,
    unix_ms: int,
    recorder: Recorder,
    *,
    is_prefetched: bool = False,
) -> None:
    if rendered.answer.is_exposure:
        by = rendered.bucket_by
        unit = context.user_id if by == "userId" else unit_of(by, context)
        if unit:
            recorder.expose(evaluation_id, rendered.key, unit, rendered.answer, context, unix_ms, is_prefetched)


class OfrepBulk:
    """Every flag for one context. Whether the caller has this result already is for `is_known` to say."""

    __slots__ = ("_context", "_found", "etag", "version")

    def __init__(self, version: int, context: Context, found: list[RenderedOfrep | bytes]) -> None:
        self.version, self._context, self._found = version, context, found
        flags = b",".join([each if isinstance(each, bytes) else each.body for each in found])
        # A hash of the result, not of the configuration: web clients keep the ETag when only attributes change.
        self.etag = f'"{hashlib.blake2b(flags, digest_size=16).hexdigest()}"'

    def is_known(self, if_none_match: str) -> bool:
        return is_known(if_none_match, self.etag)

    def send(self, recorder: Recorder, more: bytes = b"", *, exposures: str = EXPOSURES_OF_EXPERIMENTS) -> bytes:
        """Record the exposures asked for and return the body, with `more` members. Not called for a 304."""
        parts = [
            each if isinstance(each, bytes) else each.named(evaluation_id)
            for each, evaluation_id in self.recorded(recorder, exposures)
        ]
        return b'{"flags":[%b],"metadata":{"configVersion":%d}%b}' % (b",".join(parts), self.version, more)

    def recorded(
        self, recorder: Recorder, exposures: str = EXPOSURES_OF_EXPERIMENTS
    ) -> Iterator[tuple[RenderedOfrep | bytes, str]]:
        """Each answer, recorded as it is taken, with its evaluation's id; a failure as JSON, without one."""
        unix_ms = time.time_ns() // 1_000_000
        for each in self._found:
            if isinstance(each, bytes):
                yield each, ""
                continue
            evaluation_id = uuid7_text(unix_ms)
            recorder.count(each.key, each.answer)
            if _is_logged(each.answer, exposures):
                _expose(each, self._context, evaluation_id, unix_ms, recorder, is_prefetched=True)
            yield each, evaluation_id


class Responders:
    """The responder of each environment. A changed environment gets a new one."""

    __slots__ = ("_responders",)

    def __init__(self) -> None:
        self._responders: dict[Any, Responder] = {}

    def of(self, name: Any, environment: CompiledEnvironment) -> Responder:
        responder = self._responders.get(name)
        if responder is None or responder.environment is not environment:
            responder = self._responders[name] = Responder(environment)
        return responder
