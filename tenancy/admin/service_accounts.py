"""Accounts for programs: made with a role and a secret shown once, given further roles and secrets, taken away."""

from collections.abc import Callable
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.db.models import Count, Max, Q, QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString
from unfold.decorators import display
from unfold.widgets import UnfoldAdminTextInputWidget

from tenancy import services
from tenancy.admin.members import PlaceForm
from tenancy.console_kit.base import sent_data
from tenancy.console_kit.context import console_context
from tenancy.console_kit.instants import FutureInstantField
from tenancy.console_kit.removal import ReasonForm, RemovableAdmin
from tenancy.instants import moment
from tenancy.models import Credential, Membership, Role, ServiceAccount
from tenancy.services.credentials import IssuedCredential

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
    # The browser checks one thing, which it alone knows: a date half typed would be sent as none.
    use_required_attribute = False
    expires_at = FutureInstantField(label="Expires", help_text="Leave empty to keep it until it is revoked.")


@admin.register(ServiceAccount)
class ServiceAccountAdmin(RemovableAdmin):
    """For admins of the whole organization, as over the API."""

    list_display = ["username", "roles", "secrets", "used", "organization_name", "created"]
    search_fields = ["username"]
    search_help_text = "Search by client id"
    teaching = "tenancy/empty_service_accounts.html"

    def get_queryset(self, request: HttpRequest) -> QuerySet[ServiceAccount]:
        looking = console_context(request)
        administered = [pk for pk in looking.organization_roles if looking.may_in(Role.ADMIN, pk)]
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

    def get_urls(self) -> list[URLPattern]:
        def route(pattern: str, view: Callable[..., HttpResponse], name: str) -> URLPattern:
            return path(pattern, self.admin_site.admin_view(view), name=f"tenancy_serviceaccount_{name}")

        return [
            route("<int:object_id>/role/", self._add_role, "role"),
            route("<int:object_id>/secret/", self._add_secret, "secret"),
            route("<int:object_id>/off/", self._switch_off, "off"),
            *super().get_urls(),
        ]

    def changeform_view(
        self,
        request: HttpRequest,
        object_id: str | None = None,
        form_url: str = "",  # noqa: ARG002 - Django's signature
        extra_context: dict[str, Any] | None = None,  # noqa: ARG002 - likewise
    ) -> HttpResponse:
        return self._create(request) if object_id is None else self._show(request, object_id)

    def _create(self, request: HttpRequest) -> HttpResponse:
        if not self.has_add_permission(request):
            raise PermissionDenied
        looking = console_context(request)

        def perform(sent: dict[str, Any]) -> HttpResponse:
            where = {name: sent[name] for name in ("organization", "project", "environment")}
            with transaction.atomic():
                account, issued = services.create_service_account(
                    actor=looking.actor, organization=sent["organization"], name=sent["name"]
                )
                services.add_member(actor=looking.actor, user=account, role=Role(sent["role"]), **where)
            return self._secret(request, issued, account.pk, account.username)

        form = AccountForm(sent_data(request), looking=looking, initial={"role": Role.VIEWER})
        return self.form_page(
            request,
            form,
            perform,
            title="New service account",
            submit="Create and show its secret once",
            intro="For a program that reads or changes things over the API. It can never sign in to the console.",
        )

    def _show(self, request: HttpRequest, object_id: str) -> HttpResponse:
        account = self._account(request, object_id)
        if request.method == "POST":
            raise PermissionDenied
        return self.page(
            request,
            "tenancy/service_account.html",
            title=f"Service account {account.username}",
            account=account,
            memberships=[
                {"where": _place(row), "role": row.get_role_display(), "pk": row.pk}
                for row in account.memberships.all()
            ],
            secrets=account.credentials.order_by("revoked_at", "-created_at"),
            now=timezone.now(),
            may_issue=self._covers_roles(request, account),
            list_url=self.list_url(),
            remove_url=self.remove_url(request, account),
        )

    def _add_role(self, request: HttpRequest, object_id: int) -> HttpResponse:
        account = self._account(request, str(object_id))
        looking = console_context(request)

        def perform(sent: dict[str, Any]) -> HttpResponse:
            where = {name: sent[name] for name in ("organization", "project", "environment")}
            membership = services.add_member(actor=looking.actor, user=account, role=Role(sent["role"]), **where)
            messages.success(request, f"{membership}.")
            return self._back(account)

        form = PlaceForm(sent_data(request), looking=looking, only=account.service_of, initial={"role": Role.VIEWER})
        title = f"Give {account.username} a role"
        return self.form_page(request, form, perform, title=title, submit="Give the role")

    def _add_secret(self, request: HttpRequest, object_id: int) -> HttpResponse:
        account = self._account(request, str(object_id))
        if not self._covers_roles(request, account):
            # Whoever holds a secret does what its roles allow: nobody gets there by making one.
            raise PermissionDenied

        def perform(sent: dict[str, Any]) -> HttpResponse:
            issued = services.issue_credential(
                actor=console_context(request).actor,
                kind=Credential.Kind.MANAGE,
                organization=account.service_of,  # type: ignore[arg-type]  # the queryset holds accounts of organizations
                user=account,
                **sent,
            )
            return self._secret(request, issued, account.pk, account.username)

        return self.form_page(
            request,
            SecretForm(sent_data(request)),
            perform,
            title=f"New secret for {account.username}",
            submit="Create and show once",
            intro="Secrets work side by side: put the new one in place, then revoke the old one.",
        )

    def _switch_off(self, request: HttpRequest, object_id: int) -> HttpResponse:
        account = self._account(request, str(object_id))
        live = account.credentials.filter(_LIVE)

        def perform(sent: dict[str, Any]) -> HttpResponse:
            with transaction.atomic():
                for credential in live:
                    services.revoke_credential(actor=console_context(request).actor, credential=credential, **sent)
            messages.success(request, f"{account.username} is switched off.")
            return self._back(account)

        return self.form_page(
            request,
            ReasonForm(sent_data(request)),
            perform,
            title=f"Switch {account.username} off?",
            submit="Revoke its secrets",
            is_dangerous=True,
            intro=f"{_count(live.count(), 'secret')} will be revoked for good: whoever sends one, or a token made "
            "of it, is refused within seconds. Its roles stay; a new secret switches it on again.",
        )

    def may_remove(self, request: HttpRequest, thing: ServiceAccount) -> bool:
        return console_context(request).may_in(Role.ADMIN, thing.service_of_id) and self._covers_roles(request, thing)

    def consequence(self, thing: ServiceAccount) -> SafeString:
        live, roles = thing.credentials.filter(_LIVE).count(), thing.memberships.count()
        last = thing.credentials.aggregate(at=Max("last_used_at"))["at"]
        return format_html(
            "{} and {} are taken away (last used: {}): whatever runs with it is refused within seconds. What it did "
            "stays in the audit log. It cannot be brought back.",
            _count(live, "secret"),
            _count(roles, "role"),
            moment(last),
        )

    def remove_thing(self, request: HttpRequest, thing: ServiceAccount, reason: str) -> None:
        services.delete_service_account(actor=console_context(request).actor, account=thing, reason=reason)

    def _account(self, request: HttpRequest, object_id: str) -> ServiceAccount:
        account: ServiceAccount | None = self.get_object(request, object_id)
        if account is None:
            raise Http404("There is no such service account, or it belongs to another tenant.")
        return account

    def _covers_roles(self, request: HttpRequest, account: ServiceAccount) -> bool:
        roles = [Role(row.role) for row in account.memberships.all()]
        return all(console_context(request).may_in(role, account.service_of_id) for role in roles)

    def _back(self, account: ServiceAccount) -> HttpResponse:
        return redirect("admin:tenancy_serviceaccount_change", account.pk)

    def _secret(self, request: HttpRequest, issued: IssuedCredential, pk: int, client_id: str) -> HttpResponse:
        response = self.page(
            request,
            "tenancy/secret.html",
            title="Copy the secret now",
            issued=issued,
            client_id=client_id,
            tenant=issued.credential.organization.slug,
            list_url=reverse("admin:tenancy_serviceaccount_change", args=[pk]),
        )
        response["Cache-Control"] = "no-store"
        return response


def _place(membership: Membership) -> str:
    return str(membership.environment or membership.project or f"all of {membership.organization}")


def _said(membership: Membership) -> str:
    return f"{membership.get_role_display().lower()} of {membership.environment or membership.project or 'everything'}"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
