"""Who has which role where."""

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import Q, QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from unfold.decorators import display
from unfold.widgets import UnfoldAdminSelectWidget, UnfoldAdminTextInputWidget

from tenancy import access, services
from tenancy.admin.base import ConsoleAdmin
from tenancy.admin.visit import Visit, visit
from tenancy.instants import moment
from tenancy.models import Environment, Membership, Organization, Project, Role, User


class MemberForm(forms.Form):
    user = forms.CharField(
        label="User name",
        widget=UnfoldAdminTextInputWidget,
        help_text="Of somebody who has an account on this installation already.",
    )
    role = forms.ChoiceField(
        widget=UnfoldAdminSelectWidget,
        help_text="Each role may do all that the ones below it may.",
    )
    scope = forms.ChoiceField(label="Where", widget=UnfoldAdminSelectWidget)

    def __init__(self, *args: Any, looking: Visit, **given: Any) -> None:
        super().__init__(*args, **given)
        organizations = [row for row in looking.organizations if looking.may_in(Role.ADMIN, row.pk)]
        self._owned = {row.pk for row in organizations if looking.may_in(Role.OWNER, row.pk)}
        self.fields["role"].choices = [  # type: ignore[attr-defined]  # it is a ChoiceField
            choice for choice in Role.choices if choice[0] != Role.OWNER or self._owned
        ]
        self._scopes: dict[str, tuple[Organization, Project | None, Environment | None]] = {}
        choices: list[tuple[str, str]] = []
        for organization in organizations:
            self._offer(choices, f"o{organization.pk}", f"all of {organization}", (organization, None, None))
            for project in access.projects(looking.principal).filter(organization=organization):
                self._offer(choices, f"p{project.pk}", f"project {project}", (organization, project, None))
            for row in looking.environments:
                if row.project.organization_id == organization.pk:
                    self._offer(choices, f"e{row.pk}", f"environment {row}", (organization, row.project, row))
        self.fields["scope"].choices = choices  # type: ignore[attr-defined]  # it is a ChoiceField

    def _offer(self, choices: list[tuple[str, str]], value: str, label: str, scope: Any) -> None:
        self._scopes[value] = scope
        choices.append((value, label))

    def clean_user(self) -> User:
        user = User.objects.filter(username=self.cleaned_data["user"], is_active=True).first()
        if user is None:
            raise forms.ValidationError("There is no active user of that name here.")
        return user

    def clean(self) -> dict[str, Any]:
        sent = super().clean() or {}
        if "scope" in sent:
            sent["organization"], sent["project"], sent["environment"] = self._scopes[sent.pop("scope")]
        if sent.get("role") == Role.OWNER and sent["organization"].pk not in self._owned:
            self.add_error("role", "Only an owner can make somebody an owner.")
        return sent


@admin.register(Membership)
class MembershipAdmin(ConsoleAdmin):
    list_display = ["user", "role_label", "scope", "organization", "since"]
    list_display_links = None
    list_select_related = ["user", "organization", "project", "environment__project"]
    search_fields = ["user__username", "user__email"]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Membership]:
        looking = visit(request)
        mine = Q(user_id=looking.principal.user_id)
        return (
            super()
            .get_queryset(request)
            .filter(mine | Q(organization__in=looking.organization_roles))
            .order_by("organization__slug", "user__username")
        )

    @display(description="Role", label={"owner": "primary", "admin": "info", "editor": "success", "viewer": "default"})
    def role_label(self, membership: Membership) -> tuple[str, str]:
        return membership.role, membership.get_role_display()

    @display(description="Where")
    def scope(self, membership: Membership) -> str:
        return str(membership.environment or membership.project or "everywhere")

    @display(description="Since", ordering="created_at")
    def since(self, membership: Membership) -> str:
        return moment(membership.created_at)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return visit(request).may_in(Role.ADMIN)

    def add_view(self, request: HttpRequest, form_url: str = "", extra_context: Any = None) -> HttpResponse:  # noqa: ARG002 - Django's signature
        if not self.has_add_permission(request):
            raise PermissionDenied
        looking = visit(request)
        form = MemberForm(request.POST or None, looking=looking, initial={"role": Role.VIEWER})

        def perform(sent: dict[str, Any]) -> HttpResponse:
            membership = services.add_member(actor=looking.actor, **{**sent, "role": Role(sent["role"])})
            messages.success(request, f"{membership}.")
            return redirect(self.list_url())

        return self.form_page(request, form, perform, title="Add a member", submit="Add member")
