"""What every write begins with, the fields it knows, and ends with: a step in each of the two logs."""

from collections.abc import Iterable, Mapping
from typing import Any

from audit.actors import Actor
from flags.documents import flag_about, flag_document
from flags.models import Change, FlagConfig
from flags.services import version_log
from tenancy.errors import Invalid, Problem
from tenancy.models import Environment


def refuse_unknown(payload: Mapping[str, Any], known: Iterable[str]) -> None:
    """Raise Invalid `unknown_field` for each field that is none of `known`."""
    problems = unknown_fields(payload, known)
    if problems:
        raise Invalid(problems)


def unknown_fields(payload: Mapping[str, Any], known: Iterable[str]) -> list[Problem]:
    allowed = set(known)
    return [
        Problem(name, "unknown_field", f"There is no field {name!r}; leave it out.")
        for name in payload
        if name not in allowed
    ]


def append_flag(
    actor: Actor, config: FlagConfig, environment: Environment, kind: Change.Kind = Change.Kind.FLAG_UPDATED
) -> Change:
    """Log the flag as evaluators get it now, in an environment that `log.lock` has locked."""
    change = flag_change(config, kind)
    version_log.append_each(environment=environment, actor=actor, changes=[change])
    return change


def flag_change(config: FlagConfig, kind: Change.Kind) -> Change:
    """Return the flag's step, yet without its version."""
    return Change(
        kind=kind,
        entity=Change.Entity.FLAG,
        key=config.flag.key,
        document=flag_document(config),
        about=flag_about(config.flag),
    )
