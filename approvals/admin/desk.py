"""What an environment asks, in a sentence, and a change request made of a write that was refused."""

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils import timezone

from approvals import services
from approvals.guard import is_exempt
from approvals.models import Policy
from approvals.selectors import freezes_now, policy_of
from audit.actors import Actor
from tenancy.console_kit.context import console_context
from tenancy.console_kit.formats import counted
from tenancy.console_kit.pages import object_url
from tenancy.console_kit.proposals import Asked
from tenancy.errors import OutOfReach, ServiceError
from tenancy.models import Environment
from tenancy.roles import Role

_MOST_TITLE = 200


class ApprovalDesk:
    """Fills in `tenancy.console_kit.proposals`."""

    def asked_in(self, environment: Environment) -> Asked | None:
        return asked_in(environment)

    def propose(self, request: HttpRequest, refusal: ServiceError, reason: str) -> HttpResponse:
        """Make the request that the refusal carries, in the environment of the write, and show it."""
        proposal = refusal.extra["changeRequest"]
        made = services.create_request(
            principal=console_context(request).principal,
            environment=_environment_of(request, refusal.extra["environment"]),
            payload={"title": reason[:_MOST_TITLE] or proposal["title"], "changes": proposal["changes"]},
        )
        messages.success(request, "Nothing is served yet. Others are asked for their approval.")
        return redirect(object_url(made))


def _environment_of(request: HttpRequest, key: str) -> Environment:
    """The environment of that key in the project of the page."""
    context = console_context(request)
    place = context.environment
    found = (row for row in context.environments if place and row.project_id == place.project_id and row.key == key)
    environment = next(found, None)
    if environment is None:
        raise OutOfReach("There is no such environment, or it belongs to another tenant.")
    return environment


def asked_in(environment: Environment, actor: Actor | None = None) -> Asked | None:
    """Say what the policy asks and which freeze holds; None: nothing is asked."""
    policy = policy_of(environment)
    said = [policy_sentence(policy)] if policy.is_asking else []
    for freeze, until in freezes_now(environment, timezone.now()):
        if actor is None or not is_exempt(freeze, environment, actor):
            end = f" until {until:%Y-%m-%d %H:%M} UTC" if until else ""
            said.append(
                f"{freeze.name} holds{end}{f': {freeze.reason}' if freeze.reason else ''}; nothing is published."
            )
    is_always = policy.is_asking and not conditions_of(policy)
    return Asked(" ".join(said), is_always) if said else None


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
