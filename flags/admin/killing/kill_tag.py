"""Kills or releases every flag with a tag, such as every flag that calls the payment provider."""

from typing import Any

from django import forms
from django.http import HttpRequest, HttpResponse
from django.utils.functional import SimpleLazyObject

from flags import services
from flags.admin.effects import served
from flags.admin.flag.sentences import describe
from flags.admin.list.bulk import Selection, select
from flags.admin.list.filters import tags_in
from flags.admin.reach import reach_of_many
from flags.documents import flag_document
from flags.models import FlagConfig
from flags.selectors import search_configs
from tenancy.console_kit.confirm import ConfirmPage, ReasonForm, RequiredReasonForm
from tenancy.console_kit.context import console_context
from tenancy.console_kit.formats import counted
from tenancy.console_kit.pages import list_url
from tenancy.models import Environment


class SwitchForm(ReasonForm):
    """The form of both acts. A kill needs a reason; a release does not."""

    def clean(self) -> dict[str, Any]:
        sent = super().clean() or {}
        sent["is_release"] = "release" in self.data and "kill" not in self.data
        if not sent["is_release"] and not sent.get("reason"):
            self.add_error("reason", RequiredReasonForm.base_fields["reason"].error_messages["required"])
        return sent


class TagForm(SwitchForm):
    tag = forms.CharField(required=False, widget=forms.HiddenInput)


def choose(request: HttpRequest, environment: Environment) -> HttpResponse:
    """Ask for the tag, show what the act means for each flag, then do it with a reason."""
    tag = request.POST.get("tag") or request.GET.get("tag") or ""
    tagged = search_configs(environment, tag=tag) if tag else FlagConfig.objects.none()
    chosen = select(tagged)
    flags_url = list_url(FlagConfig, environment=environment)

    def act(sent: dict[str, Any]) -> str:
        service = services.release_tag if sent["is_release"] else services.kill_tag
        actor = console_context(request).actor
        configs = service(actor=actor, environment=environment, tag=tag, reason=sent["reason"])
        done = "released" if sent["is_release"] else "killed"
        return f"Tag {tag} in {environment}: {counted(len(configs), 'flag is', 'flags are')} {done}."

    return ConfirmPage(
        title="Kill by tag",
        submit=f"Kill all {len(chosen.pks)}",
        act=act,
        cancel_url=flags_url,
        done_url=f"{flags_url}&tag={tag}",
        reason_label="Why?",
        tone="danger",
        form=TagForm,
        initial={"tag": tag},
        template="flags/kill_tag.html",
        shown={
            "place": environment,
            "tags": tags_in(environment),
            "tag": tag,
            "chosen": chosen,
            "reach": SimpleLazyObject(lambda: reach_of_many(environment, [config.flag.key for config in chosen.shown])),
            "has_killed": tagged.exclude(kill_switch_variant="").exists(),
            "rows": _rows(chosen),
        },
    ).answer(request)


def _rows(chosen: Selection) -> list[dict[str, Any]]:
    documents = [flag_document(config) for config in chosen.shown]
    return [
        {
            "config": config,
            "affected": max(0.0, 1 - served(document).get(config.off_variant, 0.0)),
            "now": describe(document),
        }
        for config, document in zip(chosen.shown, documents, strict=True)
    ]
