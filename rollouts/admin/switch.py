"""The switch that stops all automatic progress of an organization; the health page leads here."""

from typing import Any

from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.urls import reverse

from rollouts import services
from rollouts.models import RolloutPlan
from rollouts.selectors import stopped_in
from tenancy.console_kit.confirm import ConfirmPage
from tenancy.console_kit.context import console_context
from tenancy.models import Environment
from tenancy.roles import Role


def switch_page(request: HttpRequest, environment: Environment) -> HttpResponse:
    context, organization = console_context(request), environment.project.organization
    if not context.may_in(Role.ADMIN, organization.pk):
        raise PermissionDenied("This needs the role admin in the organization.")
    stopped = stopped_in(organization)

    def act(sent: dict[str, Any]) -> str:
        perform = services.resume_automatic if stopped else services.stop_automatic
        perform(actor=context.actor, organization=organization, reason=sent["reason"])
        return "Plans and schedules go on." if stopped else "Nothing goes on by itself until you switch it on again."

    running = RolloutPlan.objects.filter(
        environment__project__organization=organization, state=RolloutPlan.State.RUNNING
    ).count()
    return ConfirmPage(
        title="Go on with plans and schedules?" if stopped else "Stop all plans and schedules?",
        submit="Go on" if stopped else "Stop them",
        act=act,
        cancel_url=f"{reverse('console_health')}?environment={environment.pk}",
        tone="" if stopped else "warn",
        intro=f"{running} running plans in {organization}. "
        + (
            "Each goes to the step that is due, in one write."
            if stopped
            else "Nobody's variant changes; people may go on by hand."
        ),
    ).answer(request)
