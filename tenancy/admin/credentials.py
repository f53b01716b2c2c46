"""The pages of keys and tokens: they are created here, shown once, and revoked here."""

from typing import Any, cast

from django import forms
from django.conf import settings
from django.contrib import admin
from django.db.models import Q, QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from redis.exceptions import RedisError
from unfold.decorators import action, display
from unfold.enums import ActionVariant
from unfold.widgets import UnfoldAdminSelectWidget, UnfoldAdminTextInputWidget

from tenancy import services
from tenancy.admin.shown_once import secret_page, to_secret_page
from tenancy.callers.shared_limits import usage_of
from tenancy.console_kit.admin import ConsoleAdmin, EmptyList
from tenancy.console_kit.confirm import ConfirmPage
from tenancy.console_kit.context import ConsoleContext, console_context
from tenancy.console_kit.formats import moment
from tenancy.console_kit.forms import form_page, sent_data
from tenancy.console_kit.instants import FutureInstantField
from tenancy.console_kit.pages import list_url
from tenancy.console_kit.routes import Route
from tenancy.documents import edge_environments
from tenancy.models import Credential, Environment, User
from tenancy.roles import Role


class CredentialForm(forms.Form):
    name = forms.CharField(
        max_length=200,
        widget=UnfoldAdminTextInputWidget,
        help_text="Which service will use it, for example: checkout service.",
    )
    belongs_to = forms.ChoiceField(label="For", widget=UnfoldAdminSelectWidget)
    kind = forms.ChoiceField(
        choices=[
            (Credential.Kind.SERVER, "Server key: evaluates, reads the whole configuration, sends events"),
            (Credential.Kind.CLIENT, "Client key: evaluates for one user at a time; rules stay private"),
            (Credential.Kind.EDGE, "Edge credential: an edge follows its environments and their keys with it"),
            (Credential.Kind.MANAGE, "Management token: does over the API what your own role allows"),
        ],
        widget=UnfoldAdminSelectWidget,
    )
    further = forms.MultipleChoiceField(
        label="Further environments of an edge",
        required=False,
        widget=forms.CheckboxSelectMultiple,
        help_text="Only for an edge credential, beside the environment above. Others can be added later over the API.",
    )
    # The browser checks one thing that it alone knows: it would send a half-typed date as no date.
    use_required_attribute = False
    expires_at = FutureInstantField(label="Expires", help_text="Leave empty to keep it until it is revoked.")

    def __init__(self, *args: Any, context: ConsoleContext, **given: Any) -> None:
        super().__init__(*args, **given)
        self._environments = {f"e{row.pk}": row for row in context.environments if context.may(Role.ADMIN, row)}
        self._organizations = {f"o{row.pk}": row for row in context.organizations if context.may_in(Role.ADMIN, row.pk)}
        self.fields["belongs_to"].choices = [  # type: ignore[attr-defined]  # it is a ChoiceField
            *((value, f"environment {row}") for value, row in self._environments.items()),
            *((value, f"yourself in {row} (management token)") for value, row in self._organizations.items()),
        ]
        self.fields["further"].choices = [  # type: ignore[attr-defined]  # likewise
            (value, str(row)) for value, row in self._environments.items()
        ]

    def clean(self) -> dict[str, Any]:
        sent = super().clean() or {}
        place = sent.pop("belongs_to", None)
        further = [self._environments[value] for value in sent.pop("further", [])]
        if place is None or "kind" not in sent:
            return sent
        is_token = sent["kind"] == Credential.Kind.MANAGE
        if is_token != (place in self._organizations):
            self.add_error("belongs_to", "Choose yourself for a management token, and an environment for a key.")
        elif further and sent["kind"] != Credential.Kind.EDGE:
            self.add_error("further", "Only an edge credential is for several environments.")
        elif is_token:
            sent["organization"] = self._organizations[place]
        else:
            environment = self._environments[place]
            sent["organization"] = environment.project.organization
            if sent["kind"] == Credential.Kind.EDGE:
                sent["environments"] = list({row.pk: row for row in (environment, *further)}.values())
            else:
                sent["environment"] = environment
        return sent


