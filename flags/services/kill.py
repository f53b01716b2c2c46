"""The kill switch: one variant for everybody, from the moment it is heard, until it is released."""

from django.db import transaction
from django.utils import timezone

from audit.actors import Actor
from flags import log
from flags.models import Change, FlagConfig
from flags.selectors import get_config
from flags.services.recording import append_flag, record
from flags.signals import flag_killed
from tenancy.errors import Conflict, Invalid
from tenancy.models import Environment


@transaction.atomic
def kill_flag(
    *, actor: Actor, environment: Environment, key: str, variant: str | None = None, reason: str = ""
) -> FlagConfig:
    """Force `variant` (the off variant when not named) on everybody in this environment, whatever else is configured.

    Killing to the same variant again changes nothing, so that a nervous second click is free.
    """
    locked = log.lock([environment.pk])[environment.pk]
    config = get_config(environment, key)
    config.environment = locked
    if config.flag.is_archived:
        raise Conflict(f"{key!r} is archived, so nobody is served it.", code="flag_archived")
    forced = variant or config.off_variant
    known = [item["key"] for item in config.flag.variants]
    if forced not in known:
        raise Invalid(
            f"{key!r} has no variant {forced!r}; use one of: {', '.join(known)}.",
            attr="variant",
            code="unknown_variant",
        )
    if config.kill_switch_variant == forced:
        return config
    before = _state(config)
    config.kill_switch_variant, config.killed_at, config.kill_reason = forced, timezone.now(), reason
    _commit(actor, config, "flag.killed", before, reason)
    flag_killed.send(sender=FlagConfig, config=config, actor=actor, variant=forced)
    return config


@transaction.atomic
def release_flag(*, actor: Actor, environment: Environment, key: str, reason: str = "") -> FlagConfig:
    """Take the kill switch off: the flag does again what its configuration says. Not killed: nothing happens."""
    locked = log.lock([environment.pk])[environment.pk]
    config = get_config(environment, key)
    config.environment = locked
    if not config.is_killed:
        return config
    before = _state(config)
    config.kill_switch_variant, config.killed_at, config.kill_reason = "", None, ""
    _commit(actor, config, "flag.released", before, reason)
    return config


def _state(config: FlagConfig) -> dict[str, object]:
    return {
        "killSwitchVariant": config.kill_switch_variant or None,
        "killedAt": config.killed_at,
        "killReason": config.kill_reason,
    }


def _commit(actor: Actor, config: FlagConfig, action: str, before: dict[str, object], reason: str) -> None:
    config.version += 1
    config.save()
    append_flag(actor, config, config.environment, Change.Kind.KILL_SWITCH)
    record(
        actor=actor,
        environment=config.environment,
        action=action,
        entity_type="flag",
        entity_key=config.flag.key,
        before=before,
        after=_state(config),
        reason=reason,
    )
