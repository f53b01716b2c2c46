"""What pages of other origins may do: evaluate and send events, without cookies."""

from __future__ import annotations

import re
from typing import Final

# The paths that answer to other origins; the server's CORS settings say the same.
PATHS: Final = r"^(/(ofrep/v1|api|v1))?/((flags/)?evaluate(/|$)|events/)"
ALLOW_METHODS: Final = ("POST", "OPTIONS")
ALLOW_HEADERS: Final = ("authorization", "content-type", "if-none-match", "x-api-key", "x-request-id")
EXPOSE_HEADERS: Final = ("etag", "retry-after", "x-request-id")
MAX_AGE_SECONDS: Final = 86_400

_PATHS: Final = re.compile(PATHS)
_VARY: Final = (b"vary", b"origin")
_PREFLIGHT: Final = (
    (b"access-control-allow-headers", ", ".join(ALLOW_HEADERS).encode()),
    (b"access-control-allow-methods", ", ".join(ALLOW_METHODS).encode()),
    (b"access-control-max-age", b"%d" % MAX_AGE_SECONDS),
)
_EXPOSED: Final = (b"access-control-expose-headers", ", ".join(EXPOSE_HEADERS).encode())


class CrossOrigin:
    """The CORS headers for the origins that may ask; `*` stands for any."""

    def __init__(self, origins: tuple[str, ...]) -> None:
        self._origins = frozenset(origin.encode() for origin in origins)

    def headers(self, path: str, origin: bytes | None) -> tuple[tuple[bytes, bytes], ...]:
        """What an answer to this origin carries; nothing for a request that names none."""
        if origin is None or not _PATHS.match(path):
            return ()
        allowed = self.allow(origin)
        return (*allowed, _EXPOSED, _VARY) if allowed else (_VARY,)

    def allow(self, origin: bytes | None) -> tuple[tuple[bytes, bytes], ...]:
        """The header that lets this origin read the answer, if it may."""
        if b"*" in self._origins:
            return ((b"access-control-allow-origin", b"*"),)
        if origin is not None and origin in self._origins:
            return ((b"access-control-allow-origin", origin),)
        return ()

    def preflight(self, path: str, origin: bytes | None) -> tuple[tuple[bytes, bytes], ...] | None:
        """What the answer to a preflight request says beside `headers`; None where other origins may not ask."""
        if not _PATHS.match(path):
            return None
        return _PREFLIGHT if origin is not None and self.allow(origin) else ()
