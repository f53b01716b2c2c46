"""An environment compiled as of a version, or with a change that is not saved."""

from collections.abc import Iterable, Mapping
from typing import Any

from openflagship.engine import CompiledEnvironment

from flags.propagation.runtime import RUNTIME
from flags.services.drafts import draft_of
from flags.versions.history import document_for
from flags.versions.loading import floor_of, load_document
from tenancy.errors import Invalid, NotFound
from tenancy.models import Environment


def before_and_after(
    environment: Environment, key: str, payload: Mapping[str, Any]
) -> tuple[CompiledEnvironment, CompiledEnvironment]:
    """Return the environment as it is, and with the flag as a PATCH would change it. Raises what the PATCH raises."""
    draft = draft_of(environment, key, payload)
    asked_for = [item["flagKey"] for item in draft.config.prerequisites]
    current = compiled_at(environment, environment.config_version, [key, *asked_for])
    return current, current.replace(current.version, flags={key: draft.document})


def compiled_at(
    environment: Environment, version: int, keys: Iterable[str] | None = None, *, attr: str = "configVersion"
) -> CompiledEnvironment:
    """Return the environment as of a version: from memory if it is current, else with what `keys` need, or all of it.

    Raises Invalid `unknown_version`, naming `attr`, if the version log no longer goes back so far.
    """
    here = RUNTIME.environments.get(environment.pk)
    if here is not None and here.version == version:
        return here.with_staleness(False)
    document = (
        load_document(environment.pk, version=version) if keys is None else document_for(environment, version, keys)
    )
    # The floor is read last, because steps may be pruned while they are read.
    floor = floor_of(environment.pk)
    if version < floor:
        raise Invalid(f"The version log goes back to version {floor}.", attr=attr, code="unknown_version")
    if document is None:
        raise NotFound("The environment is gone.")
    return CompiledEnvironment.from_document(document)
