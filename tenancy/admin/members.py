"""The pages of members: who has which role where."""

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.db.models import Q, QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from unfold.decorators import action, display
from unfold.widgets import UnfoldAdminPasswordWidget, UnfoldAdminSelectWidget, UnfoldAdminTextInputWidget

from audit.models import Entry
from tenancy import access, services
from tenancy.console_kit import conflicts
from tenancy.console_kit.admin import ConsoleAdmin
from tenancy.console_kit.confirm import ConfirmPage
from tenancy.console_kit.context import ConsoleContext, console_context
from tenancy.console_kit.formats import moment
from tenancy.console_kit.forms import form_page, sent_data
from tenancy.console_kit.pages import list_url, object_url
from tenancy.models import Environment, Membership, Organization, Project, User
from tenancy.roles import Role


class PlaceForm(forms.Form):
    """A role and its place. People give roles up to their own, in places that they administer."""

    role = forms.ChoiceField(
        widget=UnfoldAdminSelectWidget,
        help_text="Each role may do all that the ones below it may.",
    )
    scope = forms.ChoiceField(label="Where", widget=UnfoldAdminSelectWidget)

    def __init__(self, *args: Any, context: ConsoleContext, only: Organization | None = None, **given: Any) -> None:
        super().__init__(*args, **given)
        organizations = [
            row for row in context.organizations if context.may_in(Role.ADMIN, row.pk) and only in {None, row}
        ]
        self._owned = {row.pk for row in organizations if context.may_in(Role.OWNER, row.pk)}
        self.fields["role"].choices = [  # type: ignore[attr-defined]  # it is a ChoiceField
            choice for choice in Role.choices if choice[0] != Role.OWNER or self._owned
        ]
        self._scopes: dict[str, tuple[Organization, Project | None, Environment | None]] = {}
        choices: list[tuple[str, str]] = []
        for organization in organizations:
            self._offer(choices, f"o{organization.pk}", f"all of {organization}", (organization, None, None))
            for project in access.projects(context.principal).filter(organization=organization):
                self._offer(choices, f"p{project.pk}", f"project {project}", (organization, project, None))
            for row in context.environments:
                if row.project.organization_id == organization.pk:
                    self._offer(choices, f"e{row.pk}", f"environment {row}", (organization, row.project, row))
        self.fields["scope"].choices = choices  # type: ignore[attr-defined]  # it is a ChoiceField

    def _offer(self, choices: list[tuple[str, str]], value: str, label: str, scope: Any) -> None:
        self._scopes[value] = scope
        choices.append((value, label))

    def clean(self) -> dict[str, Any]:
        sent = super().clean() or {}
        if "scope" in sent:
            sent["organization"], sent["project"], sent["environment"] = self._scopes[sent.pop("scope")]
            if sent.get("role") == Role.OWNER and sent["organization"].pk not in self._owned:
                self.add_error("role", "Only an owner can make somebody an owner.")
        return sent


class MemberForm(PlaceForm):
    user = forms.CharField(
        label="User name",
        widget=UnfoldAdminTextInputWidget,
        help_text="Of somebody who has an account on this installation, or will have.",
    )
    password = forms.CharField(
        required=False,
        label="First password",
        strip=False,
        widget=UnfoldAdminPasswordWidget,
        help_text="Only for somebody who has no account yet: one is made, and they can change it once signed in.",
    )
    field_order = ["user", "password", "role", "scope"]

    def clean(self) -> dict[str, Any]:
        sent = super().clean()
        found = User.objects.filter(username=sent.get("user", ""), service_of__isnull=True).first()
        if found is None and not sent.get("password"):
            self.add_error("user", "Nobody has that name here.")
            self.add_error("password", "Give a first password to make an account for somebody new.")
        elif found is not None and (sent.get("password") or not found.is_active):
            self.add_error("user", "Somebody has that name already; leave the password empty, or choose another name.")
        sent["person"] = found
        return sent


class RoleForm(forms.Form):
    role = forms.ChoiceField(widget=UnfoldAdminSelectWidget)
    version = forms.IntegerField(required=False, widget=forms.HiddenInput)


