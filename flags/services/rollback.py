"""Exact ranges: an earlier version of a flag becomes current again, or a share is set as a rollout plan has it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

from django.db import transaction
from django.utils import timezone

import audit.services
from audit.actors import Actor
from flags.documents import Ranges, flag_resource
from flags.models import Change, FlagConfig, Rule
from flags.selectors import configs, get_config
from flags.services import drafts, gate, version_log
from flags.services.flags import commit_draft
from flags.signals import flag_changes
from flags.versions.history import document_of_version
from tenancy.errors import Conflict
from tenancy.models import Environment
from tenancy.refusals import refuse_if_any


@gate.act("flag.rollback")
@transaction.atomic
def rollback_flag(*, actor: Actor, environment: Environment, key: str, version: int, reason: str = "") -> FlagConfig:
    """Make what evaluators got at the flag's `version` current again. An archived flag must be restored first.

    Ranges, salt and rule ids come back exactly. Name, description and tags stay, since evaluators do not get them. The
    kill switch and a running experiment stay too, and the experiment's split stays locked. Raises NotFound, Invalid,
    Conflict.
    """
    environments = version_log.lock_project(environment.project)
    config = get_config(environments[environment.pk], key)
    if config.flag.is_archived:
        raise Conflict(f"{key!r} is archived; restore it before going back.", code="flag_archived")
    document = document_of_version(environment, key, version)
    before = flag_resource(config)
    draft = drafts.Draft(config.flag, config, [])
    split_before = drafts.split_of(config)
    drafts.restore(draft, document)
    drafts.refuse_split_change(draft, split_before)
    return commit_draft(
        actor=actor,
        draft=draft,
        environments=environments,
        before=before,
        reason=reason or f"back to version {version}",
        action="flag.rolled_back",
    )


@dataclass(frozen=True, slots=True)
class Served:
    """What a rule or the default rollout gives: a variant to all, or ranges."""

    ranges: Ranges
    variant: str = ""


def served_of(config: FlagConfig, rules: list[Rule], rule_id: UUID | None) -> Served | None:
    """Return what the place gives; None where the flag has no such rule."""
    if rule_id is None:
        return Served(config.allocation)
    rule = next((row for row in rules if row.pk == rule_id), None)
    return None if rule is None else Served(rule.allocation, rule.variant)


@transaction.atomic
def set_share(
    *,
    actor: Actor,
    environment: Environment,
    key: str,
    rule_id: UUID | None,
    served: Served,
    reason: str,
    action: str = "flag.updated",
    environments: Mapping[int, Environment] | None = None,
) -> FlagConfig:
    """Give exactly these ranges, or the rule's variant. `environments` are those of the project, if locked already.

    Raises what `update_flag` raises, and Conflict `unknown_rule` where the rule is gone.
    """
    locked = environments or version_log.lock_project(environment.project)
    config = get_config(locked[environment.pk], key)
    drafts.refuse_archived(config.flag)
    before = flag_resource(config)
    draft, _ = _drafted(config, rule_id, served)
    return commit_draft(actor=actor, draft=draft, environments=locked, before=before, reason=reason, action=action)


def _drafted(config: FlagConfig, rule_id: UUID | None, served: Served) -> tuple[drafts.Draft, Rule | None]:
    """Return the flag with the share set, not saved, and the rule that it stands in."""
    draft = drafts.Draft(config.flag, config, list(config.rules.all()))
    split_before = drafts.split_of(config)
    rule = next((row for row in draft.rules if row.pk == rule_id), None)
    if rule_id is None:
        config.allocation = served.ranges
    elif rule is None:
        raise Conflict(f"{config.flag.key!r} has no rule {rule_id} any more.", code="unknown_rule", attr="ruleId")
    else:
        rule.variant, rule.allocation = served.variant, served.ranges
    drafts.refuse_split_change(draft, split_before)
    return draft, rule


@dataclass(frozen=True, slots=True)
class Share:
    """What a flag is to give in a place, and why."""

    key: str
    rule_id: UUID | None
    served: Served
    reason: str


@transaction.atomic
def set_shares(*, actor: Actor, environment: Environment, shares: Sequence[Share]) -> None:
    """As `set_share` for many flags of one locked environment, with as many queries as for one: all of them, or none.

    Raises what `set_share` raises, and Conflict `rollout_conflict` for a flag with an experiment.
    """
    found = {config.flag.key: config for config in configs(environment).filter(flag__key__in=[s.key for s in shares])}
    acts, rules, now = [], [], timezone.now()
    for share in shares:
        config = found.get(share.key) or get_config(environment, share.key)
        drafts.refuse_archived(config.flag)
        if config.experiment:
            raise Conflict(f"{share.key!r} has an experiment.", code="rollout_conflict", attr="flagKey")
        before = flag_resource(config)
        draft, rule = _drafted(config, share.rule_id, share.served)
        refuse_if_any(drafts.check(draft))
        flag_changes.send(sender=FlagConfig, draft=draft)
        config.version, config.updated_at = config.version + 1, now
        rules += [rule] if rule is not None else []
        acts.append(audit.services.Act("flag.updated", share.key, before, flag_resource(config), share.reason))
    changed = [found[share.key] for share in shares]
    # All of them are there. An upsert costs a quarter of the CASEs that `bulk_update` writes.
    FlagConfig.objects.bulk_create(
        changed, update_conflicts=True, unique_fields=["id"], update_fields=["allocation", "version", "updated_at"]
    )
    Rule.objects.bulk_update(rules, ["variant", "allocation"])
    changes = [version_log.flag_change(config, Change.Kind.FLAG_UPDATED) for config in changed]
    version_log.append_each(environment=environment, actor=actor, changes=changes)
    audit.services.record_each(actor=actor, at=environment, acts=acts)
