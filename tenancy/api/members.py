"""Members, service accounts and credentials over HTTP."""

from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models import Q, QuerySet
from django.utils import timezone
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.response import Response

from tenancy import access, documents, services
from tenancy.api import serializers
from tenancy.api.organizations import scope_of
from tenancy.api.request import Request
from tenancy.api.views import TENANT, ManagementView, choice, paginated, payload
from tenancy.callers.principals import Principal
from tenancy.errors import Forbidden, Invalid, NotFound
from tenancy.models import Credential, Environment, Membership, Organization, Project, User
from tenancy.refusals import refuse_unknown
from tenancy.roles import Role

_ORGANIZATION = OpenApiParameter("organization", str, description="Slug; may be left out where there is only one.")


def _refuse_above_own(principal: Principal, thing: Organization | Project | Environment, *roles: Role) -> None:
    """Refuse to give or take a role above the caller's own."""
    own = access.role_on(principal, thing)
    if own is None or not all(own.covers(role) for role in roles):
        raise Forbidden(f"Your role here is {own.value if own else 'none'}; that needs one at least as high.")


def _innermost(scope: dict[str, Any]) -> Organization | Project | Environment:
    found: Organization | Project | Environment = scope["environment"] or scope["project"] or scope["organization"]
    return found


class MembersView(ManagementView):
    """The members of the organization, its projects and environments, with their roles."""

    @extend_schema(parameters=[_ORGANIZATION, TENANT], responses=serializers.MemberSerializer(many=True))
    def get(self, request: Request) -> Response:
        organization = access.get_organization(request.user, request.query_params.get("organization"), needs=None)
        found = members_seen(request.user, organization)
        return paginated(self, request, found, documents.member_resource)

    @extend_schema(
        parameters=[_ORGANIZATION, TENANT],
        request=serializers.NewMemberSerializer,
        responses={201: serializers.MemberSerializer},
    )
    @transaction.atomic
    def post(self, request: Request) -> Response:
        """Add a person who exists, or with `password` a new person, who can then sign in to the console."""
        sent = payload(serializers.NewMemberSerializer, request)
        refuse_unknown(sent, ("username", "role", "project", "environment", "password", "email"))
        scope, role = scope_of(request, sent, Role.ADMIN), Role(sent["role"])
        _refuse_above_own(request.user, _innermost(scope), role)
        actor, organization = request.user.actor, scope["organization"]
        if "password" in sent:
            user = services.create_person(
                actor=actor,
                organization=organization,
                username=sent["username"],
                password=sent["password"],
                email=sent.get("email", ""),
            )
        else:
            known = User.objects.filter(Q(service_of=organization) | Q(service_of__isnull=True), is_active=True)
            found = known.filter(username=sent["username"]).first()
            if found is None:
                raise Invalid(
                    f"There is nobody called {sent['username']!r}; send a password as well to create them.",
                    attr="username",
                    code="unknown_user",
                )
            user = found
        membership = services.add_member(actor=actor, user=user, role=role, **scope)
        return Response(documents.member_resource(membership), status=201)


def members_seen(principal: Principal, organization: Organization) -> QuerySet[Membership]:
    """Return all memberships to a caller with a role on the whole organization, else the caller's own."""
    found = Membership.objects.filter(organization=organization).select_related("user", "project", "environment")
    if access.role_on(principal, organization) is None:
        found = found.filter(pk__in=access.memberships(principal))
    return found.order_by("user__username", "pk")


