"""Evaluation as the server's API answers it: from a parsed body to status and body, by the same rules and limits."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable
from typing import Any

import orjson

from openflagship.engine import Answer, Context, Environment
from openflagship.engine.answer import OPENFEATURE_REASONS
from openflagship.ids import uuid7

MAX_ATTRIBUTES = 100
MAX_ATTRIBUTE_BYTES = 32 * 1024
MAX_USER_ID_CHARACTERS = 1024
_KNOWN = frozenset({"flagKey", "userId", "attributes", "defaultValue", "flagKeys"})
_OFREP_STATUS = {"FLAG_NOT_FOUND": 404, "PARSE_ERROR": 400, "GENERAL": 400}

# Told of every answer: evaluation id, flag, context, answer.
Expose = Callable[[str, str, Context, Answer], None]


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


def evaluate(environment: Environment, body: Any, expose: Expose) -> tuple[int, dict[str, Any]]:
    """Raises InvalidError."""
    context, problems = _context(body)
    flag_key = body.get("flagKey")
    if not isinstance(flag_key, str) or not flag_key:
        problems.append(("flagKey", "required", 'Name the flag: a string such as "new-checkout".'))
    if problems:
        raise InvalidError(*problems)
    answer = environment.evaluate(flag_key, context, body.get("defaultValue"))
    evaluation_id = str(uuid7())
    expose(evaluation_id, flag_key, context, answer)
    status = 404 if answer.error_code == "FLAG_NOT_FOUND" else 200
    return status, {
        "flagKey": flag_key, "userId": context.user_id, "evaluationId": evaluation_id, **answer.to_dict()
    }  # fmt: skip


def evaluate_all(environment: Environment, body: Any, expose: Expose) -> dict[str, Any]:
    """Raises InvalidError."""
    context, problems = _context(body)
    keys = body.get("flagKeys")
    if keys is not None and not (isinstance(keys, list) and all(isinstance(key, str) for key in keys)):
        problems.append(("flagKeys", "invalid", "Send a list of flag keys, or leave it out for all flags."))
    if problems:
        raise InvalidError(*problems)
    flags = {}
    for key, answer in environment.evaluate_all(context, keys).items():
        evaluation_id = str(uuid7())
        expose(evaluation_id, key, context, answer)
        flags[key] = {"flagKey": key, "evaluationId": evaluation_id, **answer.to_dict()}
    return {"userId": context.user_id, "configVersion": environment.version, "flags": flags}


def ofrep_one(environment: Environment, key: str, body: Any, expose: Expose) -> tuple[int, dict[str, Any]]:
    """Raises OfrepError."""
    context = _ofrep_context(body)
    answer = environment.evaluate(key, context)
    if answer.error_code is not None:
        return _OFREP_STATUS[answer.error_code], {"key": key, **_ofrep_failure(answer)}
    expose(str(uuid7()), key, context, answer)
    return 200, _ofrep_success(environment, key, answer)


def ofrep_all(environment: Environment, body: Any, known: str, expose: Expose) -> tuple[dict[str, Any] | None, str]:
    """Body (None: the caller has it) and ETag. Raises OfrepError."""
    context = _ofrep_context(body)
    answers = environment.evaluate_all(context)
    flags = [
        {"key": key, **_ofrep_failure(answer)} if answer.error_code else _ofrep_success(environment, key, answer)
        for key, answer in sorted(answers.items())
    ]
    content = orjson.dumps(flags, option=orjson.OPT_SORT_KEYS)
    etag = f'"{hashlib.blake2b(content, digest_size=16).hexdigest()}"'
    tags = [tag.strip().removeprefix("W/") for tag in known.split(",")]
    if etag in tags or "*" in tags:
        return None, etag
    for key, answer in answers.items():
        if answer.error_code is None:
            expose(str(uuid7()), key, context, answer)
    return {"flags": flags, "metadata": {"configVersion": environment.version}}, etag


def _context(body: Any) -> tuple[Context, list[tuple[str | None, str, str]]]:
    if not isinstance(body, dict):
        raise InvalidError((None, "invalid_type", "Send a JSON object."))
    problems: list[tuple[str | None, str, str]] = [
        (name, "unknown_field", f"There is no field {name!r}; attributes go into `attributes`.")
        for name in body
        if name not in _KNOWN
    ]
    user_id, attributes = body.get("userId"), body.get("attributes")
    if user_id is not None and not isinstance(user_id, str):
        problems.append(("userId", "invalid_type", "Send the user id as a string."))
        user_id = None
    if attributes is None:
        attributes = {}
    elif not isinstance(attributes, dict):
        problems.append(("attributes", "invalid_type", 'Send attributes as an object: {"country": "DE"}.'))
        attributes = {}
    problems += _limits(user_id, attributes)
    return Context(user_id, attributes), problems


def _limits(user_id: str | None, attributes: dict[str, Any]) -> list[tuple[str | None, str, str]]:
    found: list[tuple[str | None, str, str]] = []
    if user_id is not None and len(user_id) > MAX_USER_ID_CHARACTERS:
        found.append(("userId", "too_long", f"A user id has at most {MAX_USER_ID_CHARACTERS} characters."))
    if len(attributes) > MAX_ATTRIBUTES:
        found.append(("attributes", "too_many", f"At most {MAX_ATTRIBUTES} attributes; send those rules use."))
    elif attributes and len(orjson.dumps(attributes)) > MAX_ATTRIBUTE_BYTES:
        found.append(("attributes", "too_large", "Attributes may take 32 KiB; send those that rules use."))
    return found


def _ofrep_context(body: Any) -> Context:
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
    problems = _limits(user_id, attributes)
    if problems:
        raise OfrepError("INVALID_CONTEXT", " ".join(detail for _, _, detail in problems))
    return Context(user_id, attributes)


def _ofrep_success(environment: Environment, key: str, answer: Answer) -> dict[str, Any]:
    found = environment.flags[key].document.get("metadata") or {}
    metadata: dict[str, Any] = {name: value for name, value in found.items() if _is_scalar(value)}
    for name, value in (("ruleId", answer.rule_id), ("experiment", answer.experiment)):
        if value is not None:
            metadata[name] = value
    if answer.stale:
        metadata["stale"] = True
    reason = OPENFEATURE_REASONS[answer.reason] if answer.stale else answer.openfeature_reason
    return {
        "key": key, "reason": reason, "variant": answer.variant or "", "value": answer.value, "metadata": metadata
    }  # fmt: skip


def _ofrep_failure(answer: Answer) -> dict[str, Any]:
    details = answer.detail or "There is no such flag in this environment."
    return {"errorCode": answer.error_code, "errorDetails": details}


def _is_scalar(value: Any) -> bool:
    return isinstance(value, (str, bool, int)) or (isinstance(value, float) and math.isfinite(value))
