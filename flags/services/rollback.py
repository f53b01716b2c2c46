"""Rollback: an earlier version of a flag becomes current again, as a new version."""

from django.db import transaction

from audit.actors import Actor
from flags.documents import flag_resource
from flags.models import FlagConfig
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
