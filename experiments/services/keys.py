"""An experiment's key: what people and routes call it, unique within its environment."""

import re
import unicodedata
from collections.abc import Iterable, Mapping
from typing import Any, cast
from uuid import UUID

from django.core.exceptions import ValidationError

from audit.services import is_same
from experiments.documents import experiment_resource
from experiments.models import Experiment
from experiments.resources import ExperimentResource
from flags.models import key_syntax
from tenancy.errors import Conflict, Invalid
from tenancy.models import Environment

# Words that stand in the place of a key in a route.
_RESERVED = frozenset({"power"})
_LONGEST_MADE = 80


def wanted_key(environment: Environment, payload: Mapping[str, Any]) -> str:
    """The key that was sent, or a free one made from the name. Raises Invalid."""
    given = payload.get("key")
    if given is None:
        return _made_from(environment, str(payload["name"]))
    try:
        key_syntax(given)
    except ValidationError as error:
        raise Invalid(error.messages[0], attr="key", code="invalid") from error
    if given in _RESERVED or is_id(given):
        raise Invalid(f"{given!r} is reserved; choose another key.", attr="key", code="reserved")
    return given


def with_key(environment: Environment, key: str) -> Experiment | None:
    return Experiment.objects.filter(environment=environment, slug=key).first()


def same_or_conflict(existing: Experiment, wanted: ExperimentResource, sent: Iterable[str]) -> Experiment:
    """Return the experiment that exists, if the fields that were sent are the same there."""
    there, new = cast(Mapping[str, Any], experiment_resource(existing)), cast(Mapping[str, Any], wanted)
    if any(not is_same(there[name], new[name]) for name in sent):
        raise Conflict(
            f"There is already an experiment {existing.slug!r} with other content.",
            code="key_exists",
            attr="key",
            current=there,
        )
    return existing


def _made_from(environment: Environment, name: str) -> str:
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().lower()
    base = re.sub(r"[^a-z0-9]+", "-", plain).strip("-")[:_LONGEST_MADE].strip("-") or "experiment"
    taken = set(
        Experiment.objects.filter(environment=environment, slug__startswith=base).values_list("slug", flat=True)
    )
    key, number = base, 1
    while key in taken or key in _RESERVED or is_id(key):
        number += 1
        key = f"{base}-{number}"
    return key


def is_id(text: str) -> bool:
    try:
        UUID(text)
    except ValueError:
        return False
    return True
