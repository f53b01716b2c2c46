"""Giving several flags a tag at once, and taking one away."""

from collections.abc import Mapping
from typing import Any

from django import forms
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from unfold.widgets import UnfoldAdminTextInputWidget

from flags import services
from flags.admin.list import many
from flags.admin.list.archive_many import may_in_projects
from flags.admin.list.bulk import ProgressForm, Selection
from flags.admin.list.filters import tags_in
from flags.models import FlagConfig
from tenancy.console_kit.context import console_context


class TagForm(ProgressForm):
    add = forms.CharField(
        label="Add the tags",
        max_length=500,
        required=False,
        widget=UnfoldAdminTextInputWidget,
        help_text="Separated by commas.",
    )
    remove = forms.CharField(
        label="Take away the tags",
        max_length=500,
        required=False,
        widget=UnfoldAdminTextInputWidget,
        help_text="Separated by commas. A flag that has none of them stays as it is.",
    )

    def clean(self) -> dict[str, Any]:
        found: dict[str, Any] = super().clean() or {}
        if not _tags(found.get("add")) and not _tags(found.get("remove")):
            self.add_error("add", "Name a tag to add, or one to take away.")
        return found


def ask(request: HttpRequest, rows: QuerySet[FlagConfig]) -> HttpResponse:
    return many.ask(request, rows, _TAG)


def tag(request: HttpRequest) -> HttpResponse:
    return many.run(request, _TAG)


def _tags(text: str | None) -> list[str]:
    return [part.strip() for part in (text or "").split(",") if part.strip()]


def _act(request: HttpRequest, config: FlagConfig, sent: Mapping[str, Any]) -> None:
    gone, new = _tags(sent["remove"]), _tags(sent["add"])
    kept = [name for name in config.flag.tags if name not in gone]
    services.update_flag(
        actor=console_context(request).actor,
        environment=config.environment,
        key=config.flag.key,
        payload={"tags": list(dict.fromkeys([*kept, *new]))},
        # Made from the tags that were read: whoever changed them meanwhile loses nothing.
        version=config.version,
        reason=sent["reason"],
    )


def _shown(request: HttpRequest, chosen: Selection) -> dict[str, Any]:  # noqa: ARG001 - as each act's
    return {"tags": tags_in(chosen.shown[0].environment) if chosen.shown else []}


_TAG = many.ManyAct(
    name="tag_many",
    verb="Tag",
    doing="Tagging",
    done="tagged",
    act=_act,
    may=may_in_projects,
    template="flags/tag_many.html",
    shown=_shown,
    form=TagForm,
)