class MemberView(ManagementView):
    def _membership(self, request: Request, member_id: int) -> Membership:
        """Return a membership that the caller sees and, as an admin of its scope, may change."""
        organization = access.get_organization(request.user, request.query_params.get("organization"), needs=None)
        found = Membership.objects.filter(organization=organization, pk=member_id)
        membership = found.select_related("user", "organization", "project", "environment__project").first()
        if membership is None:
            raise NotFound("There is no such member.")
        thing = membership.environment or membership.project or membership.organization
        own = access.role_on(request.user, thing)
        if own is None or not own.covers(Role.ADMIN):
            raise Forbidden(f"This needs the role admin on {thing}; yours is {own.value if own else 'none'}.")
        return membership

    @extend_schema(parameters=[_ORGANIZATION, TENANT], responses=serializers.MemberSerializer)
    def get(self, request: Request, member_id: int) -> Response:
        organization = access.get_organization(request.user, request.query_params.get("organization"), needs=None)
        membership = members_seen(request.user, organization).filter(pk=member_id).first()
        if membership is None:
            raise NotFound("There is no such member.")
        return Response(documents.member_resource(membership))

    @extend_schema(
        parameters=[_ORGANIZATION, TENANT],
        request=serializers.MemberChangeSerializer,
        responses=serializers.MemberSerializer,
    )
    def patch(self, request: Request, member_id: int) -> Response:
        membership = self._membership(request, member_id)
        sent = payload(serializers.MemberChangeSerializer, request)
        refuse_unknown(sent, ("role", "version"))
        role = Role(sent["role"])
        thing = membership.environment or membership.project or membership.organization
        _refuse_above_own(request.user, thing, role, Role(membership.role))
        changed = services.change_member(
            actor=request.user.actor, membership=membership, role=role, version=sent["version"]
        )
        return Response(documents.member_resource(changed))

    @extend_schema(parameters=[_ORGANIZATION, TENANT], responses={204: None})
    def delete(self, request: Request, member_id: int) -> Response:
        membership = self._membership(request, member_id)
        thing = membership.environment or membership.project or membership.organization
        _refuse_above_own(request.user, thing, Role(membership.role))
        services.remove_member(actor=request.user.actor, membership=membership)
        return Response(status=204)


class ServiceAccountsView(ManagementView):
    """The accounts for programs."""

    @extend_schema(parameters=[_ORGANIZATION, TENANT], responses=serializers.ServiceAccountSerializer(many=True))
    def get(self, request: Request) -> Response:
        slug = request.query_params.get("organization")
        organization = access.get_organization(request.user, slug, needs=Role.ADMIN)
        found = (
            User.objects.filter(service_of=organization)
            .prefetch_related("memberships__user", "memberships__project", "memberships__environment")
            .order_by("username")
        )
        return paginated(self, request, found, documents.service_account_resource)

    @extend_schema(
        parameters=[_ORGANIZATION, TENANT],
        request=serializers.NewServiceAccountSerializer,
        responses={201: serializers.IssuedServiceAccountSerializer},
    )
    @transaction.atomic
    def post(self, request: Request) -> Response:
        slug = request.query_params.get("organization")
        organization = access.get_organization(request.user, slug, needs=Role.ADMIN)
        sent = payload(serializers.NewServiceAccountSerializer, request)
        refuse_unknown(sent, ("name", "role", "project", "environment"))
        scope = scope_of(request, sent, Role.ADMIN)
        _refuse_above_own(request.user, _innermost(scope), Role(sent["role"]))
        account, issued = services.create_service_account(
            actor=request.user.actor, organization=organization, name=sent["name"]
        )
        services.add_member(actor=request.user.actor, user=account, role=Role(sent["role"]), **scope)
        body = {**documents.service_account_resource(account), "clientSecret": issued.secret}
        return Response(body, status=201)


class ServiceAccountView(ManagementView):
    @extend_schema(parameters=[_ORGANIZATION, TENANT], responses={204: None})
    def delete(self, request: Request, client_id: str) -> Response:
        slug = request.query_params.get("organization")
        organization = access.get_organization(request.user, slug, needs=Role.ADMIN)
        account = User.objects.filter(service_of=organization, username=client_id).first()
        if account is None:
            raise NotFound("There is no such service account.")
        for row in account.memberships.select_related("organization", "project", "environment__project"):
            _refuse_above_own(request.user, row.environment or row.project or row.organization, Role(row.role))
        services.delete_service_account(actor=request.user.actor, account=account)
        return Response(status=204)


