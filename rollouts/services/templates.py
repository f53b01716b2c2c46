"""The templates of an organization."""

from collections.abc import Mapping
from typing import Any

from django.db import transaction

import audit.services
from audit.actors import Actor
from rollouts.documents import template_resource
from rollouts.models import RolloutTemplate
from rollouts.planning.plan_fields import read_steps
from rollouts.planning.templates import BUILT_IN
from tenancy.errors import Conflict, Invalid
from tenancy.models import Organization
from tenancy.refusals import refuse_if_any, refuse_read_only, refuse_stale, refuse_unknown
from tenancy.services.rows import clean, insert

_FIELDS = ("key", "name", "steps")
_SHOWN = {"isBuiltIn": "", "createdAt": "", "updatedAt": ""}


@transaction.atomic
def create_template(
    *, actor: Actor, organization: Organization, payload: Mapping[str, Any]
) -> tuple[RolloutTemplate, bool]:
    """Return the template and whether it is new. Raises Invalid, Conflict `key_exists`."""
    refuse_unknown(payload, (*_FIELDS, *_SHOWN, "version"))
    key = payload.get("key", "")
    template = RolloutTemplate(organization=organization, key=key)
    _set(template, payload)
    existing = RolloutTemplate.objects.filter(organization=organization, key=key).first()
    if existing is not None and (existing.name, existing.steps) == (template.name, template.steps):
        return existing, False
    if existing is not None or key in BUILT_IN:
        raise Conflict(f"There is already a template {key!r}.", code="key_exists", attr="key")
    insert(template, key=key, noun="a template")
    audit.services.record(
        actor=actor, action="rollout_template.created", at=organization, key=key, after=template_resource(template)
    )
    return template, True


@transaction.atomic
def update_template(
    *, actor: Actor, template: RolloutTemplate, payload: Mapping[str, Any], version: int | None
) -> RolloutTemplate:
    """Plans that were made from it stay as they are. Raises Invalid, Conflict `version_conflict`."""
    locked = RolloutTemplate.objects.select_for_update(of=("self",)).select_related("organization").get(pk=template.pk)
    refuse_unknown(payload, (*_FIELDS, *_SHOWN, "version"))
    before = template_resource(locked)
    refuse_stale("template", before, version)
    refuse_read_only(payload, before, _SHOWN)
    if payload.get("key", locked.key) != locked.key:
        raise Invalid("The key never changes; create another one.", attr="key", code="immutable")
    _set(locked, {"name": locked.name, "steps": locked.steps, **payload})
    clean(locked)
    locked.version += 1
    locked.save()
    audit.services.record(
        actor=actor,
        action="rollout_template.updated",
        at=locked.organization,
        key=locked.key,
        before=before,
        after=template_resource(locked),
    )
    return locked


@transaction.atomic
def delete_template(*, actor: Actor, template: RolloutTemplate, reason: str = "") -> None:
    audit.services.record(
        actor=actor,
        action="rollout_template.deleted",
        at=template.organization,
        key=template.key,
        before=template_resource(template),
        reason=reason,
    )
    template.delete()


def _set(template: RolloutTemplate, payload: Mapping[str, Any]) -> None:
    steps, problems = read_steps(payload.get("steps"))
    refuse_if_any(problems)
    template.name = payload.get("name") or template.key
    template.steps = steps
