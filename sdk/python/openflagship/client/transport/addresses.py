"""Where the stream is, and which server may be sent the credential.

The credential goes to three origins: the API's, that of `stream_url`, and the one that the API's own snapshot names. A
redirect leads to these alone.
"""

from __future__ import annotations

from typing import Final
from urllib.parse import urljoin, urlsplit

from openflagship.client.transport.effects import Endpoint

STREAM_HEADER: Final = "x-flagship-stream"
REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})


class StreamAddress:
    """Begins with what the options say. `note` takes what a snapshot's answer names."""

    def __init__(self, api: Endpoint, stream_url: str | None, proxy: str | None) -> None:
        """Raises ValueError for a `stream_url` that is no address."""
        self._api = api
        self._proxy = proxy
        self._given = None if stream_url is None else Endpoint.of(stream_url, proxy)
        self._named: Endpoint | None = None
        self._is_named_avoided = False

    def note(self, named: str | None) -> None:
        """Take the address that an answer of the API's names. One without TLS, behind an API with it, is none."""
        endpoint = None if not named else self._endpoint_of(named)
        if endpoint is not None and self._api.is_tls and not endpoint.is_tls:
            endpoint = None
        if endpoint != self._named:
            self._named, self._is_named_avoided = endpoint, False

    def current(self) -> Endpoint:
        if self._given is not None:
            return self._given
        return self._api if self._named is None or self._is_named_avoided else self._named

    def failed(self) -> None:
        """Turn from the named address to the API's own, or back: the name may be out of date."""
        self._is_named_avoided = not self._is_named_avoided

    def redirected(self, endpoint: Endpoint, path: str, location: str) -> tuple[Endpoint, str] | None:
        """Where `location` leads from there; None where the credential may not follow."""
        scheme = "https" if endpoint.is_tls else "http"
        try:
            parts = urlsplit(urljoin(f"{scheme}://{endpoint.authority}{endpoint.prefix}{path}", location))
        except ValueError:
            return None
        found = self._endpoint_of(f"{parts.scheme}://{parts.netloc}")
        known = {one.origin for one in (self._api, self._given, self._named) if one is not None}
        if found is None or found.origin not in known or (endpoint.is_tls and not found.is_tls):
            return None
        return found, (parts.path or "/") + (f"?{parts.query}" if parts.query else "")

    def _endpoint_of(self, url: str) -> Endpoint | None:
        try:
            return Endpoint.of(url, self._proxy)
        except ValueError:
            return None
