"""The HTTP proxy to a server: from the options, or from HTTPS_PROXY, HTTP_PROXY and NO_PROXY."""

from __future__ import annotations

import ipaddress
import logging
from base64 import b64encode
from dataclasses import dataclass, field
from urllib.parse import unquote, urlsplit
from urllib.request import (  # type: ignore[attr-defined]  # typeshed lacks the second, every Python has it
    getproxies_environment,
    proxy_bypass_environment,
)

log = logging.getLogger("openflagship")


@dataclass(frozen=True, slots=True)
class Proxy:
    """`authorization` is the value of the header; None for a proxy that asks for none."""

    host: str
    port: int
    authorization: str | None = field(default=None, repr=False)

    @classmethod
    def of(cls, url: str) -> Proxy:
        """Raises ValueError for an address that is not a plain http proxy's."""
        parts = urlsplit(url if "://" in url else f"http://{url}")
        if parts.scheme != "http" or not parts.hostname:
            # Not the address itself: it may hold a password.
            raise ValueError("Give a proxy's address such as http://proxy.example.com:3128.")
        authorization = None
        if parts.username is not None:
            pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
            authorization = f"Basic {b64encode(pair.encode()).decode()}"
        return cls(parts.hostname, parts.port or 80, authorization)


def proxy_for(scheme: str, host: str, port: int, setting: str | None) -> Proxy | None:
    """None where the server is reached directly. Raises ValueError for a setting that is no proxy's address.

    `setting` goes before the environment; empty, it stands for no proxy at all. As with other clients, the
    environment's proxies are not asked for this machine's own addresses.
    """
    if setting is not None:
        return Proxy.of(setting) if setting else None
    # It knows CGI's trap too, in which HTTP_PROXY is a header that a visitor sent.
    found = getproxies_environment()
    url = found.get(scheme) or found.get("all")
    if not url or is_local(host) or proxy_bypass_environment(f"{host}:{port}", found):
        return None
    try:
        return Proxy.of(url)
    except ValueError:
        log.warning("the proxy that the environment names for %s is none that can be used; going without", scheme)
        return None


def is_local(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower().rstrip(".") == "localhost"
