"""S3-compatible storage that the settings name. An object appears whole or not at all."""

import os
from collections.abc import Callable, Mapping
from datetime import timedelta
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar
from urllib.parse import urlsplit

from django.conf import settings

from integrations.outside.calls import ForbiddenAddressError, check
from integrations.outside.targets import BadTargetError

if TYPE_CHECKING:
    from obstore.store import ClientConfig, S3Store

_Answer = TypeVar("_Answer")
_REQUEST: Final = timedelta(seconds=120)
_CONNECTION: Final = timedelta(seconds=5)
_RETRIES: Final = timedelta(seconds=10)


class BucketError(Exception):
    """The storage did not take or give an object; the text says why."""


class Bucket:
    """`url` is `s3://bucket/prefix`, as the settings have it; the endpoint and the credentials are settings too.

    Without credentials there, those of the surroundings count: AWS_ACCESS_KEY_ID and so on, or the machine's role.
    """

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self.name: Final = f"{settings.S3_ENDPOINT} {url}"
        self._bucket, self._prefix = parts.netloc, parts.path.strip("/")

    def put(self, key: str, content: bytes | Path, *, content_type: str, about: Mapping[str, str]) -> str:
        """Write an object, in place of one of that name. `about` is kept beside it. Return its ETag.

        Raises BucketError.
        """
        import obstore  # noqa: PLC0415 - a megabyte that only an export needs

        attributes = {"Content-Type": content_type, "Cache-Control": "no-cache", **about}
        result = _asked(lambda: obstore.put(self._store(), self._path(key), content, attributes=attributes))
        return str(result["e_tag"] or "")

    def get(self, key: str) -> tuple[bytes, dict[str, str]]:
        """Return an object, and what is kept beside it, by lower-case names. Raises BucketError."""
        import obstore  # noqa: PLC0415 - likewise

        def read() -> tuple[bytes, dict[str, str]]:
            found = obstore.get(self._store(), self._path(key))
            return bytes(found.bytes()), {name.lower(): value for name, value in found.attributes.items()}

        return _asked(read)

    def listed(self, prefix: str = "") -> list[str]:
        """Return the keys of the objects below a prefix, in their order. Raises BucketError."""
        import obstore  # noqa: PLC0415 - likewise

        under = self._path(prefix)

        def read() -> list[str]:
            return sorted(row["path"] for rows in obstore.list(self._store(), under or None) for row in rows)

        start = len(self._prefix) + 1 if self._prefix else 0
        return [path[start:] for path in _asked(read)]

    def _path(self, key: str) -> str:
        return f"{self._prefix}/{key}".strip("/")

    def _store(self) -> "S3Store":
        try:
            if settings.S3_ENDPOINT:
                check(settings.S3_ENDPOINT, is_operators=True)
        except (BadTargetError, ForbiddenAddressError) as error:
            raise BucketError(f"S3_ENDPOINT: {error}") from error
        return _store_of(
            self._bucket,
            settings.S3_ENDPOINT,
            settings.S3_REGION,
            settings.S3_ACCESS_KEY_ID,
            settings.S3_SECRET_ACCESS_KEY,
            os.getpid(),
        )


@lru_cache(maxsize=4)
def _store_of(
    bucket: str, endpoint: str, region: str, access_key_id: str, secret_access_key: str, _pid: int
) -> "S3Store":
    """A pool of connections; each process has its own."""
    from obstore.store import S3Store  # noqa: PLC0415 - as above

    config: dict[str, Any] = {"region": region, "virtual_hosted_style_request": False}
    if endpoint:
        config["endpoint"] = endpoint
    if access_key_id:
        config |= {"access_key_id": access_key_id, "secret_access_key": secret_access_key}
    options: ClientConfig = {
        "timeout": _REQUEST,
        "connect_timeout": _CONNECTION,
        "allow_http": endpoint.startswith("http://"),
    }
    return S3Store(bucket, client_options=options, retry_config={"max_retries": 2, "retry_timeout": _RETRIES}, **config)


def _asked(ask: Callable[[], _Answer]) -> _Answer:
    """Raises BucketError."""
    from obstore.exceptions import BaseError  # noqa: PLC0415 - as above

    try:
        return ask()
    except (BaseError, OSError, ValueError) as error:
        # Its first line; what follows repeats the whole request.
        raise BucketError((str(error).strip().splitlines() or [type(error).__name__])[0][:500]) from error
