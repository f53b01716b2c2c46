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
    locked = log.lock_environment(environment)
    config = get_config(locked, key)
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
    locked = log.lock_environment(environment)
    config = get_config(locked, key)
    if not config.is_killed:
        return config
    before = _state(config)
    config.kill_switch_variant, config.killed_at, config.kill_reason = "", None, ""
    _commit(actor, config, "flag.released", before, reason)
    return config


@transaction.atomic
def kill_tag(*, actor: Actor, environment: Environment, tag: str, reason: str = "") -> list[FlagConfig]:
    """Kill every active flag with the tag, each to its off variant, all in one transaction.

    Returns those flags, the ones that were killed before included. Raises Invalid `unknown_tag` where there is none.
    """
    return [
        kill_flag(actor=actor, environment=environment, key=key, reason=reason) for key in _tagged(environment, tag)
    ]


@transaction.atomic
def release_tag(*, actor: Actor, environment: Environment, tag: str, reason: str = "") -> list[FlagConfig]:
    """Release every active flag with the tag, whoever killed it. Raises Invalid `unknown_tag` where there is none."""
    return [
        release_flag(actor=actor, environment=environment, key=key, reason=reason) for key in _tagged(environment, tag)
    ]


def _tagged(environment: Environment, tag: str) -> list[str]:
    found = FlagConfig.objects.filter(environment=environment, flag__is_archived=False, flag__tags__contains=[tag])
    keys = list(found.order_by("flag__key").values_list("flag__key", flat=True))
    if not keys:
        raise Invalid(f"No active flag here has the tag {tag!r}, so nothing was done.", attr="tag", code="unknown_tag")
    return keys


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
