"""A snapshot that the platform published in object storage: where a client begins while nobody else answers."""

from __future__ import annotations

import ssl
from urllib.parse import urlsplit, urlunsplit

from openflagship.client.transport.effects import Endpoint
from openflagship.client.transport.http import Response, request
from openflagship.client.transport.proxies import is_local
from openflagship.client.transport.threads import perform

# A start waits for it, so it has little time.
SECONDS = 5.0


class PublishedSnapshot:
    """Read over HTTP, as a `SnapshotStore` is. Nothing is written: the platform does that."""

    def __init__(self, url: str, tls: ssl.SSLContext | None, proxy: str | None, *, is_signed: bool) -> None:
        """Raises ValueError for what is no address of an object, or one of which anybody on the way may alter it."""
        parts = urlsplit(url)
        if not parts.path.strip("/") or parts.fragment:
            raise ValueError(
                "snapshot_url must name an object, as https://bucket.example.com/acme/web/production.json."
            )
        if parts.scheme == "http" and not is_signed and not is_local(parts.hostname or ""):
            raise ValueError("snapshot_url: use https://, or give signing_secret; plain HTTP can be altered.")
        self._endpoint = Endpoint.of(urlunsplit((parts.scheme, parts.netloc, "", "", "")), proxy)
        # A signed address has its signature in the query.
        self._path = parts.path + (f"?{parts.query}" if parts.query else "")
        self._tls = tls

    def load(self) -> tuple[bytes, float] | None:
        """Its own words say how old it is. None where there is none. Raises OSError."""
        response: Response = perform(
            request(
                self._endpoint,
                "GET",
                self._path,
                {"Accept-Encoding": "gzip"},
                timeout_seconds=SECONDS,
                answer_seconds=SECONDS,
            ),
            self._tls,
        )
        if response.status == 404:
            return None
        if response.status != 200:
            raise OSError(f"the object storage answered {response.status}")
        return response.body, 0.0

    def save(self, body: bytes, version: int) -> None:
        """Do nothing: it is the platform's."""
