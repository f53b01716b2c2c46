"""Kill or release every flag of an environment: the environment's key is typed before anything happens."""

from typing import Any

from django import forms
from django.http import HttpRequest, HttpResponse
from unfold.widgets import UnfoldAdminTextInputWidget

from flags import services
from flags.admin.killing.kill_tag import SwitchForm
from flags.models import FlagConfig
from flags.selectors import configs
from tenancy.console_kit.confirm import ConfirmPage
from tenancy.console_kit.context import console_context
from tenancy.console_kit.formats import counted
from tenancy.console_kit.pages import in_environment, list_url
from tenancy.models import Environment


class KillAllForm(SwitchForm):
    """A kill needs a reason, a release does not; both need the environment's key."""

    confirm = forms.CharField(
        max_length=200,
        widget=UnfoldAdminTextInputWidget,
        error_messages={"required": "Type the environment's key. Nothing has been changed."},
    )


def kill_all(request: HttpRequest, environment: Environment) -> HttpResponse:
    active = configs(environment).filter(flag__is_archived=False)
    count = active.count()
    killed = active.exclude(kill_switch_variant="").count()

    def act(sent: dict[str, Any]) -> str:
        service = services.release_everything if sent["is_release"] else services.kill_everything
        actor = console_context(request).actor
        changed = service(actor=actor, environment=environment, confirm=sent["confirm"], reason=sent["reason"])
        done = "released" if sent["is_release"] else "killed"
        return f"{counted(len(changed), 'flag is', 'flags are')} {done} in {environment}."

    flags_url = list_url(FlagConfig, environment=environment)
    return ConfirmPage(
        title=f"Kill every flag in {environment}",
        submit=f"Kill all {count:,}",
        act=act,
        cancel_url=flags_url,
        action_url=in_environment("admin:flags_flagconfig_kill_all", environment),
        reason_label="Why?",
        tone="danger",
        form=KillAllForm,
        template="flags/kill_all.html",
        is_possible=count > 0,
        shown={"place": environment, "count": count, "killed": killed},
    ).answer(request)
