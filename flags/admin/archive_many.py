"""Archiving several flags at once, after a page that says where each is served and what archiving does."""

from typing import TYPE_CHECKING

from django.contrib import messages
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.http import HttpRequest, HttpResponse

from flags import services
from flags.models import FlagConfig
from tenancy.admin import say_problems, visit
from tenancy.errors import ServiceError
from tenancy.models import Role

if TYPE_CHECKING:
    from flags.admin.flags import FlagConfigAdmin


def archive_many(
    model_admin: "FlagConfigAdmin", request: HttpRequest, configs: list[FlagConfig]
) -> HttpResponse | None:
    looking = visit(request)
    for project in {config.environment.project for config in configs}:
        looking.require_in_project(Role.EDITOR, project)
    reason = request.POST.get("reason", "").strip()
    if "confirm" in request.POST and reason:
        _archive(request, configs, reason)
        return None
    everywhere: dict[int, list[FlagConfig]] = {config.flag_id: [] for config in configs}
    rows = FlagConfig.objects.filter(flag__in=everywhere).select_related("environment", "flag")
    for row in rows.order_by("-environment__is_production", "environment__key"):
        everywhere[row.flag_id].append(row)
    return model_admin.page(
        request,
        "flags/archive_many.html",
        title=f"Archive {len(configs)} flag{'s' if len(configs) > 1 else ''}?",
        status=422 if "confirm" in request.POST else 200,
        checkbox=ACTION_CHECKBOX_NAME,
        configs=configs,
        rows=[{"flag": found[0].flag, "configs": found} for found in everywhere.values() if found],
        list_url=f"{model_admin.list_url()}?environment={configs[0].environment_id}",
        problem="Say why: whoever reads the log next needs to know." if "confirm" in request.POST else "",
    )


def _archive(request: HttpRequest, configs: list[FlagConfig], reason: str) -> None:
    """Go on past a flag that something still needs, and say which."""
    archived = 0
    for config in configs:
        try:
            services.archive_flag(
                actor=visit(request).actor, environment=config.environment, key=config.flag.key, reason=reason
            )
            archived += 1
        except ServiceError as error:
            say_problems(request, error)
    if archived:
        messages.success(request, f"{archived} flag{'s' if archived > 1 else ''} archived.")
