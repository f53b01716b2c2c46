"""A cookie by which a browser is known that has signed in before: others' wrong attempts do not lock it out."""

import secrets
from collections.abc import Mapping
from typing import Any, Final

from django.conf import settings
from django.core import signing
from django.http.response import HttpResponseBase

COOKIE: Final = "flagship_device"
# The key in `request.META` under which the name is left that has just signed in.
SIGNED_IN: Final = "flagship.signed_in"
KNOWN_SECONDS: Final = 90 * 86_400
_SALT: Final = "flagship.device"


def device_of(cookies: Mapping[str, str], name: str) -> str | None:
    """The id of a browser that has signed in with this (normalised) name before; None for any other."""
    try:
        found: Any = signing.loads(cookies.get(COOKIE, ""), salt=_SALT, max_age=KNOWN_SECONDS)
    except signing.BadSignature:
        return None
    return str(found["device"]) if found.get("name") == name else None


def remember(response: HttpResponseBase, name: str) -> None:
    """Let the browser be known as one that signs in with this (normalised) name."""
    value = signing.dumps({"name": name, "device": secrets.token_hex(8)}, salt=_SALT)
    response.set_cookie(
        COOKIE,
        value,
        max_age=KNOWN_SECONDS,
        httponly=True,
        secure=settings.SESSION_COOKIE_SECURE,
        samesite="Lax",
        path="/admin/",
    )
