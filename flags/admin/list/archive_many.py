"""Archiving several flags at once. A page first says where each is served and what archiving does."""

from functools import partial
from typing import Any

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.functional import SimpleLazyObject

from flags import services
from flags.admin.list.bulk import ProgressForm, Run, Selection, select, sent_selection
from flags.admin.reach import Reach, reach_of_many
from flags.models import FlagConfig
from tenancy.console_kit.confirm import ConfirmPage
from tenancy.console_kit.context import console_context
from tenancy.console_kit.formats import counted
from tenancy.console_kit.pages import console_page, list_url
from tenancy.roles import Role


def ask(request: HttpRequest, rows: QuerySet[FlagConfig]) -> HttpResponse:
    return _confirm_page(request, rows).ask(request)


def archive(request: HttpRequest) -> HttpResponse:
    """Archive the confirmed flags: all at once, or a part with each request if there are too many for one."""
    if request.method != "POST":
        return redirect(list_url(FlagConfig))
    return _confirm_page(request, sent_selection(request)).answer(request)


def _confirm_page(request: HttpRequest, rows: QuerySet[FlagConfig]) -> ConfirmPage:
    chosen = select(rows)
    if chosen.shown:
        console_context(request).bind(chosen.shown[0].environment)
    _require(request, chosen.shown)
    return ConfirmPage(
        title=f"Archive {counted(len(chosen.pks), 'flag')}?",
        submit=f"Archive {len(chosen.pks)}",
        act=lambda sent: _archive(request, rows, sent),
        cancel_url=_list_url(chosen.shown),
        action_url=reverse("admin:flags_flagconfig_archive_many"),
        reason_label="Why?",
        tone="danger",
        form=partial(ProgressForm, is_reason_needed=True),
        initial={"flags": chosen.as_text},
        template="flags/archive_many.html",
        shown={"chosen": chosen, "rows": _everywhere(chosen), "reach": SimpleLazyObject(lambda: _reach(chosen))},
    )


def _archive(request: HttpRequest, rows: QuerySet[FlagConfig], sent: dict[str, Any]) -> HttpResponse:
    configs = {config.pk: config for config in rows}
    _require(request, list(configs.values()))
    actor, reason = console_context(request).actor, sent["reason"]
    run = Run.resumed(sent, list(configs))
    run.work(
        configs,
        lambda config: services.archive_flag(
            actor=actor, environment=config.environment, key=config.flag.key, reason=reason
        ),
    )
    url = _list_url(list(configs.values()))
    if sent["done"] is None and not run.waiting:
        for _, why in run.failures:
            messages.error(request, why)
        if run.done:
            messages.success(request, f"{counted(run.done, 'flag')} archived.")
        return redirect(url)
    shown: dict[str, Any] = {"run": run, "form": run.form(reason), "list_url": url}
    if request.headers.get("HX-Request"):
        return render(request, "flags/bulk_part.html", shown)
    return console_page(request, "flags/bulk.html", title=f"Archiving {counted(run.total, 'flag')}", **shown)


def _require(request: HttpRequest, configs: list[FlagConfig]) -> None:
    """Raise PermissionDenied unless the role covers every environment. An archived flag is served in none."""
    projects = {config.environment.project_id: config.environment.project for config in configs}
    if not all(console_context(request).may_in_project(Role.EDITOR, project) for project in projects.values()):
        raise PermissionDenied


def _everywhere(chosen: Selection) -> list[dict[str, object]]:
    """Return each shown flag with what it does in every environment."""
    found: dict[int, list[FlagConfig]] = {config.flag_id: [] for config in chosen.shown}
    rows = FlagConfig.objects.filter(flag__in=found).select_related("environment", "flag")
    for row in rows.order_by("-environment__is_production", "environment__key"):
        found[row.flag_id].append(row)
    return [{"flag": configs[0].flag, "configs": configs} for configs in found.values() if configs]


def _reach(chosen: Selection) -> Reach | None:
    if not chosen.shown:
        return None
    return reach_of_many(chosen.shown[0].environment, [config.flag.key for config in chosen.shown])


def _list_url(configs: list[FlagConfig]) -> str:
    return list_url(FlagConfig, environment=configs[0].environment if configs else None)
