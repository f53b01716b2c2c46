"""Explaining an evaluation: as it is now, as it was, or with a change that is not saved. Nothing is logged."""

from collections.abc import Mapping
from typing import Any

from openflagship.engine import CompiledEnvironment, Context

from flags.evaluation.answers import check_attributes
from flags.evaluation.compiled import before_and_after, compiled_at
from flags.versions.history import version_at
from tenancy.errors import Invalid, NotFound, Problem
from tenancy.models import Environment
from tenancy.refusals import unknown_fields

_FIELDS = {"flagKey", "userId", "attributes", "defaultValue", "configVersion", "at", "config"}


def explain_evaluation(environment: Environment, body: Mapping[str, Any]) -> dict[str, Any]:
    """Return the answer with every step that led to it. Raises Invalid and NotFound."""
    problems: list[Problem] = []
    user_id, attributes = body.get("userId"), body.get("attributes") or {}
    check_attributes(user_id, attributes, problems)
    context = Context(user_id, attributes)
    problems += unknown_fields(body, _FIELDS)
    chosen = [name for name in ("configVersion", "at", "config") if body.get(name) is not None]
    if len(chosen) > 1:
        problems.append(Problem(chosen[1], "ambiguous", f"Send either {' or '.join(chosen)}."))
    if problems:
        raise Invalid(problems)
    key = body["flagKey"]
    compiled = _chosen(environment, body)
    if key not in compiled.flags:
        raise NotFound(f"There is no flag {key!r} in {environment.key} at version {compiled.version}.", attr="flagKey")
    explanation = compiled.explain(key, context, body.get("defaultValue"))
    shown = explanation.to_dict()
    return {
        "flagKey": key,
        "userId": context.user_id,
        **explanation.answer.to_dict(),
        "unit": shown["unit"],
        "trace": shown["steps"],
    }


def _chosen(environment: Environment, body: Mapping[str, Any]) -> CompiledEnvironment:
    key = body["flagKey"]
    if body.get("at") is not None:
        return compiled_at(environment, version_at(environment, body["at"]), [key], attr="at")
    if body.get("configVersion") is not None:
        version = body["configVersion"]
        if not 0 <= version <= environment.config_version:
            raise Invalid(
                f"The environment has the versions 0 to {environment.config_version}.",
                attr="configVersion",
                code="unknown_version",
            )
        return compiled_at(environment, version, [key])
    if body.get("config") is None:
        return compiled_at(environment, environment.config_version, [key])
    return before_and_after(environment, key, body["config"])[1]
