"""What would somebody get: now, back then, or with a change that nobody has made yet; nothing is logged."""

from collections.abc import Iterable, Mapping
from typing import Any

from openflagship.engine import CompiledEnvironment, Context

from flags.evaluation.answers import check_attributes
from flags.propagation.runtime import RUNTIME
from flags.services.drafts import draft_of
from flags.versions.history import document_for, version_at
from flags.versions.loading import floor_of, load_document
from tenancy.errors import Invalid, NotFound, Problem
from tenancy.models import Environment
from tenancy.refusals import unknown_fields

_FIELDS = {"flagKey", "userId", "attributes", "defaultValue", "configVersion", "at", "config"}


def preview(environment: Environment, body: Mapping[str, Any]) -> dict[str, Any]:
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


def before_and_after(
    environment: Environment, key: str, payload: Mapping[str, Any]
) -> tuple[CompiledEnvironment, CompiledEnvironment]:
    """Return the environment as it is, and with the flag changed as a PATCH would change it. Raises as that would."""
    draft = draft_of(environment, key, payload)
    asked_for = [item["flagKey"] for item in draft.config.prerequisites]
    current = compiled_at(environment, environment.config_version, [key, *asked_for])
    return current, current.replace(current.version, flags={key: draft.document})


def compiled_at(
    environment: Environment, version: int, keys: Iterable[str] | None = None, *, attr: str = "configVersion"
) -> CompiledEnvironment:
    """Return the environment as of a version: from memory where that is the one, else what `keys` need, or all.

    Raises Invalid `unknown_version`, naming `attr`, where the version log no longer goes back so far.
    """
    here = RUNTIME.environments.get(environment.pk)
    if here is not None and here.version == version:
        return here.with_staleness(False)
    document = (
        load_document(environment.pk, version=version) if keys is None else document_for(environment, version, keys)
    )
    # Asked afterwards: steps may have gone while they were read.
    floor = floor_of(environment.pk)
    if version < floor:
        raise Invalid(f"The version log goes back to version {floor}.", attr=attr, code="unknown_version")
    if document is None:
        raise NotFound("The environment is gone.")
    return CompiledEnvironment.from_document(document)
