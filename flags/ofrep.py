"""OpenFeature's remote evaluation protocol (OFREP 0.3) over the same evaluation as our own API.

A switched-off flag is a success with reason DISABLED and its off variant. Staleness travels in the metadata, since the
protocol has no reason for it.
"""

import hashlib
import math
from typing import Any

import orjson
from openflagship.engine import Answer, Context, Environment
from openflagship.engine.answer import OPENFEATURE_REASONS

from flags.evaluation import Caller, check_attributes, expose, live_environment
from tenancy.errors import Problem

# The protocol's codes for what the engine cannot answer.
_STATUS = {"FLAG_NOT_FOUND": 404, "PARSE_ERROR": 400, "GENERAL": 400}


class OfrepError(Exception):
    """A refusal in the protocol's words; the view adds the flag's key where there is one."""

    def __init__(self, code: str, details: str) -> None:
        super().__init__(details)
        self.code = code


def evaluate(caller: Caller, key: str, body: Any) -> tuple[int, dict[str, Any]]:
    """Evaluate one flag; return (status, body). Raises OfrepError for a body that cannot be used."""
    environment = live_environment(caller)
    context = _context(body)
    answer = environment.evaluate(key, context)
    if answer.error_code is not None:
        return _STATUS[answer.error_code], {"key": key, **_failure(answer)}
    expose(caller, environment, key, context, answer)
    return 200, _success(environment, key, answer)


class Bulk:
    """Every flag for one context: the body, its ETag, and the exposures it will mean once it is really sent."""

    def __init__(self, caller: Caller, body: Any) -> None:
        self._caller = caller
        self._environment = live_environment(caller)
        self._context = _context(body)
        self._answers = self._environment.evaluate_all(self._context)
        self.flags = [
            {"key": key, **_failure(answer)} if answer.error_code else _success(self._environment, key, answer)
            for key, answer in sorted(self._answers.items())
        ]
        content = orjson.dumps(self.flags, option=orjson.OPT_SORT_KEYS)
        # Of the result, not of the configuration alone: web clients keep it when only attributes change.
        self.etag = f'"{hashlib.blake2b(content, digest_size=16).hexdigest()}"'

    def send(self) -> dict[str, Any]:
        """Log one exposure for each answer and return the body; not called for a 304."""
        for key, answer in self._answers.items():
            expose(self._caller, self._environment, key, self._context, answer)
        return {"flags": self.flags, "metadata": {"configVersion": self._environment.version}}


def _context(body: Any) -> Context:
    if not isinstance(body, dict):
        raise OfrepError("PARSE_ERROR", 'Send a JSON object: {"context": {"targetingKey": "user-1"}}.')
    context = body.get("context")
    if context is None:
        context = {}
    if not isinstance(context, dict):
        raise OfrepError("INVALID_CONTEXT", "`context` must be an object.")
    attributes = dict(context)
    targeting_key = attributes.pop("targetingKey", None)
    user_id = attributes.pop("userId", None) if targeting_key is None else targeting_key
    if user_id is not None and not isinstance(user_id, str):
        raise OfrepError("INVALID_CONTEXT", "`targetingKey` must be a string.")
    problems: list[Problem] = []
    check_attributes(user_id, attributes, problems)
    if problems:
        raise OfrepError("INVALID_CONTEXT", " ".join(problem.detail for problem in problems))
    return Context(user_id, attributes)


def _success(environment: Environment, key: str, answer: Answer) -> dict[str, Any]:
    flag = environment.flags[key]
    metadata: dict[str, Any] = {
        name: value for name, value in (flag.document.get("metadata") or {}).items() if _is_scalar(value)
    }
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


def _failure(answer: Answer) -> dict[str, Any]:
    details = answer.detail or "There is no such flag in this environment."
    return {"errorCode": answer.error_code, "errorDetails": details}


def _is_scalar(value: Any) -> bool:
    return isinstance(value, (str, bool, int)) or (isinstance(value, float) and math.isfinite(value))
