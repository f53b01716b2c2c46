"""The kill switch: everybody gets one variant, from the moment a process hears of it until it is released."""

from collections import defaultdict
from collections.abc import Iterable
from datetime import datetime
from typing import Any

from django.db import transaction
from django.db.models import F
from django.utils import timezone

from audit.actors import Actor
from audit.services import Act, record_each
from flags.models import Change, FlagConfig
from flags.selectors import configs, get_config
from flags.services import gate, version_log
from flags.services.drafts import refuse_archived
from tenancy.errors import Conflict, Invalid
from tenancy.models import Environment


@gate.act("flag.kill")
@transaction.atomic
def kill_flag(
    *, actor: Actor, environment: Environment, key: str, variant: str | None = None, reason: str = ""
) -> FlagConfig:
    """Give everybody in this environment `variant`, whatever else is configured; by default the off variant.

    A second kill to the same variant changes nothing.
    """
    locked = version_log.lock_environment(environment)
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
    _switch(actor, locked, [(config, forced)], reason)
    return config


@gate.act("flag.release")
@transaction.atomic
def release_flag(*, actor: Actor, environment: Environment, key: str, reason: str = "") -> FlagConfig:
    """Release the kill switch, so that the configuration decides again. A flag that is not killed stays as it is.

    Raises Conflict `flag_archived` for a killed flag that was archived: a release would serve it again.
    """
    locked = version_log.lock_environment(environment)
    config = get_config(locked, key)
    if config.is_killed:
        refuse_archived(config.flag)
    _switch(actor, locked, [(config, "")], reason)
    return config


@gate.act("flag.kill")
@transaction.atomic
def kill_flags(*, actor: Actor, environment: Environment, keys: Iterable[str], reason: str = "") -> list[FlagConfig]:
    """Kill these flags, each to its off variant, in one transaction. Archived flags are left out.

    Returns those that are killed now, including those that were killed before.
    """
    locked = version_log.lock_environment(environment)
    found = list(configs(locked).filter(flag__key__in=set(keys), flag__is_archived=False))
    _switch(actor, locked, [(config, config.off_variant) for config in found], reason)
    return found


@gate.act("flag.release")
@transaction.atomic
def release_flags(*, actor: Actor, environment: Environment, keys: Iterable[str], reason: str = "") -> list[FlagConfig]:
    """Release these flags in one transaction. Archived flags are left out.

    Returns them, including those that were not killed.
    """
    locked = version_log.lock_environment(environment)
    found = list(configs(locked).filter(flag__key__in=set(keys), flag__is_archived=False))
    _switch(actor, locked, [(config, "") for config in found], reason)
    return found


def kill_tag(*, actor: Actor, environment: Environment, tag: str, reason: str = "") -> list[FlagConfig]:
    """Kill every active flag with the tag, as `kill_flags` does. Raises Invalid `unknown_tag` if there is none."""
    return kill_flags(actor=actor, environment=environment, keys=_tagged(environment, tag), reason=reason)


def release_tag(*, actor: Actor, environment: Environment, tag: str, reason: str = "") -> list[FlagConfig]:
    """Release every active flag with the tag, whoever killed it. Raises Invalid `unknown_tag` if there is none."""
    return release_flags(actor=actor, environment=environment, keys=_tagged(environment, tag), reason=reason)


def kill_everything(*, actor: Actor, environment: Environment, confirm: str, reason: str) -> list[FlagConfig]:
    """Kill every active flag of the environment, as `kill_flags` does; `confirm` is the environment's key.

    Raises Invalid: `confirmation_mismatch`; `required` where no reason is given.
    """
    _refuse_unconfirmed(environment, confirm)
    if not reason.strip():
        raise Invalid("Say why every flag is killed: the audit log keeps it.", attr="reason", code="required")
    return kill_flags(actor=actor, environment=environment, keys=_all_keys(environment), reason=reason)


def release_everything(*, actor: Actor, environment: Environment, confirm: str, reason: str = "") -> list[FlagConfig]:
    """Release every killed flag of the environment, whoever killed it; `confirm` is the environment's key.

    Returns the flags that were killed. Raises Invalid `confirmation_mismatch`.
    """
    _refuse_unconfirmed(environment, confirm)
    killed = _all_keys(environment, is_killed=True)
    return release_flags(actor=actor, environment=environment, keys=killed, reason=reason)


def _refuse_unconfirmed(environment: Environment, confirm: str) -> None:
    if confirm != environment.key:
        raise Invalid(
            f"This changes every flag of {environment.key}. Confirm it with the environment's key: {environment.key}.",
            attr="confirm",
            code="confirmation_mismatch",
        )


def _all_keys(environment: Environment, *, is_killed: bool = False) -> list[str]:
    found = FlagConfig.objects.filter(environment=environment, flag__is_archived=False)
    if is_killed:
        found = found.exclude(kill_switch_variant="")
    return list(found.values_list("flag__key", flat=True))


def _tagged(environment: Environment, tag: str) -> list[str]:
    found = FlagConfig.objects.filter(environment=environment, flag__is_archived=False, flag__tags__contains=[tag])
    keys = list(found.values_list("flag__key", flat=True))
    if not keys:
        raise Invalid(f"No active flag here has the tag {tag!r}, so nothing was done.", attr="tag", code="unknown_tag")
    return keys


def _switch(actor: Actor, environment: Environment, wanted: list[tuple[FlagConfig, str]], reason: str) -> None:
    """Kill each flag to its variant, or release it where that is empty; log and audit all of them at once."""
    now = timezone.now()
    acts, changes = [], []
    alike: defaultdict[str, list[int]] = defaultdict(list)
    for config, forced in wanted:
        if config.kill_switch_variant == forced:
            continue
        before = _state(config)
        for name, value in _switched(forced, now, reason).items():
            setattr(config, name, value)
        config.version += 1
        alike[forced].append(config.pk)
        changes.append(version_log.flag_change(config, Change.Kind.KILL_SWITCH))
        acts.append(
            Act(
                action="flag.killed" if forced else "flag.released",
                key=config.flag.key,
                before=before,
                after=_state(config),
                reason=reason,
            )
        )
    if not changes:
        return
    for forced, pks in alike.items():
        FlagConfig.objects.filter(pk__in=pks).update(**_switched(forced, now, reason), version=F("version") + 1)
    version_log.append_each(environment=environment, actor=actor, changes=changes)
    record_each(actor=actor, at=environment, acts=acts)


def _switched(forced: str, at: datetime, reason: str) -> dict[str, Any]:
    return {
        "kill_switch_variant": forced,
        "killed_at": at if forced else None,
        "kill_reason": reason if forced else "",
        "updated_at": at,
    }


def _state(config: FlagConfig) -> dict[str, object]:
    return {
        "killSwitchVariant": config.kill_switch_variant or None,
        "killedAt": config.killed_at,
        "killReason": config.kill_reason,
    }