def credentials_seen(principal: Principal, organization: Organization) -> QuerySet[Credential]:
    """List all to an admin of the organization, else the caller's own tokens and the keys of what it administers."""
    found = (
        Credential.objects.filter(organization=organization)
        .select_related("environment__project", "user")
        .prefetch_related("environments__project")
    )
    own = access.role_on(principal, organization)
    if own is not None and own.covers(Role.ADMIN):
        return found
    rows = access.memberships(principal).filter(organization=organization, role__in=[Role.ADMIN, Role.OWNER])
    administered = Environment.objects.filter(
        Q(project__in=rows.filter(environment__isnull=True, project__isnull=False).values("project"))
        | Q(pk__in=rows.filter(environment__isnull=False).values("environment"))
    )
    elsewhere = Environment.objects.filter(project__organization=organization).exclude(pk__in=administered)
    # An edge credential, whose every environment the caller administers.
    edges = Credential.objects.filter(kind=Credential.Kind.EDGE, environments__in=administered).exclude(
        environments__in=elsewhere
    )
    return found.filter(Q(user_id=principal.user_id) | Q(environment__in=administered) | Q(pk__in=edges.values("pk")))


class CredentialsView(ManagementView):
    """Keys of environments, and management tokens."""

    @extend_schema(
        parameters=[
            _ORGANIZATION,
            TENANT,
            OpenApiParameter("kind", str, enum=Credential.Kind.values),
            OpenApiParameter("project", str, description="Project key."),
            OpenApiParameter("environment", str, description="Environment key."),
            OpenApiParameter("state", str, enum=["live", "revoked"]),
        ],
        responses=serializers.CredentialSerializer(many=True),
    )
    def get(self, request: Request) -> Response:
        query = request.query_params
        organization = access.get_organization(request.user, query.get("organization"), needs=None)
        found = credentials_seen(request.user, organization)
        if kind := choice(request, "kind", Credential.Kind.values):
            found = found.filter(kind=kind)
        if state := choice(request, "state", ("live", "revoked")):
            found = found.filter(revoked_at__isnull=state == "live")
        if project := query.get("project"):
            found = found.filter(environment__project__key=project)
        if environment := query.get("environment"):
            found = found.filter(environment__key=environment)
        return paginated(self, request, found, documents.credential_resource)

    @extend_schema(
        parameters=[_ORGANIZATION, TENANT],
        request=serializers.NewCredentialSerializer,
        responses={201: serializers.IssuedCredentialSerializer},
    )
    def post(self, request: Request) -> Response:
        """Make a key, as admin of its environment, or a token: one's own, or as admin a service account's."""
        sent = payload(serializers.NewCredentialSerializer, request)
        refuse_unknown(sent, ("kind", "name", "project", "environment", "environments", "username", "expiresAt"))
        expires_at = sent.get("expiresAt")
        if expires_at is not None and expires_at <= timezone.now():
            raise Invalid("Give an instant to come; it is shown once, and would never work.", attr="expiresAt")
        if sent["kind"] != Credential.Kind.EDGE and "environments" in sent:
            raise Invalid("Only an edge credential is for several; leave `environments` out.", attr="environments")
        if sent["kind"] == Credential.Kind.MANAGE:
            where = self._for_person(request, sent)
        elif sent["kind"] == Credential.Kind.EDGE:
            where = self._for_edge(request, sent)
        else:
            if not sent.get("environment"):
                raise Invalid("Name the environment that the key is for.", attr="environment", code="required")
            scope = scope_of(request, sent, Role.ADMIN)
            where = {"organization": scope["organization"], "environment": scope["environment"]}
        issued = services.issue_credential(
            actor=request.user.actor,
            kind=sent["kind"],
            name=sent["name"],
            expires_at=expires_at,
            **where,
        )
        body = {**documents.credential_resource(issued.credential), "secret": issued.secret}
        return Response(body, status=201)

    def _for_edge(self, request: Request, sent: dict[str, Any]) -> dict[str, Any]:
        if sent.get("environment") or sent.get("project") or sent.get("username"):
            raise Invalid("An edge credential is for several environments; name them in `environments`.",
                          attr="environments")  # fmt: skip
        organization = access.get_organization(request.user, request.query_params.get("organization"), needs=None)
        named = [administered(request.user, name) for name in sent.get("environments", ())]
        return {"organization": organization, "environments": named}

    def _for_person(self, request: Request, sent: dict[str, Any]) -> dict[str, Any]:
        if sent.get("environment") or sent.get("project"):
            raise Invalid(
                "A management token belongs to a person; leave project and environment out.", attr="environment"
            )
        organization = access.get_organization(request.user, request.query_params.get("organization"), needs=None)
        user = User.objects.get(pk=request.user.user_id) if request.user.user_id else None
        if user is None:
            raise Forbidden("A key of an environment cannot make tokens; use a management token.")
        name = sent.get("username", user.username)
        if name != user.username:
            access.get_organization(request.user, organization.slug, needs=Role.ADMIN)
            account = User.objects.filter(service_of=organization, username=name).first()
            if account is None:
                raise Invalid(
                    "Name one of this organization's service accounts; people make their own tokens.",
                    attr="username",
                    code="unknown_user",
                )
            held = Membership.objects.filter(user=account, organization=organization)
            _refuse_above_own(request.user, organization, *(Role(row.role) for row in held))
            user = account
        return {"organization": organization, "user": user}