@admin.register(Membership)
class MembershipAdmin(ConsoleAdmin):
    list_display = ["user", "role_label", "scope", "organization", "since"]
    actions_detail = ["remove"]
    list_select_related = ["user", "organization", "project", "environment__project"]
    search_fields = ["user__username", "user__email"]
    search_help_text = "Search by user name or email"

    def get_queryset(self, request: HttpRequest) -> QuerySet[Membership]:
        context = console_context(request)
        mine = Q(user_id=context.principal.user_id)
        return (
            super()
            .get_queryset(request)
            .filter(mine | Q(organization__in=context.organization_roles))
            .order_by("organization__slug", "user__username")
        )

    @display(description="Role", label={role.value: role.tone for role in Role})
    def role_label(self, membership: Membership) -> tuple[str, str]:
        return membership.role, membership.get_role_display()

    @display(description="Where")
    def scope(self, membership: Membership) -> str:
        return str(membership.environment or membership.project or "everywhere")

    @display(description="Since", ordering="created_at")
    def since(self, membership: Membership) -> str:
        return moment(membership.created_at)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return console_context(request).may_in(Role.ADMIN)

    def create(self, request: HttpRequest) -> HttpResponse:
        context = console_context(request)
        form = MemberForm(sent_data(request), context=context, initial={"role": Role.VIEWER})

        def perform(sent: dict[str, Any]) -> HttpResponse:
            where = {name: sent[name] for name in ("organization", "project", "environment")}
            with transaction.atomic():
                person = sent["person"] or services.create_person(
                    actor=context.actor,
                    organization=sent["organization"],
                    username=sent["user"],
                    password=sent["password"],
                )
                membership = services.add_member(actor=context.actor, user=person, role=Role(sent["role"]), **where)
            messages.success(request, f"{membership}.")
            return redirect(list_url(Membership))

        return form_page(
            request,
            form,
            perform,
            title="Add a member",
            submit="Add member",
            cancel_url=list_url(Membership),
            names={"username": "user"},
        )

    def has_remove_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        membership = obj if isinstance(obj, Membership) else self.get_object(request, str(obj)) if obj else None
        return membership is not None and self._may_manage(request, membership)

    def _may_manage(self, request: HttpRequest, membership: Membership) -> bool:
        """Return whether the actor may manage the member. Admins manage roles up to their own; owners manage owners."""
        needed = Role.OWNER if membership.role == Role.OWNER else Role.ADMIN
        return console_context(request).may_in(needed, membership.organization_id)

    def show(self, request: HttpRequest, thing: Membership) -> HttpResponse:
        membership = thing
        may_manage = self._may_manage(request, membership)
        if request.method == "POST" and not may_manage:
            raise PermissionDenied
        context = console_context(request)
        is_owner = context.may_in(Role.OWNER, membership.organization_id)

        def ready(form: RoleForm) -> RoleForm:
            role = form.fields["role"]
            role.choices = [choice for choice in Role.choices if choice[0] != Role.OWNER or is_owner]  # type: ignore[attr-defined]  # it is a ChoiceField
            role.disabled = not may_manage
            return form

        first = {"role": membership.role, "version": membership.version}
        form = ready(RoleForm(sent_data(request), initial=first))

        def perform(sent: dict[str, Any]) -> HttpResponse:
            changed = services.change_member(
                actor=context.actor, membership=membership, role=Role(sent["role"]), version=sent["version"]
            )
            messages.success(request, f"{changed}.")
            return redirect(list_url(Membership))

        def merge(sent: dict[str, Any]) -> tuple[forms.Form, dict[str, Any]]:
            membership.refresh_from_db()
            entries = Entry.objects.filter(
                organization_id=membership.organization_id,
                action="member.updated",
                entity_key=membership.user.get_username(),
                project=membership.project.key if membership.project else "",
                environment=membership.environment.key if membership.environment else "",
            )
            last = entries.order_by("-id").first()
            before = (last.before if last else None) or {"role": membership.role}
            theirs = {"role": membership.role}
            notice = conflicts.notice_of(entries, {"role": before["role"]}, theirs, ["role"])
            return ready(RoleForm(initial={"role": sent["role"], "version": membership.version})), notice

        return form_page(
            request,
            form,
            perform,
            cancel_url=list_url(Membership),
            merge=merge,
            title=str(membership),
            submit="Change role",
            is_readonly=not may_manage,
            remove_label="Remove…",
            remove_url=object_url(membership, "remove") if may_manage else "",
        )

    @action(description="Remove", icon="person_remove", permissions=["remove"])
    def remove(self, request: HttpRequest, object_id: str) -> HttpResponse:
        membership: Membership = self.find(request, object_id)

        def act(sent: dict[str, Any]) -> str:
            said = f"{membership.user} is not {membership.get_role_display().lower()} there any more."
            actor = console_context(request).actor
            services.remove_member(actor=actor, membership=membership, reason=sent["reason"])
            return said

        return ConfirmPage(
            title=f"Take the role from {membership.user}?",
            submit="Take it away",
            act=act,
            cancel_url=list_url(Membership),
            intro=f"{membership}. What they may do through it ends at once; the account itself stays.",
            tone="danger",
        ).answer(request)
