"""Copying a flag to another environment of its project. The page says whom that reaches there before it is done."""

from typing import Any

from django import forms
from django.http import HttpRequest, HttpResponse
from django.utils.functional import SimpleLazyObject

from audit.services import diff
from flags import services
from flags.admin.flag.sentences import describe
from flags.admin.reach import reach_of_flag
from flags.documents import flag_document
from flags.fields import RESTORED_FIELDS
from flags.models import FlagConfig
from flags.selectors import get_config
from tenancy.console_kit.confirm import ConfirmPage, ReasonForm
from tenancy.console_kit.context import console_context
from tenancy.console_kit.pages import console_page, object_url
from tenancy.models import Environment
from tenancy.roles import Role


class CopyForm(ReasonForm):
    """`from_version` and `to_version` are those that the page shows: no other is copied, nor written over."""

    to = forms.CharField(widget=forms.HiddenInput)
    from_version = forms.IntegerField(widget=forms.HiddenInput)
    to_version = forms.IntegerField(widget=forms.HiddenInput)


def targets_of(request: HttpRequest, source: Environment) -> list[Environment]:
    """Return the project's other environments that this person may edit."""
    context = console_context(request)
    rows = [row for row in context.environments if row.project_id == source.project_id and row.pk != source.pk]
    return [row for row in rows if context.may(Role.EDITOR, row)]


def target_named(request: HttpRequest, source: Environment) -> Environment | None:
    """Return the environment that `to` names, where it is one of them."""
    named = request.POST.get("to") or request.GET.get("to")
    return next((row for row in targets_of(request, source) if row.key == named), None)


def copied(source: FlagConfig, target: FlagConfig) -> dict[str, Any]:
    """Return what the flag then serves in the target, which keeps its own kill switch and experiment."""
    there, document = flag_document(target), flag_document(source)
    return {**there, **{field.name: document[field.name] for field in RESTORED_FIELDS if field.name in document}}


def page(request: HttpRequest, config: FlagConfig) -> HttpResponse:
    source, target = config.environment, target_named(request, config.environment)
    title = f"Copy {config.flag.key} from {source.name}"
    if target is None:
        targets = targets_of(request, source)
        return console_page(request, "flags/copy_to.html", title=title, config=config, targets=targets)

    def act(sent: dict[str, Any]) -> str:
        services.copy_flag(
            actor=console_context(request).actor,
            source=source,
            target=target,
            key=config.flag.key,
            reason=sent["reason"],
            versions=(sent["from_version"], sent["to_version"]),
        )
        return f"{config.flag.key} does in {target.name} what it does in {source.name}."

    there = get_config(target, config.flag.key)
    before, after = flag_document(there), copied(config, there)
    return ConfirmPage(
        title=f"{title} to {target.name}?",
        submit=f"Copy to {target.name}",
        act=act,
        cancel_url=object_url(config, "compare"),
        tone="warn",
        serves=target,
        form=CopyForm,
        initial={"to": target.key, "from_version": config.version, "to_version": there.version},
        template="flags/copy.html",
        shown={
            "config": config,
            "target": target,
            "changes": list(diff(before, after)),
            "reach": SimpleLazyObject(lambda: reach_of_flag(target, before, after, is_shown=True)),
            "sentences": describe(after),
        },
    ).answer(request)
