"""Archiving several flags at once, and restoring them. A page says first where each is served and who evaluates it."""

from collections.abc import Mapping
from typing import Any

from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils.functional import SimpleLazyObject

from flags import services
from flags.admin.list import many
from flags.admin.list.bulk import Selection
from flags.admin.list.used_flags import UsedFlagsForm, refuse_used, used_flags
from flags.models import FlagConfig
from tenancy.console_kit.context import console_context
from tenancy.roles import Role


def ask(request: HttpRequest, rows: QuerySet[FlagConfig]) -> HttpResponse:
    return many.ask(request, rows, _ARCHIVE)


def archive(request: HttpRequest) -> HttpResponse:
    return many.run(request, _ARCHIVE)


def ask_restore(request: HttpRequest, rows: QuerySet[FlagConfig]) -> HttpResponse:
    return many.ask(request, rows, _RESTORE)


def restore(request: HttpRequest) -> HttpResponse:
    return many.run(request, _RESTORE)


def _restore(request: HttpRequest, config: FlagConfig, sent: Mapping[str, Any]) -> None:
    services.restore_flag(
        actor=console_context(request).actor, environment=config.environment, key=config.flag.key, reason=sent["reason"]
    )


def _archive(request: HttpRequest, config: FlagConfig, sent: Mapping[str, Any]) -> None:
    # What is evaluated was named, and how many they are was typed: see `refuse_used`.
    services.archive_flag(
        actor=console_context(request).actor,
        environment=config.environment,
        key=config.flag.key,
        reason=sent["reason"],
        confirm=config.flag.key,
    )


def may_in_projects(request: HttpRequest, configs: list[FlagConfig]) -> bool:
    """Return whether the role covers every environment of the flags' projects."""
    projects = {config.environment.project_id: config.environment.project for config in configs}
    return all(console_context(request).may_in_project(Role.EDITOR, project) for project in projects.values())


def _everywhere(chosen: Selection) -> list[dict[str, object]]:
    """Return each shown flag with what it does in every environment."""
    found: dict[int, list[FlagConfig]] = {config.flag_id: [] for config in chosen.shown}
    rows = FlagConfig.objects.filter(flag__in=found).select_related("environment", "flag")
    for row in rows.order_by("-environment__is_production", "environment__key"):
        found[row.flag_id].append(row)
    return [{"flag": configs[0].flag, "configs": configs} for configs in found.values() if configs]


def _shown(request: HttpRequest, chosen: Selection) -> dict[str, Any]:  # noqa: ARG001 - as each act's
    used = SimpleLazyObject(lambda: used_flags(chosen.pks))
    return {"rows": _everywhere(chosen), "reach": many.reach_of(chosen), "used": used}


_ARCHIVE = many.ManyAct(
    name="archive_many",
    verb="Archive",
    doing="Archiving",
    done="archived",
    act=_archive,
    may=may_in_projects,
    template="flags/archive_many.html",
    shown=_shown,
    check=refuse_used,
    tone="danger",
    form=UsedFlagsForm,
    is_reason_needed=True,
    undo="restore_many",
)
_RESTORE = many.ManyAct(
    name="restore_many",
    verb="Restore",
    doing="Restoring",
    done="restored",
    act=_restore,
    may=may_in_projects,
    template="flags/restore_many.html",
    shown=lambda request, chosen: {"rows": _everywhere(chosen)},  # noqa: ARG005 - as each act's
)
