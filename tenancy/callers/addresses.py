"""The caller's network address: the peer's, or the one that a trusted proxy reports."""

from collections.abc import Mapping
from typing import Any

from django.conf import settings


def address_of(meta: Mapping[str, Any]) -> str:
    """Return the caller's address from a request's META or a WSGI environ.

    A proxy appends its entry, so only the last one can be trusted; the caller may have sent the others.
    """
    if settings.TRUST_PROXY_HEADERS:
        forwarded = meta.get("HTTP_X_FORWARDED_FOR", "")
        if forwarded:
            return str(forwarded.rsplit(",", 1)[-1].strip())
    return str(meta.get("REMOTE_ADDR", ""))
