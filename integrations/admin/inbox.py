"""For you: what a person is told of, with the settings of how, and what they follow."""

import re
from typing import Any, cast

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import BadRequest, PermissionDenied
from django.db import transaction
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.views.decorators.cache import never_cache
from unfold.decorators import display
from unfold.views import ChangeList
from unfold.widgets import UnfoldAdminSelectWidget, UnfoldAdminTextInputWidget

from audit.actions import label_of
from audit.models import Entry
from integrations import services
from integrations.models import Follow, Notification, NotificationSetting
from integrations.notifications.words import name_in
from tenancy import access
from tenancy.console_kit.admin import ConsoleAdmin, ConsoleList, EmptyList
from tenancy.console_kit.context import console_context
from tenancy.console_kit.formats import moment
from tenancy.console_kit.forms import form_page, sent_data
from tenancy.console_kit.pages import list_url
from tenancy.console_kit.removal import Removal
from tenancy.console_kit.routes import About, Route
from tenancy.errors import Invalid, Problem
from tenancy.models import Organization, Project, User

# More than these are "99+".
MOST_COUNTED = 99
_Channel = NotificationSetting.Channel
_ABOUT = {"mine": "what is yours", "followed": "what you follow"}


def _person(request: HttpRequest) -> User:
    return cast(User, request.user)


class SettingsForm(forms.Form):
    """A row of fields for each channel; their names are the channel's and the document's."""

    def __init__(self, *args: Any, email: str, **given: Any) -> None:
        super().__init__(*args, **given)
        for channel in _Channel:
            if channel != _Channel.EMAIL:
                self.fields[f"{channel}_url"] = forms.CharField(
                    label=f"{channel.label}: address of its incoming webhook",
                    required=False,
                    max_length=2000,
                    help_text="Empty it to remove the channel.",
                    widget=UnfoldAdminTextInputWidget,
                )
            for name, about in _ABOUT.items():
                to = f" to {email or 'your account, which has no address'}" if channel == _Channel.EMAIL else ""
                self.fields[f"{channel}_{name}"] = forms.ChoiceField(
                    label=f"{channel.label}{to}: {about}",
                    choices=NotificationSetting.Frequency.choices,
                    widget=UnfoldAdminSelectWidget,
                )


def _settings(request: HttpRequest) -> HttpResponse:
    person = _person(request)
    organization = _organization(request)
    rows = {row.channel: row for row in NotificationSetting.objects.filter(user=person, organization=organization)}
    initial: dict[str, Any] = {}
    for channel in _Channel:
        row = rows.get(channel)
        initial |= {
            f"{channel}_url": row.url if row else "",
            f"{channel}_mine": row.mine if row else "off",
            f"{channel}_followed": row.followed if row else "off",
        }

    @transaction.atomic
    def perform(sent: dict[str, Any]) -> HttpResponse:
        for channel in _Channel:
            payload = {name: sent[f"{channel}_{name}"] for name in ("url", *_ABOUT) if f"{channel}_{name}" in sent}
            if payload == {name: initial[f"{channel}_{name}"] for name in payload}:
                continue
            if channel in rows and payload.get("url") == "":
                services.remove_channel(setting=rows[channel])
            else:
                _set(person, organization, channel, payload)
        messages.success(request, "Saved.")
        return redirect(list_url(Notification))

    problems = [f"{row.get_channel_display()}: {row.problem}" for row in rows.values() if row.problem]
    return form_page(
        request,
        SettingsForm(sent_data(request), initial=initial, email=person.email),
        perform,
        title="How you are told",
        submit="Save",
        cancel_url=list_url(Notification),
        intro=f"Of what happens in {organization}. The list For you has it in any case. A digest comes at 08:00 UTC. "
        + " ".join(problems),
    )


def _set(person: User, organization: Organization, channel: str, payload: dict[str, Any]) -> None:
    """Problems come back under the form's names."""
    try:
        services.set_channel(user=person, organization=organization, channel=channel, payload=payload)
    except Invalid as error:
        renamed = [Problem(f"{channel}_{one.attr}", one.code, one.detail) for one in error.problems]
        raise Invalid(renamed) from error


def _organization(request: HttpRequest) -> Organization:
    """That of the environment viewed last, else the first."""
    context = console_context(request)
    if context.environment is not None:
        return context.environment.project.organization
    if not context.organizations:
        raise PermissionDenied
    return context.organizations[0]


def _mark_read(request: HttpRequest) -> HttpResponse:
    if request.method != "POST":
        raise PermissionDenied
    # The newest one that the page showed: what came since was not seen.
    sent = request.POST.get("up_to", "")
    # No more digits than an id may have.
    if not re.fullmatch(r"[0-9]{1,18}", sent):
        raise BadRequest("Send up_to: the newest notification that the page showed.")
    services.mark_read(user=_person(request), up_to=int(sent))
    return redirect(list_url(Notification))


@never_cache
def unread(request: HttpRequest) -> HttpResponse:
    """The count in every page's header, which asks for it now and then while it is looked at: one query of an index."""
    unread = Notification.objects.filter(user=_person(request), read_at__isnull=True)
    ids = list(unread.values_list("pk", flat=True)[: MOST_COUNTED + 1])
    count = f"{MOST_COUNTED}+" if len(ids) > MOST_COUNTED else len(ids)
    return render(request, "integrations/unread.html", {"count": count, "newest": ids[0] if ids else 0})


