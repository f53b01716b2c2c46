"""Accounts for programs. A page creates one with a role and a secret shown once, gives it more, or deletes it."""

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.db.models import Count, Max, Q, QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString
from unfold.decorators import display
from unfold.widgets import UnfoldAdminTextInputWidget

from tenancy import services
from tenancy.admin.members import PlaceForm
from tenancy.admin.shown_once import to_secret_page
from tenancy.console_kit.admin import ConsoleAdmin, EmptyList
from tenancy.console_kit.confirm import ConfirmPage
from tenancy.console_kit.context import console_context
from tenancy.console_kit.formats import counted, moment
from tenancy.console_kit.forms import form_page, sent_data
from tenancy.console_kit.instants import FutureInstantField
from tenancy.console_kit.pages import console_page, list_url, object_url
from tenancy.console_kit.removal import Removal
from tenancy.console_kit.routes import Route
from tenancy.models import Credential, Membership, ServiceAccount
from tenancy.roles import Role

_LIVE = Q(revoked_at__isnull=True)


class AccountForm(PlaceForm):
    name = forms.CharField(
        max_length=60,
        widget=UnfoldAdminTextInputWidget,
        help_text="Lower-case letters, digits, dots, hyphens and underscores, as in deploy-bot. It never changes.",
    )
    field_order = ["name", "role", "scope"]


class SecretForm(forms.Form):
    name = forms.CharField(
        max_length=200,
        widget=UnfoldAdminTextInputWidget,
        help_text="Where it will be kept, for example: deploy pipeline.",
    )
    # The browser checks one thing that it alone knows: it would send a half-typed date as no date.
    use_required_attribute = False
    expires_at = FutureInstantField(label="Expires", help_text="Leave empty to keep it until it is revoked.")


def create(request: HttpRequest) -> HttpResponse:
    context = console_context(request)

    def perform(sent: dict[str, Any]) -> HttpResponse:
        where = {name: sent[name] for name in ("organization", "project", "environment")}
        with transaction.atomic():
            account, issued = services.create_service_account(
                actor=context.actor, organization=sent["organization"], name=sent["name"]
            )
            services.add_member(actor=context.actor, user=account, role=Role(sent["role"]), **where)
        return to_secret_page(request, issued)

    return form_page(
        request,
        AccountForm(sent_data(request), context=context, initial={"role": Role.VIEWER}),
        perform,
        title="New service account",
        submit="Create and show its secret once",
        cancel_url=list_url(ServiceAccount),
        intro="For a program that reads or changes things over the API. It can never sign in to the console.",
    )


def show(request: HttpRequest, account: ServiceAccount) -> HttpResponse:
    if request.method == "POST":
        raise PermissionDenied
    return console_page(
        request,
        "tenancy/service_account.html",
        title=f"Service account {account.username}",
        account=account,
        memberships=[
            {"where": _place(row), "role": row.get_role_display(), "pk": row.pk} for row in account.memberships.all()
        ],
        secrets=account.credentials.order_by("revoked_at", "-created_at"),
        now=timezone.now(),
        may_issue=_covers_roles(request, account),
        list_url=list_url(account),
        remove_url=REMOVAL.url(request, account),
    )


def add_role(request: HttpRequest, account: ServiceAccount) -> HttpResponse:
    context = console_context(request)

    def perform(sent: dict[str, Any]) -> HttpResponse:
        where = {name: sent[name] for name in ("organization", "project", "environment")}
        membership = services.add_member(actor=context.actor, user=account, role=Role(sent["role"]), **where)
        messages.success(request, f"{membership}.")
        return redirect(object_url(account))

    return form_page(
        request,
        PlaceForm(sent_data(request), context=context, only=account.service_of, initial={"role": Role.VIEWER}),
        perform,
        title=f"Give {account.username} a role",
        submit="Give the role",
        cancel_url=list_url(account),
    )


def add_secret(request: HttpRequest, account: ServiceAccount) -> HttpResponse:
    if not _covers_roles(request, account):
        # A person with a secret can do what its roles allow. So nobody creates a secret for a role above their own.
        raise PermissionDenied

    def perform(sent: dict[str, Any]) -> HttpResponse:
        issued = services.issue_credential(
            actor=console_context(request).actor,
            kind=Credential.Kind.MANAGE,
            organization=account.service_of,  # type: ignore[arg-type]  # the queryset holds accounts of organizations
            user=account,
            **sent,
        )
        return to_secret_page(request, issued)

    return form_page(
        request,
        SecretForm(sent_data(request)),
        perform,
        title=f"New secret for {account.username}",
        submit="Create and show once",
        cancel_url=list_url(account),
        intro="Secrets work side by side: put the new one in place, then revoke the old one.",
    )


