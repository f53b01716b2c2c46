"""Reading plans, templates, scheduled changes and triggers of an environment that came from `tenancy.access`."""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from django.db.models import QuerySet

from flags.models import FlagConfig
from rollouts.models import RolloutPart, RolloutPlan, RolloutStop, RolloutTemplate, ScheduledChange, Trigger
from rollouts.planning.templates import BUILT_IN
from tenancy.errors import NotFound
from tenancy.models import Environment, Organization


def plans(environment: Environment) -> QuerySet[RolloutPlan]:
    """The environment's plans with their flags and rules, in as many queries however many there are."""
    found = RolloutPlan.objects.filter(environment=environment)
    return found.select_related("environment__project__organization").prefetch_related(
        "parts__config__flag", "parts__config__rules"
    )


def part_of(environment: Environment, key: str) -> RolloutPart | None:
    """The part that a flag has in its present plan, else in its last one; None where it never had one."""
    parts = RolloutPart.objects.filter(config__environment=environment, config__flag__key=key)
    return parts.select_related("plan").order_by("-is_open", "-plan_id").first()


def get_plan(environment: Environment, key: str) -> RolloutPlan:
    """The flag's present plan, else its last one. Raises NotFound."""
    part = part_of(environment, key)
    if part is None:
        raise NotFound(f"The flag {key!r} has no rollout plan in {environment.key}.", attr="flagKey")
    return plans(environment).get(pk=part.plan_id)


def open_part(config: FlagConfig) -> RolloutPart | None:
    return RolloutPart.objects.filter(config=config, is_open=True).select_related("plan").first()


def template_steps(organization: Organization, key: str) -> list[dict[str, Any]] | None:
    """The steps of a template, built in or the organization's own; None for an unknown one."""
    if key in BUILT_IN:
        steps: list[dict[str, Any]] = BUILT_IN[key]["steps"]
        return steps
    return RolloutTemplate.objects.filter(organization=organization, key=key).values_list("steps", flat=True).first()


def templates(organization: Organization) -> list[Mapping[str, Any] | RolloutTemplate]:
    """Those that are built in, then the organization's own."""
    return [*BUILT_IN.values(), *RolloutTemplate.objects.filter(organization=organization)]


def get_template(organization: Organization, key: str) -> RolloutTemplate:
    """One of the organization's own. Raises NotFound."""
    found = RolloutTemplate.objects.filter(organization=organization, key=key).first()
    if found is None:
        raise NotFound(f"There is no template {key!r} of your own.", attr="key")
    return found


def scheduled(environment: Environment) -> QuerySet[ScheduledChange]:
    return ScheduledChange.objects.filter(environment=environment).select_related("environment__project__organization")


def get_scheduled(environment: Environment, pk: UUID) -> ScheduledChange:
    """Raises NotFound."""
    found = scheduled(environment).filter(pk=pk).first()
    if found is None:
        raise NotFound("There is no such scheduled change.")
    return found


def triggers(environment: Environment) -> QuerySet[Trigger]:
    found = Trigger.objects.filter(config__environment=environment)
    return found.select_related("config__flag", "config__environment__project__organization")


def get_trigger(environment: Environment, pk: UUID) -> Trigger:
    """Raises NotFound."""
    found = triggers(environment).filter(pk=pk).first()
    if found is None:
        raise NotFound("There is no such trigger.")
    return found


def stopped_in(organization: Organization) -> RolloutStop | None:
    """The switch of the organization, if somebody stopped all automatic progress."""
    return RolloutStop.objects.filter(organization=organization).first()
