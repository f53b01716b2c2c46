"""DRF authentication: a bearer credential from the keyring, or the console's session."""

from dataclasses import replace
from typing import Any

from django.contrib.auth.models import AnonymousUser
from openflagship.wire.credentials import (
    FOREIGN_TENANT,
    NEEDS_EDGE_CREDENTIAL,
    NEEDS_ENVIRONMENT_KEY,
    NEEDS_SERVER_KEY,
    UNKNOWN_CREDENTIAL,
    presented_secret,
)
from openflagship.wire.errors import AUTHENTICATE
from rest_framework.authentication import BaseAuthentication, CSRFCheck
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.permissions import BasePermission
from rest_framework.request import Request

from audit.actors import Actor
from tenancy.authentication import tokens
from tenancy.authentication.keyring import KEYRING, Key
from tenancy.callers.principals import Principal, principal_of_user
from tenancy.callers.request_ids import request_id_of
from tenancy.errors import Forbidden, Invalid
from tenancy.models import Organization, User


def principal_of_key(key: Key, request_id: str = "") -> Principal:
    label = f"{key.name} ({key.prefix}…)"
    return Principal(
        kind=key.kind,
        actor=Actor(kind=f"{key.kind}_key", id=str(key.id), label=label, credential=key.prefix, request_id=request_id),
        organization_id=key.organization_id,
        organization_slug=key.organization_slug,
        environment_id=key.environment_id,
        name=key.name,
    )


class CredentialAuthentication(BaseAuthentication):
    """Looks the bearer credential up in memory. Only a person's token or session needs the database."""

    def authenticate(self, request: Request) -> tuple[Principal, Key | None] | None:
        request_id = request_id_of(request)
        secret = presented_secret(request.META.get("HTTP_AUTHORIZATION", ""), request.META.get("HTTP_X_API_KEY", ""))
        if secret is None:
            return self._session(request, request_id)
        key = tokens.find(secret) if tokens.looks_like_one(secret) else KEYRING.find_or_ask(secret)
        if key is None:
            raise AuthenticationFailed(UNKNOWN_CREDENTIAL)
        if key.user_id is None:
            principal = principal_of_key(key, request_id)
        else:
            user = User.objects.filter(pk=key.user_id, is_active=True).first()
            if user is None:
                raise AuthenticationFailed(UNKNOWN_CREDENTIAL)
            principal = principal_of_user(
                user,
                request_id=request_id,
                credential=key.prefix,
                organization_id=key.organization_id,
                organization_slug=key.organization_slug,
            )
        tenant = request.META.get("HTTP_X_TENANT_ID")
        if tenant is not None and tenant != principal.organization_slug:
            raise Forbidden(FOREIGN_TENANT)
        if tenant is None and key.user_id is not None:
            raise Invalid(
                "Send the header X-Tenant-ID with the organization's slug along with a management token or a JWT.",
                attr="X-Tenant-ID",
                code="tenant_required",
            )
        return principal, key

    def _session(self, request: Request, request_id: str) -> tuple[Principal, None] | None:
        user: Any = getattr(request._request, "user", None)  # noqa: SLF001 - DRF offers no other way to Django's user
        if user is None or isinstance(user, AnonymousUser) or not user.is_active:
            return None
        check = CSRFCheck(lambda _request: None)  # type: ignore[arg-type]  # the response is never made, as in DRF
        check.process_request(request._request)  # noqa: SLF001 - likewise
        reason = check.process_view(request._request, None, (), {})  # type: ignore[arg-type]  # noqa: SLF001 - likewise
        if reason:
            raise Forbidden(f"The console's session needs a CSRF token with this request: {reason}")
        principal = principal_of_user(user, request_id=request_id)
        tenant = request.META.get("HTTP_X_TENANT_ID")
        if tenant is not None:
            found = Organization.objects.filter(slug=tenant).values_list("pk", flat=True).first()
            # An unknown organization gives no rows, as another tenant's does: the caller cannot tell which.
            principal = replace(principal, organization_id=found or -1, organization_slug=tenant)
        return principal, None

    def authenticate_header(self, request: Request) -> str:  # noqa: ARG002 - DRF's signature
        return AUTHENTICATE


class IsServerKey(BasePermission):
    """Allows server keys only: a snapshot or stream contains the rules, which stay private."""

    message = NEEDS_SERVER_KEY

    def has_permission(self, request: Request, view: Any) -> bool:  # noqa: ARG002 - DRF's signature
        return isinstance(request.auth, Key) and request.auth.reads_rules


class IsEdgeCredential(BasePermission):
    """Allows an edge's credential as it is: which environments it serves, and who may call it."""

    message = NEEDS_EDGE_CREDENTIAL

    def has_permission(self, request: Request, view: Any) -> bool:  # noqa: ARG002 - DRF's signature
        key = request.auth
        return isinstance(key, Key) and key.kind == "edge" and key.environment_id is None


class IsEnvironmentKey(BasePermission):
    """Allows server and client keys, which evaluate and send events for one environment."""

    message = NEEDS_ENVIRONMENT_KEY

    def has_permission(self, request: Request, view: Any) -> bool:  # noqa: ARG002 - DRF's signature
        return isinstance(request.user, Principal) and request.user.is_key


class MayEvaluate(BasePermission):
    """Allows an environment's keys, and service accounts, whose role the view checks."""

    message = NEEDS_ENVIRONMENT_KEY

    def has_permission(self, request: Request, view: Any) -> bool:  # noqa: ARG002 - DRF's signature
        return isinstance(request.user, Principal) and (request.user.is_key or request.user.is_service)
