"""Killing and releasing several flags at once: a page that lists what it does, then all of them in one transaction."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse

from flags import services
from flags.admin.bulk import select, sent_selection
from flags.admin.flag.sentences import describe
from flags.admin.killing.kill import affected_by
from flags.documents import flag_document
from flags.models import FlagConfig
from tenancy.admin import say_problems
from tenancy.console_kit.context import console_context
from tenancy.errors import ServiceError
from tenancy.models import Environment

if TYPE_CHECKING:
    from flags.admin.flags import FlagConfigAdmin

_MOST_NAMED = 20


def ask_kill(
    model_admin: "FlagConfigAdmin", request: HttpRequest, rows: QuerySet[FlagConfig], problem: str = ""
) -> HttpResponse | None:
    """Each selected flag to its off variant; None where none of them is there."""
    return _ask(model_admin, request, rows, "kill", problem)


def ask_release(
    model_admin: "FlagConfigAdmin", request: HttpRequest, rows: QuerySet[FlagConfig]
) -> HttpResponse | None:
    return _ask(model_admin, request, rows.exclude(kill_switch_variant=""), "release")


def kill(model_admin: "FlagConfigAdmin", request: HttpRequest) -> HttpResponse:
    rows = sent_selection(model_admin, request)
    reason = request.POST.get("reason", "").strip()
    if request.method == "POST" and not reason:
        asked = ask_kill(model_admin, request, rows, "Say why: whoever reads the log next needs to know.")
        return asked or redirect(model_admin.list_url())
    return _switch_all(model_admin, request, rows, services.kill_flags, "killed")


def release(model_admin: "FlagConfigAdmin", request: HttpRequest) -> HttpResponse:
    rows = sent_selection(model_admin, request).exclude(kill_switch_variant="")
    return _switch_all(model_admin, request, rows, services.release_flags, "released")


def _ask(
    model_admin: "FlagConfigAdmin", request: HttpRequest, rows: QuerySet[FlagConfig], act: str, problem: str = ""
) -> HttpResponse | None:
    chosen = select(rows)
    if not chosen.pks:
        said = "None of these flags is killed." if act == "release" else "None of these flags is here any more."
        messages.info(request, said)
        return None
    environment = chosen.shown[0].environment
    _require(model_admin, request, chosen.shown[0])
    return model_admin.page(
        request,
        "flags/kill_many.html",
        title=f"{act.capitalize()} {len(chosen.pks):,} flags?",
        status=422 if problem else 200,
        is_kill=act == "kill",
        act_url=reverse(f"admin:flags_flagconfig_{act}_many"),
        place=environment,
        list_url=_list_url(model_admin, environment),
        chosen=chosen,
        rows=[_row(config, act) for config in chosen.shown],
        problem=problem,
    )


def _row(config: FlagConfig, act: str) -> dict[str, object]:
    if act == "kill":
        return {"config": config, "affected": affected_by(config, config.off_variant)}
    return {"config": config, "sentences": describe({**flag_document(config), "killSwitchVariant": None})}


def _switch_all(
    model_admin: "FlagConfigAdmin",
    request: HttpRequest,
    rows: QuerySet[FlagConfig],
    act: Callable[..., list[FlagConfig]],
    done: str,
) -> HttpResponse:
    """All at once and in one transaction; what is archived stays out, and the others do not wait for it."""
    configs = list(rows) if request.method == "POST" else []
    if not configs:
        messages.info(request, "None of these flags is here any more.")
        return redirect(model_admin.list_url())
    environment = configs[0].environment
    _require(model_admin, request, configs[0])
    keys = [config.flag.key for config in configs if config.environment_id == environment.pk]
    reason = request.POST.get("reason", "").strip()
    try:
        changed = act(actor=console_context(request).actor, environment=environment, keys=keys, reason=reason)
    except ServiceError as error:
        say_problems(request, error)
    else:
        left = sorted(set(keys) - {config.flag.key for config in changed})
        if left:
            more = f" and {len(left) - _MOST_NAMED:,} more" if len(left) > _MOST_NAMED else ""
            messages.warning(request, f"Archived, so nobody is served them: {', '.join(left[:_MOST_NAMED])}{more}.")
        if changed:
            messages.success(request, f"{len(changed):,} flag{'s' if len(changed) > 1 else ''} {done}.")
    return redirect(_list_url(model_admin, environment))


def _require(model_admin: "FlagConfigAdmin", request: HttpRequest, config: FlagConfig) -> None:
    """Raises PermissionDenied; a list shows one environment, so its role is the same for all."""
    if not model_admin.has_edit_permission(request, config):
        raise PermissionDenied


def _list_url(model_admin: "FlagConfigAdmin", environment: Environment) -> str:
    return f"{model_admin.list_url()}?environment={environment.pk}"
