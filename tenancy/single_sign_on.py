"""Sign-on by OpenID Connect: mozilla-django-oidc's flow (state, nonce, PKCE), more checks, and our roles."""

from functools import lru_cache
from typing import Any

import jwt
import requests
import structlog
from django.conf import settings
from django.core.exceptions import SuspiciousOperation
from django.http import HttpRequest
from mozilla_django_oidc.auth import OIDCAuthenticationBackend

from tenancy.models import User
from tenancy.services.sign_on import sign_on

_log = structlog.get_logger(__name__)
_DISCOVERED = {
    "OIDC_OP_AUTHORIZATION_ENDPOINT": "authorization_endpoint",
    "OIDC_OP_TOKEN_ENDPOINT": "token_endpoint",
    "OIDC_OP_USER_ENDPOINT": "userinfo_endpoint",
    "OIDC_OP_JWKS_ENDPOINT": "jwks_uri",
}


@lru_cache(maxsize=4)
def discover(issuer: str) -> dict[str, Any]:
    """Ask once for the provider's description. Raises requests.RequestException or SuspiciousOperation."""
    answer = requests.get(f"{issuer}/.well-known/openid-configuration", timeout=settings.OIDC_TIMEOUT)
    answer.raise_for_status()
    found: dict[str, Any] = answer.json()
    if str(found.get("issuer", "")).rstrip("/") != issuer:
        raise SuspiciousOperation(f"{issuer} calls itself {found.get('issuer')}.")
    return found


def oidc_setting(attr: str, *args: Any) -> Any:
    """Return a setting of mozilla-django-oidc. The provider's description gives endpoints, our settings the rest."""
    if attr in _DISCOVERED:
        return discover(settings.OIDC_ISSUER)[_DISCOVERED[attr]]
    return getattr(settings, attr, *args)


class SingleSignOnBackend(OIDCAuthenticationBackend):
    """Refuses and logs each sign-on that fails a check. The login page says only that it failed."""

    def __init__(self) -> None:
        # The library asks for endpoints here, and Django makes a backend for every session it reads. So they are asked
        # for at a sign-on.
        self.UserModel = User

    @staticmethod
    def get_settings(attr: str, *args: Any) -> Any:
        return oidc_setting(attr, *args)

    def authenticate(self, request: HttpRequest | None, **kwargs: Any) -> User | None:
        # Without the nonce that the callback took from the session, this is no single sign-on. It may be a password.
        if request is None or not settings.OIDC_ISSUER or not kwargs.get("nonce"):
            return None
        try:
            super().__init__()
            found: User | None = super().authenticate(request, **kwargs)
        except (requests.RequestException, jwt.PyJWTError, SuspiciousOperation, KeyError) as error:
            # The library puts the provider's whole answer into its error.
            _log.warning("single_sign_on_failed", problem=str(error)[:300])
            return None
        return found

    def retrieve_matching_jwk(self, token: str) -> jwt.PyJWK:
        """Return the key that the token names, or the only key. The library fails on a token that names none."""
        answer = requests.get(self.OIDC_OP_JWKS_ENDPOINT, timeout=settings.OIDC_TIMEOUT)
        answer.raise_for_status()
        keys = [key for key in jwt.PyJWKSet.from_dict(answer.json()).keys if key.public_key_use in {None, "sig"}]
        name = jwt.get_unverified_header(token).get("kid")
        fitting = keys if name is None else [key for key in keys if key.key_id == name]
        if len(fitting) != 1:
            raise SuspiciousOperation("The provider has no such key.")
        return fitting[0]

    def verify_token(self, token: str, **kwargs: Any) -> dict[str, Any]:
        payload: dict[str, Any] = super().verify_token(token, **kwargs)
        audience = payload.get("aud", [])
        if settings.OIDC_RP_CLIENT_ID not in ([audience] if isinstance(audience, str) else audience):
            raise SuspiciousOperation("The token is meant for somebody else.")
        if str(payload.get("iss", "")).rstrip("/") != settings.OIDC_ISSUER:
            raise SuspiciousOperation("The token comes from somebody else.")
        if "exp" not in payload:
            raise SuspiciousOperation("The token never expires.")
        return payload

    def get_or_create_user(self, access_token: str, id_token: str, payload: dict[str, Any]) -> User | None:
        info = self.get_userinfo(access_token, id_token, payload)
        if info.get("sub") != payload["sub"]:
            raise SuspiciousOperation("The user's details are somebody else's.")
        claims = {**payload, **info}
        groups = claims.get(settings.OIDC_GROUPS_CLAIM) or []
        user = sign_on(
            subject=f"{settings.OIDC_ISSUER} {claims['sub']}",
            username=str(claims.get("preferred_username") or claims.get("email") or claims["sub"]),
            email=str(claims.get("email") or ""),
            groups=[groups] if isinstance(groups, str) else groups,
            mapping=settings.OIDC_GROUP_ROLES,
        )
        if user is None:
            _log.warning("single_sign_on_without_a_role", subject=claims["sub"], groups=groups)
        return user

    def get_user(self, user_id: int) -> User | None:
        return User.objects.filter(pk=user_id, is_active=True, service_of__isnull=True).first()
