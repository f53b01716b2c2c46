"""What may be done to an experiment from its pages, and the decision that was made about it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from django.http import HttpRequest

from audit.models import Entry
from experiments.models import Experiment
from tenancy.console_kit.environments import may_edit

_ACTS: Final = {
    Experiment.Status.DRAFT: ["edit", "start"],
    Experiment.Status.RUNNING: ["edit", "pause", "restart", "complete"],
    Experiment.Status.PAUSED: ["edit", "resume", "restart", "complete"],
    Experiment.Status.COMPLETED: ["edit"],
}


def acts_of(request: HttpRequest, experiment: Experiment) -> list[str]:
    """The names of the acts that its status allows; none for those who may not edit."""
    return _ACTS[Experiment.Status(experiment.status)] if may_edit(request, experiment) else []


@dataclass(frozen=True, slots=True)
class ActLink:
    """A link of an app above, beside the acts; `url` is "" where it is not offered."""

    label: str
    url: Callable[[HttpRequest, Experiment], str]


_LINKS: list[ActLink] = []


def register_act_link(link: ActLink) -> None:
    if link not in _LINKS:
        _LINKS.append(link)


def act_links_for(request: HttpRequest, experiment: Experiment) -> list[dict[str, str]]:
    """Return `{label, url}` of each link that is offered."""
    found = ((link.label, link.url(request, experiment)) for link in _LINKS)
    return [{"label": label, "url": url} for label, url in found if url]


def decision_entry(experiment: Experiment) -> Entry | None:
    """The audit entry of the decision: who made it, when and why."""
    if not experiment.decision:
        return None
    entries = Entry.objects.filter(
        organization_id=experiment.environment.project.organization_id,
        entity_type="experiment",
        entity_key=experiment.key,
        action="experiment.completed",
    )
    return entries.order_by("-id").first()
