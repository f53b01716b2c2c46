"""Setting what an environment asks before a change is served there."""

from collections.abc import Mapping
from typing import Any, Final

from django.db import transaction

import audit.services
from approvals.documents import policy_resource
from approvals.models import Policy
from approvals.selectors import policy_of
from approvals.services.guarding import mark_guarded
from approvals.services.waiting import ask_again, look_again
from audit.actors import Actor
from flags.services import version_log
from tenancy.errors import Problem
from tenancy.models import Environment, User
from tenancy.refusals import refuse_if_any, refuse_stale, refuse_unknown, unknown_fields
from tenancy.roles import Role
from tenancy.services import clean

_FIELDS: Final = (
    "requiredApprovals",
    "approvers",
    "ownApproval",
    "when",
    "emergency",
    "checks",
    "environment",
    "version",
)
_PARTS: Final = {
    "approvers": ("roles", "groups"),
    "when": ("impactPercent", "experiments", "tags"),
    "emergency": ("roles",),
}


@transaction.atomic
def set_policy(
    *, actor: Actor, environment: Environment, payload: Mapping[str, Any], version: int | None, reason: str = ""
) -> Policy:
    """Replace the environment's policy: a field that is left out gets its default. Raises Invalid, Conflict."""
    locked = version_log.lock_environment(environment)
    policy = policy_of(locked)
    before = policy_resource(policy)
    refuse_stale("policy", before, version)
    refuse_unknown(payload, _FIELDS)
    _refuse_parts(payload)
    approvers, when, emergency = (payload.get(name) or {} for name in ("approvers", "when", "emergency"))
    policy.required_approvals = payload.get("requiredApprovals", 0)
    policy.approver_roles = _once(approvers.get("roles", [Role.ADMIN.value]))
    policy.approver_groups = _once(approvers.get("groups", []))
    policy.is_own_approval_allowed = payload.get("ownApproval", False)
    policy.impact_percent = when.get("impactPercent")
    policy.asks_for_experiments = bool(when.get("experiments", False))
    policy.tags = _once(when.get("tags", []))
    policy.emergency_roles = _once(emergency.get("roles", []))
    policy.checks = _once(payload.get("checks", []))
    refuse_if_any(_problems(policy))
    policy.version += 1
    clean(policy)
    policy.save()
    mark_guarded([locked.pk])
    ask_again(locked)
    look_again([locked])
    audit.services.record(
        actor=actor,
        action="policy.changed",
        at=locked,
        key=locked.key,
        before=before,
        after=policy_resource(policy),
        reason=reason,
    )
    return policy


def _once(values: list[Any]) -> list[Any]:
    return list(dict.fromkeys(values))


def _refuse_parts(payload: Mapping[str, Any]) -> None:
    problems: list[Problem] = []
    for name, known in _PARTS.items():
        problems += unknown_fields(payload.get(name) or {}, known, within=name)
    refuse_if_any(problems)


def _problems(policy: Policy) -> list[Problem]:
    problems = []
    if policy.required_approvals and not policy.approver_roles and not policy.approver_groups:
        problems.append(
            Problem("approvers", "required", "Name the roles or groups that may approve, or nobody ever could.")
        )
    organization = policy.environment.project.organization_id
    there = set(
        User.objects.filter(service_of=organization, username__in=policy.checks).values_list("username", flat=True)
    )
    problems += [
        Problem(
            f"checks[{index}]", "unknown_service_account", f"There is no service account {name!r}; name its clientId."
        )
        for index, name in enumerate(policy.checks)
        if name not in there
    ]
    return problems
