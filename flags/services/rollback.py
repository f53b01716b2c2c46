"""Exact ranges: an earlier version of a flag becomes current again, or a share is set as a rollout plan has it."""

from collections.abc import Mapping
from dataclasses import dataclass
from uuid import UUID

from django.db import transaction

from audit.actors import Actor
from flags.documents import Ranges, flag_resource
from flags.models import FlagConfig, Rule
from flags.selectors import get_config
from flags.services import drafts, gate, version_log
from flags.services.flags import commit_draft
from flags.versions.history import document_of_version
from tenancy.errors import Conflict
from tenancy.models import Environment


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
    draft = drafts.Draft(config.flag, config, list(config.rules.all()))
    split_before = drafts.split_of(config)
    if rule_id is None:
        config.allocation = served.ranges
    else:
        rule = next((row for row in draft.rules if row.pk == rule_id), None)
        if rule is None:
            raise Conflict(f"{key!r} has no rule {rule_id} any more.", code="unknown_rule", attr="ruleId")
        rule.variant, rule.allocation = served.variant, served.ranges
    drafts.refuse_split_change(draft, split_before)
    return commit_draft(actor=actor, draft=draft, environments=locked, before=before, reason=reason, action=action)
