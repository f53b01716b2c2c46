"""The page of a project's flag debt: what waits for whom, how that has gone, and which flags may be archived."""

from datetime import timedelta
from typing import Any

from django.db import OperationalError
from django.http import HttpRequest, HttpResponse
from django.utils import timezone

from flags.lifecycle.evidence import thresholds_of
from flags.lifecycle.overview import Overview, overview_of
from flags.models import DebtDay, FlagConfig
from tenancy.console_kit.context import console_context
from tenancy.console_kit.pages import console_page, list_url
from tenancy.models import Environment
from tenancy.roles import Role

_TREND_DAYS = 90


def page(request: HttpRequest, environment: Environment) -> HttpResponse:
    """The page belongs to the environment in view, and counts the flags of its whole project."""
    project = environment.project
    shown: dict[str, Any] = {"project": project, "limits": thresholds_of(project), "chart": trend_of(project.pk)}
    try:
        shown |= _figures(overview_of(project), environment)
    except OperationalError:
        shown["is_away"] = True
    return console_page(
        request,
        "flags/debt.html",
        title=f"Flag debt of {project.name}",
        environments=console_context(request).environments,
        current_environment=environment,
        list_url=list_url(FlagConfig, environment=environment),
        may_archive=console_context(request).may_in_project(Role.EDITOR, project),
        **shown,
    )


def _figures(found: Overview, environment: Environment) -> dict[str, Any]:
    """Return the counts, the groups and the flags to look at, with the row of each in the environment in view."""
    listed = [each.flag.pk for section in found.sections for each in section.shown]
    rows = FlagConfig.objects.filter(environment=environment, flag__in=listed)
    configs = dict(rows.values_list("flag", "pk"))
    return {
        "has_flags": any(found.flags.values()),
        "waits": bool(found.sections),
        "tiles": [
            {"stage": stage.value, "name": stage.label.capitalize(), "value": len(flags)}
            for stage, flags in found.flags.items()
        ],
        "overdue": found.overdue,
        "sections": [
            {"section": section, "rows": [{"known": each, "pk": configs.get(each.flag.pk)} for each in section.shown]}
            for section in found.sections
        ],
        "groups": found.groups,
        "remembered_at": found.remembered_at,
    }


def trend_of(project_id: int) -> dict[str, Any] | None:
    """Return the line of each kind of debt over the last days; None until there are two days."""
    since = timezone.now().date() - timedelta(days=_TREND_DAYS)
    days = list(DebtDay.objects.filter(project=project_id, day__gt=since))
    if len(days) < 2:
        return None
    labels = [f"{row.day.day} {row.day:%b}" for row in days]
    series = [
        {"name": "Ready to archive", "values": [row.ready_to_archive for row in days]},
        {"name": "Complete", "values": [row.complete for row in days]},
        {"name": "Past their expected end", "values": [row.overdue for row in days]},
    ]
    first, last = days[0], days[-1]
    return {
        "title": "Flags that wait, by day",
        "description": f"From {first.ready_to_archive + first.complete} complete or ready to archive on {labels[0]} "
        f"to {last.ready_to_archive + last.complete} on {labels[-1]}.",
        "labels": labels,
        "series": series,
        "table": {
            "head": ["Day (UTC)", *(one["name"] for one in series), "Live", "New"],
            "rows": [
                [label, str(row.ready_to_archive), str(row.complete), str(row.overdue), str(row.live), str(row.new)]
                for label, row in zip(labels, days, strict=True)
            ],
        },
    }
