"""The kill switch in the console. The page says beforehand what it does, to whom and where."""

from typing import Any

from django import forms
from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.functional import SimpleLazyObject

from flags import services
from flags.admin.effects import served
from flags.admin.flag.sentences import describe
from flags.admin.reach import reach_of_many
from flags.documents import flag_document
from flags.models import FlagConfig
from flags.propagation.kill_status import kill_status
from tenancy.console_kit.confirm import ConfirmPage, RequiredReasonForm
from tenancy.console_kit.context import console_context
from tenancy.console_kit.environments import may_edit
from tenancy.console_kit.pages import console_page, object_url


class KillForm(RequiredReasonForm):
    """Without a choice, the variant is the off variant."""

    variant = forms.CharField(required=False)


def kill(request: HttpRequest, config: FlagConfig) -> HttpResponse:
    def act(sent: dict[str, Any]) -> str:
        variant = sent["variant"] or config.off_variant
        services.kill_flag(
            actor=console_context(request).actor,
            environment=config.environment,
            key=config.flag.key,
            variant=variant,
            reason=sent["reason"],
        )
        return f"{config.flag.key} is killed: everybody in {config.environment} gets {variant}."

    variants = [item["key"] for item in config.flag.variants]
    return ConfirmPage(
        title=f"Kill {config.flag.key}",
        submit=f"Kill {config.flag.key}",
        act=act,
        cancel_url=object_url(config),
        done_url=object_url(config, "kill_status"),
        reason_label="Why?",
        tone="danger",
        form=KillForm,
        initial={"variant": config.off_variant},
        template="flags/kill.html",
        shown={
            "config": config,
            "choices": [{"key": key, "affected": affected_by(config, key)} for key in variants],
            "has_rules": _has_rules(config),
            "reach": SimpleLazyObject(lambda: reach_of_many(config.environment, [config.flag.key])),
        },
    ).answer(request)


def release(request: HttpRequest, config: FlagConfig) -> HttpResponse:
    if not config.is_killed:
        messages.info(request, f"{config.flag.key} is not killed in {config.environment}.")
        return redirect(object_url(config))

    def act(sent: dict[str, Any]) -> str:
        services.release_flag(
            actor=console_context(request).actor,
            environment=config.environment,
            key=config.flag.key,
            reason=sent["reason"],
        )
        return f"{config.flag.key} is released: it does again what its configuration says."

    released = {**flag_document(config), "killSwitchVariant": None}
    return ConfirmPage(
        title=f"Release {config.flag.key}",
        submit=f"Release {config.flag.key}",
        act=act,
        cancel_url=object_url(config),
        done_url=object_url(config, "kill_status"),
        reason_label="What was done about it? (for the audit log)",
        tone="warn",
        serves=config.environment,
        template="flags/release.html",
        shown={
            "config": config,
            "sentences": describe(released),
            "share": 1 - served(released).get(config.kill_switch_variant, 0.0),
            "has_rules": _has_rules(config),
        },
    ).answer(request)


def status(request: HttpRequest, config: FlagConfig) -> HttpResponse:
    """Show who has applied the last kill or release. With `?part` it answers with the live part alone."""
    shown: dict[str, Any] = {"config": config, "heard": kill_status(config)}
    if "part" in request.GET:
        return render(request, "flags/kill_status_part.html", shown)
    return console_page(
        request,
        "flags/kill_status.html",
        title=f"{config.flag.key}: who has heard",
        may_edit=may_edit(request, config),
        **shown,
    )


def affected_by(config: FlagConfig, variant: str) -> float:
    """Return the share of users whom no target or rule applies to, and whose variant would change."""
    return max(0.0, 1 - served(flag_document(config)).get(variant, 0.0))


def _has_rules(config: FlagConfig) -> bool:
    return bool(config.targets) or config.rules.exists()
