"""Whose request it is, by network address: the peer's, or behind a trusted proxy what the proxy says."""

from collections.abc import Mapping
from typing import Any

from django.conf import settings


def address_of(meta: Mapping[str, Any]) -> str:
    """Return the caller's address from a request's META or a WSGI environ.

    A proxy appends, so only the last entry is its word; the others are the caller's.
    """
    if settings.TRUST_PROXY_HEADERS:
        forwarded = meta.get("HTTP_X_FORWARDED_FOR", "")
        if forwarded:
            return str(forwarded.rsplit(",", 1)[-1].strip())
    return str(meta.get("REMOTE_ADDR", ""))
