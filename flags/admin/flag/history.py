"""A flag's versions in one environment, each with its difference from the one before, and the rollback to it."""

from typing import Any

from django.http import Http404, HttpRequest, HttpResponse
from django.utils.functional import SimpleLazyObject

from audit.models import Entry
from audit.services import diff
from flags import services
from flags.admin.flag.sentences import describe
from flags.admin.reach import reaches_of_flag
from flags.documents import flag_document
from flags.models import FlagConfig
from flags.versions.history import document_of_version, flag_changes, version_resources
from tenancy.console_kit.confirm import ConfirmPage
from tenancy.console_kit.context import console_context
from tenancy.console_kit.pages import console_page, object_url
from tenancy.errors import ServiceError
from tenancy.roles import Role

_PER_PAGE = 25
# These fields change with every step. A rollback does not restore them, so the page does not show them.
_NOT_ROLLED_BACK = frozenset({"version", "killSwitchVariant", "experiment", "exposures"})


def history(request: HttpRequest, config: FlagConfig) -> HttpResponse:
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
    return console_page(
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
    """Return the reasons from the audit log, by the flag's version."""
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


def rollback(request: HttpRequest, config: FlagConfig, version: int) -> HttpResponse:
    """Show what the rollback would do, then do it as a new version."""
    environment = config.environment
    try:
        document = document_of_version(environment, config.flag.key, version)
    except ServiceError as error:
        raise Http404(error.problems[0].detail) from error

    def act(sent: dict[str, Any]) -> str:
        context = console_context(request)
        context.require_in_project(Role.EDITOR, environment.project)
        services.rollback_flag(
            actor=context.actor, environment=environment, key=config.flag.key, version=version, reason=sent["reason"]
        )
        return f"{config.flag.key} is as it was in version {version}."

    now = flag_document(config)
    then: dict[str, Any] = {name: value for name, value in document.items() if name not in _NOT_ROLLED_BACK}
    then |= {name: now[name] for name in _NOT_ROLLED_BACK if name in now}
    return ConfirmPage(
        title=f"Restore version {version} of {config.flag.key}?",
        submit=f"Restore version {version}",
        act=act,
        cancel_url=object_url(config, "history"),
        done_url=object_url(config),
        tone="warn",
        serves=environment,
        template="flags/rollback.html",
        shown={
            "config": config,
            "changes": list(diff(now, then)),
            # Lazy: people are counted for the page, and nobody waits for that who confirms.
            "reaches": SimpleLazyObject(lambda: reaches_of_flag(config, now, then, is_shown=True)),
            "sentences": describe(then),
        },
    ).answer(request)
