"""Answering over HTTP: from a parsed body to a status and a body, in memory alone.

The DRF view and any faster lane call these same functions, so they cannot answer differently.
"""

import time
from dataclasses import dataclass
from typing import Any

import orjson
from openflagship.engine import Answer, Context, Environment
from openflagship.engine.answer import OPENFEATURE_REASONS
from openflagship.ids import uuid7

from analytics.buffer import EXPOSURES
from flags.metrics import EVALUATIONS
from flags.runtime import RUNTIME
from tenancy.errors import Invalid, Problem, Unavailable

MAX_ATTRIBUTES = 100
MAX_ATTRIBUTE_BYTES = 32 * 1024
MAX_USER_ID_CHARACTERS = 1024
# One look-up instead of the library's three.
_COUNTED = {reason: EVALUATIONS.labels(reason) for reason in OPENFEATURE_REASONS}
_KNOWN = {"flagKey", "userId", "attributes", "defaultValue", "flagKeys"}


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks, as far as an exposure needs to know."""

    environment_id: int
    source: str = "api"
    user_agent: str | None = None


def evaluate(caller: Caller, body: Any) -> tuple[int, dict[str, Any]]:
    """Evaluate one flag for one user, log the exposure, and return (status, body). Raises Invalid and Unavailable."""
    environment = live_environment(caller)
    problems: list[Problem] = []
    context = _context(body, problems)
    flag_key = body.get("flagKey") if isinstance(body, dict) else None
    if not isinstance(flag_key, str) or not flag_key:
        problems.append(Problem("flagKey", "required", 'Name the flag: a string such as "new-checkout".'))
    if problems or not isinstance(flag_key, str):
        raise Invalid(problems)
    answer = environment.evaluate(flag_key, context, body.get("defaultValue"))
    evaluation_id = expose(caller, environment, flag_key, context, answer)
    status = 404 if answer.error_code == "FLAG_NOT_FOUND" else 200
    return status, {"flagKey": flag_key, "userId": context.user_id, **_answer_body(answer, evaluation_id)}


def evaluate_all(caller: Caller, body: Any) -> dict[str, Any]:
    """Evaluate the named flags (all by default) for one user; each answer is an exposure of its own."""
    environment = live_environment(caller)
    problems: list[Problem] = []
    context = _context(body, problems)
    keys = body.get("flagKeys") if isinstance(body, dict) else None
    if keys is not None and not (isinstance(keys, list) and all(isinstance(key, str) for key in keys)):
        problems.append(Problem("flagKeys", "invalid", "Send a list of flag keys, or leave it out for all flags."))
    if problems:
        raise Invalid(problems)
    answers = environment.evaluate_all(context, keys)
    flags = {
        key: {"flagKey": key, **_answer_body(answer, expose(caller, environment, key, context, answer))}
        for key, answer in answers.items()
    }
    return {"userId": context.user_id, "configVersion": environment.version, "flags": flags}


def live_environment(caller: Caller) -> Environment:
    environment = RUNTIME.environments.get(caller.environment_id)
    if environment is None:
        raise Unavailable("This process has not heard of the environment's configuration yet.", retry_after_seconds=1)
    return environment


def _context(body: Any, problems: list[Problem]) -> Context:
    if not isinstance(body, dict):
        raise Invalid("Send a JSON object.", code="invalid_type")
    problems += [
        Problem(str(name), "unknown_field", f"There is no field {name!r}; attributes go into `attributes`.")
        for name in body
        if name not in _KNOWN
    ]
    user_id, attributes = body.get("userId"), body.get("attributes")
    if user_id is not None and not isinstance(user_id, str):
        problems.append(Problem("userId", "invalid_type", "Send the user id as a string."))
        user_id = None
    if attributes is None:
        attributes = {}
    elif not isinstance(attributes, dict):
        problems.append(Problem("attributes", "invalid_type", 'Send attributes as an object: {"country": "DE"}.'))
        attributes = {}
    check_attributes(user_id, attributes, problems)
    return Context(user_id, attributes)


def check_attributes(user_id: str | None, attributes: dict[str, Any], problems: list[Problem]) -> None:
    """Add what exceeds the documented limits."""
    if user_id is not None and len(user_id) > MAX_USER_ID_CHARACTERS:
        problems.append(Problem("userId", "too_long", f"A user id has at most {MAX_USER_ID_CHARACTERS} characters."))
    if len(attributes) > MAX_ATTRIBUTES:
        problems.append(
            Problem("attributes", "too_many", f"At most {MAX_ATTRIBUTES} attributes; send those rules use.")
        )
    elif attributes and len(orjson.dumps(attributes)) > MAX_ATTRIBUTE_BYTES:
        problems.append(Problem("attributes", "too_large", "Attributes may take 32 KiB; send those that rules use."))


def _answer_body(answer: Answer, evaluation_id: str) -> dict[str, Any]:
    body = {
        "variant": answer.variant,
        "value": answer.value,
        "reason": answer.reason,
        "evaluationId": evaluation_id,
        "configVersion": answer.config_version,
        "stale": answer.stale,
    }
    if answer.rule_id is not None:
        body["ruleId"] = answer.rule_id
    if answer.experiment is not None:
        body["experiment"] = answer.experiment
    if answer.error_code is not None:
        body["errorCode"] = answer.error_code
    if answer.detail is not None:
        body["detail"] = answer.detail
    return body


def expose(caller: Caller, environment: Environment, key: str, context: Context, answer: Answer) -> str:
    """Log the exposure where the contract asks for one; return the evaluation's id either way."""
    evaluation_id = uuid7()
    _COUNTED[answer.reason].inc()
    if answer.is_exposure:
        unit = environment.unit(key, context)
        if unit is not None and answer.variant is not None:
            EXPOSURES.add(
                caller.environment_id,
                evaluation_id,
                key,
                unit,
                answer.variant,
                answer.reason,
                answer.rule_id,
                answer.experiment,
                answer.config_version,
                time.time_ns() // 1_000_000,
                caller.source,
                caller.user_agent,
            )
    return str(evaluation_id)
