"""What would somebody get: now, back then, or with a change that nobody has made yet; nothing is logged."""

from collections.abc import Mapping
from typing import Any

from openflagship.engine import Context
from openflagship.engine import Environment as Compiled

from flags.evaluation import check_attributes
from flags.history import version_at
from flags.loading import load_document
from flags.runtime import RUNTIME
from flags.services.drafts import draft_of
from tenancy.errors import Invalid, NotFound, Problem
from tenancy.models import Environment

_FIELDS = {"flagKey", "userId", "attributes", "defaultValue", "configVersion", "at", "config"}


def preview(environment: Environment, body: Mapping[str, Any]) -> dict[str, Any]:
    """Return the answer with every step that led to it. Raises Invalid and NotFound."""
    problems: list[Problem] = []
    user_id, attributes = body.get("userId"), body.get("attributes") or {}
    check_attributes(user_id, attributes, problems)
    context = Context(user_id, attributes)
    problems += [
        Problem(name, "unknown_field", f"There is no field {name!r}; leave it out.")
        for name in body
        if name not in _FIELDS
    ]
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


def _chosen(environment: Environment, body: Mapping[str, Any]) -> Compiled:
    if body.get("at") is not None:
        return compiled_at(environment, version_at(environment, body["at"]))
    if body.get("configVersion") is not None:
        version = body["configVersion"]
        if not 0 <= version <= environment.config_version:
            raise Invalid(
                f"The environment has the versions 0 to {environment.config_version}.",
                attr="configVersion",
                code="unknown_version",
            )
        return compiled_at(environment, version)
    current = compiled_at(environment, environment.config_version)
    if body.get("config") is None:
        return current
    return with_draft(environment, current, body["flagKey"], body["config"])


def with_draft(environment: Environment, current: Compiled, key: str, payload: Mapping[str, Any]) -> Compiled:
    """Return the environment as it would be with the flag changed as a PATCH would change it. Raises as that would."""
    draft = draft_of(environment, key, payload)
    return current.replace(current.version, flags={key: draft.document})


def compiled_at(environment: Environment, version: int) -> Compiled:
    """Return the environment as of a version, from this process's memory where it is the one that is there."""
    here = RUNTIME.environments.get(environment.pk)
    if here is not None and here.version == version:
        return here.with_staleness(False)
    document = load_document(environment.pk, version=version)
    if document is None:
        raise NotFound("The environment is gone.")
    return Compiled.from_document(document)