@admin.register(Credential)
class CredentialAdmin(ConsoleAdmin):
    list_display = ["name", "kind_label", "scope", "shown_prefix", "state", "used", "expires"]
    list_select_related = ["organization", "environment__project", "user"]
    list_filter = ["kind"]
    search_fields = ["name", "prefix"]
    search_help_text = "Search by name, or by what it begins with"
    empty = EmptyList(
        "No keys or tokens yet",
        "A service asks for its flags with a key of its environment: a server key where the code is yours, a client "
        "key in browsers and apps. An edge gets one credential for all its environments. A management token lets you "
        "use the API as yourself.",
    )
    fields = [
        "name", "kind", "organization", "scope", "prefix", "state",
        "created", "created_by", "used", "usage", "expires", "revoked",
    ]  # fmt: skip
    actions_detail = ["revoke"]
    routes = (Route("<path:object_id>/secret/", "secret", secret_page),)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Credential]:
        context = console_context(request)
        organizations = [pk for pk in context.organization_roles if context.may_in(Role.ADMIN, pk)]
        environments = [row.pk for row in context.environments if context.may(Role.ADMIN, row)]
        rows = super().get_queryset(request).prefetch_related("environments__project")
        elsewhere = Environment.objects.exclude(pk__in=environments)
        edges = Credential.objects.filter(kind=Credential.Kind.EDGE, environments__in=environments).exclude(
            environments__in=elsewhere
        )
        return rows.filter(
            Q(organization__in=organizations) | Q(environment__in=environments) | Q(pk__in=edges.values("pk"))
        )

    def has_module_permission(self, request: HttpRequest) -> bool:
        context = console_context(request)
        return context.may_in(Role.ADMIN) or any(context.may(Role.ADMIN, row) for row in context.environments)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return self.has_module_permission(request)

    @display(description="Kind", label={"server": "info", "client": "success", "manage": "warning", "edge": "info"})
    def kind_label(self, credential: Credential) -> tuple[str, str]:
        return credential.kind, credential.get_kind_display()

    @display(description="For")
    def scope(self, credential: Credential) -> str:
        if credential.kind == Credential.Kind.EDGE:
            return ", ".join(edge_environments(credential)) or "no environment"
        return str(credential.environment or credential.user)

    @display(description="Begins with")
    def shown_prefix(self, credential: Credential) -> str:
        return f"{credential.prefix}…"

    @display(description="State", label={"live": "success", "expired": "warning", "revoked": "danger"})
    def state(self, credential: Credential) -> str:
        if credential.revoked_at:
            return "revoked"
        if credential.expires_at and credential.expires_at <= timezone.now():
            return "expired"
        return "live"

    @display(description="Last used", ordering="last_used_at")
    def used(self, credential: Credential) -> str:
        return moment(credential.last_used_at)

    @display(description="Requests")
    def usage(self, credential: Credential) -> str:
        is_token = credential.kind == Credential.Kind.MANAGE
        limit = settings.RATE_LIMIT_MANAGEMENT if is_token else settings.RATE_LIMIT_KEY
        try:
            found = usage_of(credential.prefix)
        except RedisError:
            return f"not known while Redis is away; the limit is {limit:,} a minute"
        return (
            f"{found.this_minute:,} in this minute, {found.last_hour:,} in the last hour, {found.busiest_minute:,} in "
            f"its busiest minute; the limit is {limit:,} a minute"
        )

    @display(description="Expires", ordering="expires_at")
    def expires(self, credential: Credential) -> str:
        return moment(credential.expires_at)

    @display(description="Revoked")
    def revoked(self, credential: Credential) -> str:
        return moment(credential.revoked_at)

    @display(description="Created", ordering="created_at")
    def created(self, credential: Credential) -> str:
        return moment(credential.created_at)

    def create(self, request: HttpRequest) -> HttpResponse:
        context = console_context(request)

        def perform(sent: dict[str, Any]) -> HttpResponse:
            if sent["kind"] == Credential.Kind.MANAGE:
                sent["user"] = cast(User, request.user)
            return to_secret_page(request, services.issue_credential(actor=context.actor, **sent))

        return form_page(
            request,
            CredentialForm(sent_data(request), context=context),
            perform,
            title="New key or token",
            submit="Create and show once",
            cancel_url=list_url(Credential),
            names={"expiresAt": "expires_at", "environments": "further"},
        )

    @action(description="Revoke", icon="key_off", variant=ActionVariant.DANGER)
    def revoke(self, request: HttpRequest, object_id: str) -> HttpResponse:
        credential: Credential = self.find(request, object_id)

        def act(sent: dict[str, Any]) -> str:
            actor = console_context(request).actor
            services.revoke_credential(actor=actor, credential=credential, reason=sent["reason"])
            return f"{credential} is revoked."

        return ConfirmPage(
            title=f"Revoke {credential.name}?",
            submit="Revoke for good",
            act=act,
            cancel_url=list_url(Credential),
            intro=f"Whoever still sends {credential.prefix}… is refused within seconds, for good. "
            "Make the new key first, if a service still needs one.",
            tone="danger",
        ).answer(request)
