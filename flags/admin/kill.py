"""The kill switch in the console: one deliberate act that says beforehand what it does, to whom and where."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from django.contrib import messages
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render

from flags import services
from flags.admin.effects import served
from flags.admin.sentences import describe
from flags.documents import flag_document
from flags.models import FlagConfig
from flags.streaming.board import kill_status
from tenancy.admin import say_problems, visit
from tenancy.errors import ServiceError

if TYPE_CHECKING:
    from flags.admin.flags import FlagConfigAdmin


def kill(model_admin: "FlagConfigAdmin", request: HttpRequest, config: FlagConfig) -> HttpResponse:
    problems: dict[str, list[str]] = {}
    variant = request.POST.get("variant") or config.off_variant
    reason = request.POST.get("reason", "").strip()
    if request.method == "POST":
        if not reason:
            problems["reason"] = ["Say why: whoever reads the log next needs to know."]
        else:
            try:
                services.kill_flag(
                    actor=visit(request).actor,
                    environment=config.environment,
                    key=config.flag.key,
                    variant=variant,
                    reason=reason,
                )
            except ServiceError as error:
                problems = {problem.attr or "": [problem.detail] for problem in error.problems}
            else:
                messages.success(
                    request, f"{config.flag.key} is killed: everybody in {config.environment} gets {variant}."
                )
                return redirect("admin:flags_flagconfig_board", config.pk)
    choices = [{"key": item["key"], "affected": _affected(config, item["key"])} for item in config.flag.variants]
    return model_admin.page(
        request,
        "flags/kill.html",
        title=f"Kill {config.flag.key}",
        status=422 if problems else 200,
        config=config,
        choices=choices,
        chosen=variant,
        reason=reason,
        problems=problems,
        has_rules=_has_rules(config),
    )


def release(model_admin: "FlagConfigAdmin", request: HttpRequest, config: FlagConfig) -> HttpResponse:
    if not config.is_killed:
        messages.info(request, f"{config.flag.key} is not killed in {config.environment}.")
        return redirect("admin:flags_flagconfig_change", config.pk)
    problems: list[str] = []
    if request.method == "POST":
        try:
            services.release_flag(
                actor=visit(request).actor,
                environment=config.environment,
                key=config.flag.key,
                reason=request.POST.get("reason", "").strip(),
            )
        except ServiceError as error:
            problems = [problem.detail for problem in error.problems]
        else:
            messages.success(request, f"{config.flag.key} is released: it does again what its configuration says.")
            return redirect("admin:flags_flagconfig_board", config.pk)
    released = {**flag_document(config), "killSwitchVariant": None}
    return model_admin.page(
        request,
        "flags/release.html",
        title=f"Release {config.flag.key}",
        status=409 if problems else 200,
        config=config,
        sentences=describe(released),
        problems=problems,
        share=1 - served(released).get(config.kill_switch_variant, 0.0),
        has_rules=_has_rules(config),
    )


def board(model_admin: "FlagConfigAdmin", request: HttpRequest, config: FlagConfig) -> HttpResponse:
    """Who has applied the last kill or release; with `?part` the live part alone, which the page asks for again."""
    shown: dict[str, Any] = {"config": config, "board": kill_status(config)}
    if "part" in request.GET:
        return render(request, "flags/board_part.html", shown)
    return model_admin.page(
        request,
        "flags/board.html",
        title=f"{config.flag.key}: who has heard",
        may_edit=model_admin.has_edit_permission(request, config),
        **shown,
    )


def kill_many(model_admin: "FlagConfigAdmin", request: HttpRequest, configs: list[FlagConfig]) -> HttpResponse | None:
    """Each selected flag to its off variant, after a page that lists them all."""
    if not configs:
        messages.info(request, "None of these flags is here any more.")
        return None
    reason = request.POST.get("reason", "").strip()
    if "confirm" in request.POST and reason:
        _switch_all(request, configs, services.kill_flags, reason, "killed")
        return None
    rows = [{"config": config, "affected": _affected(config, config.off_variant)} for config in configs]
    return _ask(
        model_admin,
        request,
        configs,
        title=f"Kill {len(configs)} flags?",
        action="kill_selected",
        rows=rows,
        problem="Say why: whoever reads the log next needs to know." if "confirm" in request.POST else "",
    )


def release_many(
    model_admin: "FlagConfigAdmin", request: HttpRequest, configs: list[FlagConfig]
) -> HttpResponse | None:
    killed = [config for config in configs if config.is_killed]
    if not killed:
        messages.info(request, "None of these flags is killed.")
        return None
    if "confirm" in request.POST:
        _switch_all(request, killed, services.release_flags, request.POST.get("reason", "").strip(), "released")
        return None
    rows = [
        {"config": config, "sentences": describe({**flag_document(config), "killSwitchVariant": None})}
        for config in killed
    ]
    return _ask(
        model_admin, request, killed, title=f"Release {len(killed)} flags?", action="release_selected", rows=rows
    )


def _switch_all(
    request: HttpRequest, configs: list[FlagConfig], act: Callable[..., list[FlagConfig]], reason: str, done: str
) -> None:
    """All at once and in one transaction; what is archived stays out, and the others do not wait for it."""
    keys = [config.flag.key for config in configs]
    try:
        changed = act(actor=visit(request).actor, environment=configs[0].environment, keys=keys, reason=reason)
    except ServiceError as error:
        say_problems(request, error)
        return
    left_out = sorted(set(keys) - {config.flag.key for config in changed})
    if left_out:
        messages.warning(request, f"Archived, so nobody is served them: {', '.join(left_out)}.")
    if changed:
        messages.success(request, f"{len(changed)} flag{'s' if len(changed) > 1 else ''} {done}.")


def _ask(model_admin: "FlagConfigAdmin", request: HttpRequest, configs: list[FlagConfig], **shown: Any) -> HttpResponse:
    return model_admin.page(
        request,
        "flags/kill_many.html",
        checkbox=ACTION_CHECKBOX_NAME,
        place=configs[0].environment,
        list_url=f"{model_admin.list_url()}?environment={configs[0].environment_id}",
        configs=configs,
        **shown,
    )


def _affected(config: FlagConfig, variant: str) -> float:
    """The share of users no target or rule applies to who would get another variant than now."""
    return max(0.0, 1 - served(flag_document(config)).get(variant, 0.0))


def _has_rules(config: FlagConfig) -> bool:
    return bool(config.targets) or config.rules.exists()
