"""Putting a configuration from elsewhere onto a flag: a copy from another environment, or an import."""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from django.db import transaction
from openflagship.ids import uuid7

from audit.actors import Actor
from audit.services import is_same
from flags.documents import flag_document, flag_presentation, flag_resource
from flags.fields import PRESENTATION_FIELDS
from flags.models import FlagConfig, Rule
from flags.selectors import get_config
from flags.services import drafts, gate, version_log
from flags.services.flags import commit_draft
from tenancy.errors import Conflict, Invalid, Problem
from tenancy.models import Environment


@gate.act("flag.copy")
@transaction.atomic
def copy_flag(
    *,
    actor: Actor,
    source: Environment,
    target: Environment,
    key: str,
    reason: str = "",
    versions: tuple[int, int] | None = None,
) -> FlagConfig:
    """Copy the flag's configuration from `source` to `target`, another environment of the project, with its ranges.

    Each keeps its own kill switch and experiment. Where nothing differs, nothing is written. `versions` are those of
    the flag in source and target that somebody looked at, if that is known. Raises NotFound, Invalid, Conflict
    `rollout_conflict`, `flag_archived` or `version_conflict`.
    """
    if source.project_id != target.project_id or source.pk == target.pk:
        raise Invalid([Problem("to", "other_project", "Copy to another environment of the same project.")])
    environments = version_log.lock_project(source.project)
    from_config, to_config = get_config(source, key), get_config(target, key)
    if versions not in {None, (from_config.version, to_config.version)}:
        detail = f"{key!r} was changed since this page was opened. Look at what is copied now, and copy it again."
        raise Conflict(detail, code="version_conflict")
    if to_config.flag.is_archived:
        raise Conflict(f"{key!r} is archived; restore it before copying it.", code="flag_archived")
    document = flag_document(from_config)
    document["rules"] = with_ids(document["rules"], to_config)
    overwrite(
        actor,
        environments,
        to_config,
        {},
        document,
        reason=reason or f"copied from {source.key}",
        action="flag.copied",
    )
    return get_config(target, key)


def overwrite(
    actor: Actor,
    environments: Mapping[int, Environment],
    existing: FlagConfig,
    item: Mapping[str, Any],
    document: Mapping[str, Any],
    *,
    reason: str,
    action: str,
) -> bool:
    """Give the flag the document's configuration. Return whether anything changed."""
    flag = existing.flag
    existing.environment = environments[existing.environment_id]
    before, there = flag_resource(existing), [flag_document(existing), flag_presentation(flag)]
    draft = drafts.Draft(flag, existing, [])
    split_before = drafts.split_of(existing)
    apply_elsewhere(draft, item, document)
    wanted = [flag_document(existing, sorted(draft.rules, key=lambda rule: rule.priority)), flag_presentation(flag)]
    if is_same(wanted, there):
        return False
    drafts.refuse_split_change(draft, split_before)
    commit_draft(actor=actor, draft=draft, environments=environments, before=before, reason=reason, action=action)
    return True


def apply_elsewhere(draft: drafts.Draft, item: Mapping[str, Any], document: Mapping[str, Any]) -> None:
    flag, config = draft.flag, draft.config
    name = item.get("name") or flag.name or flag.key
    for field in PRESENTATION_FIELDS:
        field.write(config, item.get(field.name, field.read(config)))
    flag.name = name
    drafts.restore(draft, document)


def with_ids(rules: list[Any], existing: FlagConfig | None) -> list[Any]:
    """Give each rule the id of the one with its priority here, else its own id, unless another flag has that id."""
    there = {rule.priority: str(rule.pk) for rule in existing.rules.all()} if existing is not None else {}
    own = {str(rule.get("id")) for rule in rules if isinstance(rule, dict) and _is_uuid(rule.get("id"))}
    taken = {str(pk) for pk in Rule.objects.filter(pk__in=own).exclude(config=existing).values_list("pk", flat=True)}
    found: list[Any] = []
    for rule in rules:
        if not isinstance(rule, dict):
            found.append(rule)
            continue
        priority, wanted = rule.get("priority"), str(rule.get("id"))
        fallback = wanted if wanted in own - taken - set(there.values()) else str(uuid7())
        kept = there.get(priority, fallback) if isinstance(priority, int) else fallback
        found.append({"name": "", "conditions": [], **rule, "id": kept})
    return found


def _is_uuid(value: Any) -> bool:
    try:
        UUID(str(value))
    except ValueError:
        return False
    return True
