"""JWTs for service accounts. They are signed here, last one hour, and end when the secret behind them is revoked."""

import hashlib
import time
from dataclasses import dataclass

import jwt
from django.conf import settings

from tenancy.authentication.keyring import KEYRING, Key

LIFETIME_SECONDS = 3600
_ALGORITHM = "HS256"
_ISSUER = "flagship"


@dataclass(frozen=True, slots=True)
class IssuedToken:
    """A token and how long it is valid."""

    text: str
    expires_in_seconds: int


def issue(key: Key) -> IssuedToken:
    """Make a token for the holder of a service account's secret."""
    now = int(time.time())
    lifetime = LIFETIME_SECONDS if key.expires_at is None else max(0, min(LIFETIME_SECONDS, int(key.expires_at) - now))
    claims = {
        "iss": _ISSUER,
        "sub": str(key.user_id),
        "org": key.organization_slug,
        "key": key.prefix,
        "iat": now,
        "exp": now + lifetime,
    }
    return IssuedToken(jwt.encode(claims, _signing_key(), algorithm=_ALGORITHM), lifetime)


def looks_like_one(text: str) -> bool:
    return text.count(".") == 2


def find(text: str) -> Key | None:
    """Return the key behind a token; None when the token is forged or expired, or the key is no longer live."""
    try:
        claims = jwt.decode(
            text,
            _signing_key(),
            algorithms=[_ALGORITHM],
            issuer=_ISSUER,
            options={"require": ["exp", "iat", "sub", "key"]},
        )
    except jwt.InvalidTokenError:
        return None
    if not isinstance(claims["key"], str):
        return None
    key = KEYRING.find_prefix(claims["key"])
    if key is None and KEYRING.has_news():
        key = KEYRING.find_prefix(claims["key"])
    return key if key is not None and str(key.user_id) == claims["sub"] else None


def _signing_key() -> bytes:
    # A derived key: a token is not valid as anything else that Django signs, and the other way round.
    return hashlib.sha256(b"flagship.jwt:" + settings.SECRET_KEY.encode()).digest()
