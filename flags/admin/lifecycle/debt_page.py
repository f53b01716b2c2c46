"""The page of a project's flag debt: what waits for whom, how that has gone, and which flags may be archived."""

from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any

from django.db import OperationalError
from django.http import HttpRequest, HttpResponse
from django.utils import timezone

from flags.lifecycle.evidence import Known, lifecycles, thresholds_of
from flags.lifecycle.stages import Stage
from flags.models import DebtDay, Flag, FlagConfig
from tenancy.console_kit.context import console_context
from tenancy.console_kit.pages import console_page, list_url
from tenancy.models import Environment
from tenancy.roles import Role

_TREND_DAYS = 90
_MOST_SHOWN = 200
_MOST_GROUPS = 20
NOBODY, UNKNOWN = "nobody", "not said"


def page(request: HttpRequest, environment: Environment) -> HttpResponse:
    """The page belongs to the environment in view, and counts the flags of its whole project."""
    project = environment.project
    shown: dict[str, Any] = {"project": project, "limits": thresholds_of(project), "chart": trend_of(project.pk)}
    try:
        shown |= _figures(lifecycles(project), environment)
    except OperationalError:
        shown["is_away"] = True
    return console_page(
        request,
        "flags/debt.html",
        title=f"Flag debt of {project.name}",
        list_url=list_url(FlagConfig, environment=environment),
        may_archive=console_context(request).may_in_project(Role.EDITOR, project),
        **shown,
    )


def _figures(known: Sequence[Known], environment: Environment) -> dict[str, Any]:
    """Return the counts, the groups and the flags to look at, those first that nobody changed for longest."""
    by_stage: defaultdict[Stage, list[Known]] = defaultdict(list)
    for each in sorted(known, key=lambda each: (each.evidence.changed_at, each.flag.key)):
        by_stage[each.found.stage].append(each)
    overdue = [each for each in known if each.found.is_overdue and each.found.stage is not Stage.READY]
    overdue.sort(key=lambda each: (str(each.flag.expected_end), each.flag.key))
    sections = [
        ("ready", Stage.READY.label.capitalize(), by_stage[Stage.READY]),
        ("complete", Stage.COMPLETE.label.capitalize(), by_stage[Stage.COMPLETE]),
        ("overdue", "Past their expected end", [each for each in overdue if each.found.stage is not Stage.COMPLETE]),
    ]
    listed = [each for _, _, found in sections for each in found]
    rows = FlagConfig.objects.filter(environment=environment, flag__in=[each.flag.pk for each in listed])
    configs = dict(rows.values_list("flag", "pk"))
    return {
        "has_flags": bool(known),
        "waits": bool(listed),
        "tiles": [
            {"stage": stage.value, "name": stage.label.capitalize(), "value": len(by_stage[stage])}
            for stage in Stage
            if stage is not Stage.ARCHIVED
        ],
        "overdue": sum(each.found.is_overdue for each in known),
        "sections": [
            {
                "name": name,
                "title": title,
                "rows": [{"known": each, "pk": configs.get(each.flag.pk)} for each in found[:_MOST_SHOWN]],
                "total": len(found),
                "left_out": max(0, len(found) - _MOST_SHOWN),
                "stage": found[0].found.stage.value if found and name != "overdue" else "",
            }
            for name, title, found in sections
            if found
        ],
        "groups": [
            _groups("By owner", "owner", known, lambda flag: flag.owner),
            _groups("By team", "team", known, lambda flag: flag.team),
            _groups("By kind", "kind", known, lambda flag: flag.kind),
        ],
    }


def _groups(title: str, filter_name: str, known: Sequence[Known], of: Callable[[Flag], str]) -> dict[str, Any]:
    """Count by owner, team or kind, the most debt first."""
    counts: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for each in known:
        counts[of(each.flag)].update([each.found.stage.value, *(["overdue"] if each.found.is_overdue else [])])
    labels = {"": UNKNOWN if filter_name == "kind" else NOBODY, **dict(Flag.Kind.choices)}
    rows: list[dict[str, Any]] = [
        {
            "value": value,
            "label": labels.get(value, value) if filter_name == "kind" or not value else value,
            "complete": found[Stage.COMPLETE.value],
            "ready": found[Stage.READY.value],
            "overdue": found["overdue"],
            "flags": sum(found[stage.value] for stage in Stage),
        }
        for value, found in counts.items()
    ]
    rows.sort(key=lambda row: (-row["ready"] - row["complete"], -row["overdue"], str(row["label"])))
    shown = rows[:_MOST_GROUPS]
    return {"title": title, "filter": filter_name, "rows": shown, "left_out": len(rows) - len(shown)}


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
