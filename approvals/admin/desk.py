"""What an environment asks, in a sentence, and a change request made of a write that was refused."""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils import timezone

from approvals import services
from approvals.guard import is_exempt
from approvals.models import ChangeRequest, Policy
from approvals.operations import as_json
from approvals.selectors import freezes_now, get_request, policy_of
from audit.actors import Actor
from tenancy import access
from tenancy.console_kit.context import console_context
from tenancy.console_kit.formats import counted
from tenancy.console_kit.pages import object_url
from tenancy.console_kit.proposals import Amendment, Asked, Changed
from tenancy.errors import Conflict, NotFound, ServiceError
from tenancy.models import Environment
from tenancy.roles import Role

_MOST_TITLE = 200
_WAITING = (ChangeRequest.State.DRAFT, ChangeRequest.State.OPEN)


class ApprovalDesk:
    """Fills in `tenancy.console_kit.proposals`."""

    def asked_in(self, request: HttpRequest, environment: Environment) -> Asked | None:
        return asked_in(environment, console_context(request).actor)

    def propose(self, request: HttpRequest, refusal: ServiceError, reason: str) -> HttpResponse:
        """Make the request that the refusal carries, in the environment of the write, and show it."""
        proposal, place = refusal.extra["changeRequest"], getattr(refusal, "place", None)
        if place is None:
            raise refusal
        made = services.create_request(
            principal=console_context(request).principal,
            environment=place,
            payload={"title": reason[:_MOST_TITLE] or proposal["title"], "changes": proposal["changes"]},
        )
        messages.success(request, "Nothing is served yet. Others are asked for their approval.")
        return redirect(object_url(made))

    def amended(self, request: HttpRequest, pk: str, change: Changed) -> Amendment | None:
        thing = _request(request, pk)
        place = _place_of(thing, change)
        if place is None:
            return None
        return Amendment(thing.title, object_url(thing), thing.changes[place]["patch"])

    def amend(self, request: HttpRequest, pk: str, change: Changed, patch: Mapping[str, Any]) -> HttpResponse:
        """Set the patch of the request's change of this thing. Its other changes stay."""
        thing = _request(request, pk)
        place = _place_of(thing, change)
        if place is None:
            raise Conflict("The request changes this no more. Load the page anew.", code="wrong_state")
        changes = [dict(each) for each in thing.changes]
        changes[place] |= {"patch": as_json(patch), "baseVersion": None}
        services.update_request(
            principal=console_context(request).principal,
            request=thing,
            payload={"changes": changes},
            version=thing.version,
        )
        messages.success(request, "The request is changed. Whoever approved it looks at it again.")
        return redirect(object_url(thing))


def _request(request: HttpRequest, pk: str) -> ChangeRequest:
    try:
        return get_request(access.environments(console_context(request).principal), UUID(pk))
    except (ValueError, NotFound) as error:
        raise Http404("There is no such change request, or it belongs to another tenant.") from error


def _place_of(thing: ChangeRequest, change: Changed) -> int | None:
    """Return which of the request's changes sets fields of this thing; None where none does, or it is closed."""
    if thing.state not in _WAITING or thing.environment_id != change.environment.pk:
        return None
    resource = {"type": change.kind, "key": change.key}
    named = (place for place, each in enumerate(thing.changes) if each["resource"] == resource)
    found = next((place for place in named if thing.changes[place]["action"] == "update"), None)
    # A thing that is changed twice is edited as data.
    return found if sum(each["resource"] == resource for each in thing.changes) == 1 else None


def asked_in(environment: Environment, actor: Actor | None = None) -> Asked | None:
    """Say what the policy asks and which freeze holds; None: nothing is asked."""
    policy = policy_of(environment)
    said = [policy_sentence(policy)] if policy.is_asking else []
    said += freeze_sentences(environment, actor)
    is_always = policy.is_asking and not conditions_of(policy)
    return Asked(" ".join(said), is_always) if said else None


def freeze_sentences(environment: Environment, actor: Actor | None = None) -> list[str]:
    """Say which freezes hold, without those that the actor may publish in all the same."""
    found = []
    for freeze, until in freezes_now(environment, timezone.now()):
        if actor is None or not is_exempt(freeze, environment, actor):
            end = f" until {until:%Y-%m-%d %H:%M} UTC" if until else ""
            why = f": {freeze.reason}" if freeze.reason else ""
            found.append(f"{freeze.name} holds{end}{why}; nothing is published.")
    return found


def policy_sentence(policy: Policy) -> str:
    """Say who has to agree, and when."""
    roles = [Role(role).label.lower() + "s" for role in policy.approver_roles]
    people = " or ".join([*roles, *(f"the group {name}" for name in policy.approver_groups)])
    needed = f"{counted(policy.required_approvals, 'approval')} by {people}" if policy.required_approvals else ""
    checks = f"the check {' and '.join(policy.checks)}" if policy.checks else ""
    asked = " and ".join(part for part in (needed, checks) if part)
    when = conditions_of(policy)
    return (
        f"{policy.environment.name} asks for {asked} before a change is served{f', where it {when}' if when else ''}."
    )


def conditions_of(policy: Policy) -> str:
    parts = []
    if policy.impact_percent is not None:
        parts.append(f"moves {policy.impact_percent:g} % of the users or more")
    if policy.asks_for_experiments:
        parts.append("touches an experiment")
    if policy.tags:
        parts.append(f"touches what is tagged {' or '.join(policy.tags)}")
    return ", ".join(parts[:-1]) + (" or " if len(parts) > 1 else "") + parts[-1] if parts else ""
