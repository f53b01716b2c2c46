"""The kill switch in the console: one deliberate act that says beforehand what it does, to whom and where."""

from typing import TYPE_CHECKING, Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render

from flags import services
from flags.admin.effects import served
from flags.admin.flag.sentences import describe
from flags.documents import flag_document
from flags.models import FlagConfig
from flags.propagation.kill_status import kill_status
from tenancy.console_kit.context import console_context
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
                    actor=console_context(request).actor,
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
    choices = [{"key": item["key"], "affected": affected_by(config, item["key"])} for item in config.flag.variants]
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
                actor=console_context(request).actor,
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


def affected_by(config: FlagConfig, variant: str) -> float:
    """The share of users no target or rule applies to who would get another variant than now."""
    return max(0.0, 1 - served(flag_document(config)).get(variant, 0.0))


def _has_rules(config: FlagConfig) -> bool:
    return bool(config.targets) or config.rules.exists()
