"""The caller's network address: the peer's, or the one that a trusted proxy reports."""

from collections.abc import Mapping
from functools import lru_cache
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from typing import Any

from django.conf import settings


def address_of(meta: Mapping[str, Any]) -> str:
    """Return the caller's address from a request's META or a WSGI environ.

    Each proxy appends the address of its own caller. So with one proxy the last entry is true, with two the last but
    one, and whatever stands before it may have been made up. From a peer that is no proxy the header says nothing.
    """
    peer = str(meta.get("REMOTE_ADDR", ""))
    forwarded = meta.get("HTTP_X_FORWARDED_FOR", "") if settings.TRUST_PROXY_HEADERS else ""
    if not forwarded or not is_proxy(peer):
        return peer
    entries = str(forwarded)[-1_000:].split(",")
    if len(entries) < settings.TRUSTED_PROXY_HOPS:
        return peer
    address = entries[-settings.TRUSTED_PROXY_HOPS].strip().strip("[]")
    return address if is_address(address) else peer


@lru_cache(maxsize=4_096)
def is_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True


@lru_cache(maxsize=4_096)
def is_proxy(address: str) -> bool:
    """Whether a proxy of ours may have this address."""
    if not is_address(address):
        return False
    parsed = ip_address(address)
    # A socket for both families shows an IPv4 peer as ::ffff:10.0.0.1.
    seen = getattr(parsed, "ipv4_mapped", None) or parsed
    return any(seen in network for network in _networks())


@lru_cache(maxsize=1)
def _networks() -> tuple[IPv4Network | IPv6Network, ...]:
    return tuple(ip_network(text) for text in settings.TRUSTED_PROXIES)