def administered(principal: Principal, name: str) -> Environment:
    """The environment of that name, such as `web/production`, of which the caller is an admin."""
    project, _, key = name.partition("/")
    if not project or not key:
        raise Invalid(f"Name it as project and environment, such as web/production, not {name!r}.", attr="environments")
    return access.get_environment(principal, project=project, environment=key, needs=Role.ADMIN)


def credential_of(request: Request, credential_id: UUID) -> Credential:
    organization = access.get_organization(request.user, request.query_params.get("organization"), needs=None)
    credential = credentials_seen(request.user, organization).filter(pk=credential_id).first()
    if credential is None:
        raise NotFound("There is no such credential.")
    return credential


class CredentialEnvironmentView(ManagementView):
    """One of the environments that an edge credential names. Edges with the credential follow at once."""

    @extend_schema(parameters=[_ORGANIZATION, TENANT], request=None, responses=serializers.CredentialSerializer)
    def put(self, request: Request, credential_id: UUID, project: str, environment: str) -> Response:
        """Let the edge serve it, as an admin of it and of those served so far. Again: nothing happens."""
        return self._changed(request, credential_id, f"{project}/{environment}", "add")

    @extend_schema(parameters=[_ORGANIZATION, TENANT], responses={200: serializers.CredentialSerializer})
    def delete(self, request: Request, credential_id: UUID, project: str, environment: str) -> Response:
        """Let the edge serve it no longer. The last one cannot go: revoke the credential."""
        return self._changed(request, credential_id, f"{project}/{environment}", "remove")

    def _changed(self, request: Request, credential_id: UUID, name: str, how: str) -> Response:
        credential = credential_of(request, credential_id)
        row = administered(request.user, name)
        changed = services.change_edge_environments(actor=request.user.actor, credential=credential, **{how: [row]})
        return Response(documents.credential_resource(changed))


class CredentialView(ManagementView):
    @extend_schema(parameters=[_ORGANIZATION, TENANT], responses=serializers.CredentialSerializer)
    def get(self, request: Request, credential_id: UUID) -> Response:
        return Response(documents.credential_resource(credential_of(request, credential_id)))

    @extend_schema(parameters=[_ORGANIZATION, TENANT], responses={200: serializers.CredentialSerializer})
    def delete(self, request: Request, credential_id: UUID) -> Response:
        """Revoke for good. The row stays, because the audit log refers to it."""
        credential = credential_of(request, credential_id)
        revoked = services.revoke_credential(actor=request.user.actor, credential=credential)
        return Response(documents.credential_resource(revoked))