class InboxList(ConsoleList):
    """Looks up a page's rows of the audit log with one query an organization."""

    result_list: Any

    def get_results(self, request: HttpRequest) -> None:
        super().get_results(request)
        rows: list[Any] = list(self.result_list)
        scope = access.audit_scope(console_context(request).principal)
        for organization_id in {row.organization_id for row in rows}:
            here = [row for row in rows if row.organization_id == organization_id]
            entries = Entry.objects.filter(
                scope, organization_id=organization_id, position__in=[row.position for row in here]
            )
            found = {entry.position: entry for entry in entries}
            for row in here:
                row.entry = found.get(row.position)
        self.result_list = rows


@admin.register(Notification)
class NotificationAdmin(ConsoleAdmin):
    list_display = ["event", "where", "by", "for_you", "when", "state"]
    list_display_links = None
    list_filter = ["why"]
    list_before_template = "integrations/inbox_head.html"
    empty = EmptyList(
        "Nothing for you yet",
        "What others do to flags, segments and experiments that you made, alarms of your experiments, and what happens "
        "to flags, experiments and tags that you follow.",
    )
    routes = (
        Route("settings/", "settings", _settings, About.LIST),
        Route("read/", "read", _mark_read, About.LIST),
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[Notification]:
        context = console_context(request)
        return super().get_queryset(request).filter(user=_person(request), organization__in=context.organizations)

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:  # noqa: ARG002 - Django's signature
        return InboxList

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        """The page, or the list alone where the page asks again: another page's styles carry another page's nonce."""
        page = super().changelist_view(request, extra_context)
        if isinstance(page, TemplateResponse) and request.headers.get("HX-Target") == "changelist-form":
            page.template_name = "integrations/inbox_part.html"
        return page

    def show(self, request: HttpRequest, thing: Notification) -> HttpResponse:  # noqa: ARG002 - a hook
        """The event itself."""
        entry = Entry.objects.get(organization_id=thing.organization_id, position=thing.position)
        return redirect("admin:audit_entry_change", entry.pk)

    @display(description="What")
    def event(self, row: Any) -> SafeString | str:
        entry: Entry | None = row.entry
        if entry is None:
            return "no longer yours to see"
        url = reverse("admin:audit_entry_change", args=[entry.pk])
        return format_html('<a href="{}">{}: {}</a>', url, label_of(entry.action), name_in(entry))

    @display(description="Where")
    def where(self, row: Any) -> str:
        entry = row.entry
        return " / ".join(part for part in (entry.project, entry.environment) if part) if entry else "-"

    @display(description="By")
    def by(self, row: Any) -> str:
        return row.entry.actor_label if row.entry else "-"

    @display(description="Because it is", label={"mine": "info", "followed": "success"})
    def for_you(self, row: Notification) -> tuple[str, str]:
        return row.why, row.get_why_display()

    @display(description="When")
    def when(self, row: Any) -> str:
        return moment(row.entry.occurred_at if row.entry else row.created_at)

    @display(description="State", label={"new": "warning", "read": "default"})
    def state(self, row: Notification) -> str:
        return "read" if row.read_at else "new"


class FollowForm(forms.Form):
    kind = forms.ChoiceField(choices=Follow.Kind.choices, widget=UnfoldAdminSelectWidget)
    project = forms.ModelChoiceField(Project.objects.none(), widget=UnfoldAdminSelectWidget)
    key = forms.CharField(
        label="Key or tag",
        max_length=200,
        widget=UnfoldAdminTextInputWidget,
        help_text="The flag's key, the id of an experiment, or the tag.",
    )


REMOVAL: Removal[Follow] = Removal(
    may=lambda request, follow: follow.user_id == _person(request).pk,
    consequence=lambda follow: f"You are told of {follow} no longer. It can be followed again.",
    delete=lambda _actor, follow, _reason: services.unfollow(follow=follow),
)


@admin.register(Follow)
class FollowAdmin(ConsoleAdmin):
    list_display = ["key", "kind", "project", "end"]
    list_display_links = None
    list_filter = ["kind"]
    search_fields = ["key"]
    search_help_text = "Search by key or tag"
    empty = EmptyList(
        "You follow nothing yet",
        "Follow a flag, an experiment, or every flag with a tag, to hear what others do to it.",
        "Follow something",
    )
    removal = REMOVAL

    def get_queryset(self, request: HttpRequest) -> QuerySet[Follow]:
        return super().get_queryset(request).filter(user=_person(request))

    def has_add_permission(self, request: HttpRequest) -> bool:
        return self.has_module_permission(request)

    @display(description="")
    def end(self, follow: Follow) -> SafeString:
        url = reverse("admin:integrations_follow_delete", args=[follow.pk])
        return format_html('<a href="{}">Stop following {}…</a>', url, follow.key)

    def create(self, request: HttpRequest) -> HttpResponse:
        choices = access.projects(console_context(request).principal)
        form = FollowForm(sent_data(request), initial={"project": choices.first()})
        form.fields["project"].queryset = choices  # type: ignore[attr-defined]  # it is a ModelChoiceField

        def perform(sent: dict[str, Any]) -> HttpResponse:
            made, _ = services.follow(
                user=_person(request), project=sent["project"], kind=sent["kind"], key=sent["key"]
            )
            messages.success(request, f"You follow {made}.")
            return redirect(list_url(Follow))

        return form_page(request, form, perform, title="Follow", submit="Follow", cancel_url=list_url(Follow))

    def show(self, request: HttpRequest, thing: Follow) -> HttpResponse:  # noqa: ARG002 - a hook
        return redirect(list_url(thing))
