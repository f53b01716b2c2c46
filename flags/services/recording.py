"""The step of the version log that a write of a flag ends with."""

from audit.actors import Actor
from flags.documents import flag_about, flag_document
from flags.models import Change, FlagConfig
from flags.services import version_log
from tenancy.models import Environment


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