def switch_off(request: HttpRequest, account: ServiceAccount) -> HttpResponse:
    live = account.credentials.filter(_LIVE)

    def act(sent: dict[str, Any]) -> str:
        with transaction.atomic():
            for credential in live:
                services.revoke_credential(actor=console_context(request).actor, credential=credential, **sent)
        return f"{account.username} is switched off."

    return ConfirmPage(
        title=f"Switch {account.username} off?",
        submit="Revoke its secrets",
        act=act,
        cancel_url=list_url(account),
        done_url=object_url(account),
        tone="danger",
        intro=f"{counted(live.count(), 'secret')} will be revoked for good: whoever sends one, or a token made of it, "
        "is refused within seconds. Its roles stay; a new secret switches it on again.",
    ).answer(request)


def _consequence(account: ServiceAccount) -> SafeString:
    live, roles = account.credentials.filter(_LIVE).count(), account.memberships.count()
    last = account.credentials.aggregate(at=Max("last_used_at"))["at"]
    return format_html(
        "{} and {} are taken away (last used: {}): whatever runs with it is refused within seconds. What it did stays "
        "in the audit log. It cannot be brought back.",
        counted(live, "secret"),
        counted(roles, "role"),
        moment(last),
    )


def _may_remove(request: HttpRequest, account: ServiceAccount) -> bool:
    return console_context(request).may_in(Role.ADMIN, account.service_of_id) and _covers_roles(request, account)


REMOVAL: Removal[ServiceAccount] = Removal(
    may=_may_remove,
    consequence=_consequence,
    delete=lambda actor, account, reason: services.delete_service_account(actor=actor, account=account, reason=reason),
)


def _covers_roles(request: HttpRequest, account: ServiceAccount) -> bool:
    roles = [Role(row.role) for row in account.memberships.all()]
    return all(console_context(request).may_in(role, account.service_of_id) for role in roles)


def _place(membership: Membership) -> str:
    return str(membership.environment or membership.project or f"all of {membership.organization}")


def _said(membership: Membership) -> str:
    return f"{membership.get_role_display().lower()} of {membership.environment or membership.project or 'everything'}"


@admin.register(ServiceAccount)
class ServiceAccountAdmin(ConsoleAdmin):
    """Pages for admins of the whole organization, as over the API."""

    list_display = ["username", "roles", "secrets", "used", "organization_name", "created"]
    search_fields = ["username"]
    search_help_text = "Search by client id"
    empty = EmptyList(
        "No service accounts yet",
        "A service account lets a program, such as a deploy pipeline, read or change flags over the API with a role "
        "of its own, so that nobody's personal token sits in it. What it does is in the audit log under its name.",
    )
    removal = REMOVAL
    routes = (
        Route("<path:object_id>/role/", "role", add_role),
        Route("<path:object_id>/secret/", "secret", add_secret),
        Route("<path:object_id>/off/", "off", switch_off),
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[ServiceAccount]:
        context = console_context(request)
        administered = [pk for pk in context.organization_roles if context.may_in(Role.ADMIN, pk)]
        found = super().get_queryset(request).filter(service_of__in=administered).select_related("service_of")
        unexpired = Q(credentials__expires_at__isnull=True) | Q(credentials__expires_at__gt=timezone.now())
        live = unexpired & Q(credentials__isnull=False, credentials__revoked_at__isnull=True)
        return found.prefetch_related(
            "memberships__organization", "memberships__project", "memberships__environment"
        ).annotate(
            live_secrets=Count("credentials", filter=live, distinct=True),
            secret_used_at=Max("credentials__last_used_at"),
        )

    def has_module_permission(self, request: HttpRequest) -> bool:
        return console_context(request).may_in(Role.ADMIN)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return console_context(request).may_in(Role.ADMIN)

    @display(description="Client id", ordering="username")
    def username(self, account: ServiceAccount) -> str:
        return account.username

    @display(description="Roles")
    def roles(self, account: ServiceAccount) -> str:
        return ", ".join(_said(row) for row in account.memberships.all()) or "none: it may do nothing"

    @display(description="Live secrets")
    def secrets(self, account: Any) -> str:
        return str(account.live_secrets or "none: switched off")

    @display(description="Last used")
    def used(self, account: Any) -> str:
        return moment(account.secret_used_at)

    @display(description="Organization")
    def organization_name(self, account: ServiceAccount) -> str:
        return str(account.service_of)

    @display(description="Created", ordering="date_joined")
    def created(self, account: ServiceAccount) -> str:
        return moment(account.date_joined)

    def create(self, request: HttpRequest) -> HttpResponse:
        return create(request)

    def show(self, request: HttpRequest, thing: ServiceAccount) -> HttpResponse:
        return show(request, thing)
