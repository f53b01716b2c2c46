"""Archiving one flag, restoring it, and deleting it for good."""

from collections.abc import Callable
from typing import Any

from django import forms
from django.http import HttpRequest, HttpResponse
from unfold.widgets import UnfoldAdminTextInputWidget

from flags import services
from flags.models import FlagConfig
from flags.staleness import is_asked_for, last_use_anywhere
from tenancy.console_kit.confirm import ConfirmPage, ReasonForm, RequiredReasonForm
from tenancy.console_kit.context import console_context
from tenancy.console_kit.pages import list_url, object_url
from tenancy.errors import Invalid
from tenancy.roles import Role


class UsedForm(ReasonForm):
    """Archives a flag that somebody evaluates: its key is typed."""

    confirm = forms.CharField(
        max_length=200,
        widget=UnfoldAdminTextInputWidget,
        error_messages={"required": "Type the flag's key. Nothing has been archived."},
    )


def archive(request: HttpRequest, config: FlagConfig) -> HttpResponse:
    found = last_use_anywhere(config.flag)
    is_used = found is not None and is_asked_for(found[1].at)
    act = _acting(request, config, services.archive_flag, f"{config.flag.key} is archived.")

    def act_on_used(sent: dict[str, Any]) -> str:
        if sent["confirm"] != config.flag.key:
            raise Invalid(f"Type the flag's key: {config.flag.key}.", attr="confirm", code="confirmation_mismatch")
        return act(sent)

    return ConfirmPage(
        title=f"Archive {config.flag.key}?",
        submit="Archive",
        intro="It stops being served in every environment: callers get their own default. Its key, history and events "
        "stay, and it can be restored as it is now.",
        act=act_on_used if is_used else act,
        cancel_url=object_url(config),
        tone="danger",
        serves=config.environment,
        form=UsedForm if is_used else ReasonForm,
        template="flags/archive_used.html" if is_used else "console/confirm.html",
        shown={"used": found[0], "use": found[1]} if found else {},
    ).answer(request)


def restore(request: HttpRequest, config: FlagConfig) -> HttpResponse:
    return ConfirmPage(
        title=f"Restore {config.flag.key}?",
        submit="Restore",
        intro="It is served again in every environment, as it was configured when it was archived.",
        act=_acting(request, config, services.restore_flag, f"{config.flag.key} is served again."),
        cancel_url=object_url(config),
        serves=config.environment,
    ).answer(request)


class PurgeForm(RequiredReasonForm):
    confirm = forms.CharField(
        max_length=200,
        widget=UnfoldAdminTextInputWidget,
        error_messages={"required": "Type the flag's key. Nothing has been deleted."},
    )


def purge(request: HttpRequest, config: FlagConfig) -> HttpResponse:
    """Delete an archived flag for good; its key is typed first."""

    def act(sent: dict[str, Any]) -> str:
        context = console_context(request)
        context.require_in_project(Role.ADMIN, config.environment.project)
        services.purge_flag(
            actor=context.actor,
            environment=config.environment,
            key=config.flag.key,
            confirm=sent["confirm"],
            reason=sent["reason"],
        )
        return f"{config.flag.key} is deleted for good, and its key is free."

    return ConfirmPage(
        title=f"Delete {config.flag.key} for good?",
        submit="Delete for good",
        act=act,
        cancel_url=object_url(config),
        done_url=list_url(FlagConfig, environment=config.environment),
        reason_label="Why?",
        tone="danger",
        form=PurgeForm,
        template="flags/purge.html",
        is_possible=config.flag.is_archived,
        shown={"config": config},
    ).answer(request)


def _acting(
    request: HttpRequest, config: FlagConfig, service: Callable[..., Any], done: str
) -> Callable[[dict[str, Any]], str]:
    def act(sent: dict[str, Any]) -> str:
        context = console_context(request)
        context.require_in_project(Role.EDITOR, config.environment.project)
        confirmed = {"confirm": sent["confirm"]} if "confirm" in sent else {}
        service(
            actor=context.actor,
            environment=config.environment,
            key=config.flag.key,
            reason=sent["reason"],
            **confirmed,
        )
        return done

    return act
