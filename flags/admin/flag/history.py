"""A flag's versions in one environment, each with its difference from the one before, and the way back to it."""

from typing import TYPE_CHECKING, Any

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect

from audit.models import Entry
from audit.services import diff
from flags import services
from flags.admin.effects import effects
from flags.admin.flag.sentences import describe
from flags.documents import flag_document
from flags.models import FlagConfig
from flags.versions.history import document_of_version, flag_changes, version_resources
from tenancy.console_kit.context import console_context
from tenancy.errors import ServiceError
from tenancy.models import Role

if TYPE_CHECKING:
    from flags.admin.flags import FlagConfigAdmin

_PER_PAGE = 25
# Come and go with every step; a rollback neither takes them back nor should promise to.
_NOT_ROLLED_BACK = frozenset({"version", "killSwitchVariant", "experiment"})


def history(model_admin: "FlagConfigAdmin", request: HttpRequest, config: FlagConfig) -> HttpResponse:
    environment = config.environment
    before = request.GET.get("before", "")
    steps = flag_changes(environment, config.flag.key)
    if before.isascii() and before.isdigit() and len(before) < 19:
        steps = steps.filter(version__lt=int(before))
    listed = list(steps[: _PER_PAGE + 1])
    versions = list(version_resources(environment, config.flag, listed[:_PER_PAGE]))
    reasons = _reasons(config)
    for version in versions:
        version["reason"] = reasons.get(version["version"], "")
    return model_admin.page(
        request,
        "flags/history.html",
        title=f"History of {config.flag.key} in {environment}",
        config=config,
        versions=versions,
        older=versions[-1]["configVersion"] if len(listed) > _PER_PAGE else None,
        may_edit=console_context(request).may_in_project(Role.EDITOR, environment.project)
        and not config.flag.is_archived,
    )


def _reasons(config: FlagConfig) -> dict[int, str]:
    """Why, by the flag's version, from the audit rows that say so."""
    environment = config.environment
    rows = Entry.objects.filter(
        organization_id=environment.project.organization_id,
        entity_type="flag",
        entity_key=config.flag.key,
        project=environment.project.key,
        environment=environment.key,
    ).exclude(reason="")
    found = rows.order_by("-id").values_list("after", "reason")[:200]
    return {after["version"]: reason for after, reason in found if after and "version" in after}


def rollback(model_admin: "FlagConfigAdmin", request: HttpRequest, config: FlagConfig, version: int) -> HttpResponse:
    """Show what going back would do, then do it as a new version."""
    environment = config.environment
    try:
        document = document_of_version(environment, config.flag.key, version)
    except ServiceError as error:
        raise Http404(error.problems[0].detail) from error
    problems: list[str] = []
    if request.method == "POST":
        try:
            console_context(request).require_in_project(Role.EDITOR, environment.project)
            services.rollback_flag(
                actor=console_context(request).actor,
                environment=environment,
                key=config.flag.key,
                version=version,
                reason=request.POST.get("reason", "").strip(),
            )
        except ServiceError as error:
            problems = [problem.detail for problem in error.problems]
        else:
            messages.success(request, f"{config.flag.key} is as it was in version {version}.")
            return redirect("admin:flags_flagconfig_change", config.pk)
    now = flag_document(config)
    then: dict[str, Any] = {**document, **{name: now[name] for name in _NOT_ROLLED_BACK}}
    return model_admin.page(
        request,
        "flags/rollback.html",
        title=f"Go back to version {version} of {config.flag.key}?",
        status=409 if problems else 200,
        config=config,
        problems=problems,
        changes=list(diff(now, then)),
        effects=effects(now, then),
        sentences=describe(then),
    )
