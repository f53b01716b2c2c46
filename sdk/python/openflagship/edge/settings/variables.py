"""The variables of an edge one by one. What is refused is refused by its name, and secrets are not repeated."""

from __future__ import annotations

import json
import os
import ssl
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Final
from urllib.parse import urlsplit

from openflagship.client.snapshots.stores import RedisStore, SnapshotStore
from openflagship.client.transport.effects import Endpoint

# More is no number that anybody means.
_MOST_DIGITS: Final = 15
_ADDRESS: Final = "give an address such as https://flags.example.com:8443, with no more behind it than a path."
_PORTS: Final = {"http": 80, "https": 443}
_CERTIFICATE: Final = "FLAGSHIP_EDGE_TLS_CERTIFICATE"
_KEY: Final = "FLAGSHIP_EDGE_TLS_KEY"


@contextmanager
def naming(variable: str) -> Iterator[None]:
    """Raises ValueError with the variable's name before what was wrong."""
    try:
        yield
    except ValueError as error:
        raise ValueError(f"{variable}: {error}") from error


def is_on(environ: Mapping[str, str], name: str) -> bool:
    text = environ.get(name) or "0"
    if text not in {"0", "1"}:
        raise ValueError(f"{name}: give 1, or 0 for off.")
    return text == "1"


def number(environ: Mapping[str, str], name: str, what: str) -> int:
    text = environ.get(name) or "0"
    if not (text.isascii() and text.isdigit() and len(text) <= _MOST_DIGITS):
        raise ValueError(f"{name}: give {what}, or 0 for the default.")
    return int(text)


def port(text: str, name: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= _MOST_DIGITS and int(text) <= 65_535):
        raise ValueError(f"{name}: give a port's number, from 0 to 65535; 0 for any that is free.")
    return int(text)


def address(environ: Mapping[str, str], name: str) -> str:
    """A server's address; empty where there is none."""
    text = environ.get(name, "").strip()
    if not text:
        return ""
    try:
        Endpoint.of(text)
    except ValueError as error:
        # Not the address itself: it may hold a password.
        raise ValueError(f"{name}: {_ADDRESS}") from error
    if "?" in text or "#" in text:
        raise ValueError(f"{name}: {_ADDRESS}")
    return text


def origins(text: str) -> tuple[str, ...]:
    """By commas, as browsers send them: `https://shop.example.com`, or `*`."""
    found = tuple(origin for one in text.split(",") if (origin := one.strip()))
    with naming("FLAGSHIP_EDGE_ORIGINS"):
        for origin in found:
            meant = "*" if origin == "*" else _origin_of(origin)
            if origin != meant:
                raise ValueError(f"{origin!r} is {meant!r} to a browser; write that.")
    return found


def _origin_of(text: str) -> str:
    parts = urlsplit(text)
    if not parts.hostname or not parts.scheme or "*" in parts.netloc:
        raise ValueError(f"{text!r} is no origin; give such as https://shop.example.com, or * for any.")
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    is_plain = parts.port is None or parts.port == _PORTS.get(parts.scheme)
    return f"{parts.scheme}://{host}" + ("" if is_plain else f":{parts.port}")


def signing_secrets(text: str) -> Mapping[str, str]:
    """`{"web/production": "fs_sign_…"}`."""
    try:
        found = json.loads(text) if text.strip() else {}
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict) or not all(
        "/" in name and isinstance(secret, str) and secret.strip() for name, secret in found.items()
    ):
        raise ValueError('FLAGSHIP_EDGE_SIGNING_SECRETS: give {"<project>/<environment>": "fs_sign_…"}.')
    return found


def redis_stores(url: str) -> Callable[[str], SnapshotStore]:
    try:
        import redis  # noqa: PLC0415 - only where it is asked for
    except ImportError as error:
        raise ValueError(
            "FLAGSHIP_EDGE_REDIS_URL needs the package redis: pip install './sdk/python[redis]' in a checkout."
        ) from error
    with naming("FLAGSHIP_EDGE_REDIS_URL"):
        client = redis.Redis.from_url(url, socket_timeout=5.0, socket_connect_timeout=5.0)
    return lambda name: RedisStore(client, f"openflagship:edge:{name}")


def tls_files(environ: Mapping[str, str]) -> dict[str, str]:
    """Certificate and key that callers are answered with, as uvicorn takes them; empty without TLS."""
    certificate, key = environ.get(_CERTIFICATE) or None, environ.get(_KEY) or None
    if key and not certificate:
        raise ValueError(f"{_KEY} needs {_CERTIFICATE} beside it.")
    if certificate is None:
        return {}
    for name, path in ((_CERTIFICATE, certificate), (_KEY, key)):
        if path is not None and not os.path.isfile(path):
            raise ValueError(f"{name}: there is no file {path}.")
    check_certificate(certificate, key)
    return {"ssl_certfile": certificate, **({"ssl_keyfile": key} if key else {})}


def check_certificate(certificate: str, key: str | None) -> None:
    """Raises ValueError naming the variable, for files that nobody can be answered with."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with naming(_CERTIFICATE):
        check_authorities(certificate)
    try:
        # A key under a password would ask for it at the terminal.
        context.load_cert_chain(certificate, key, password=_no_password)
    except (OSError, ValueError) as error:
        name = _CERTIFICATE if key is None else _KEY
        raise ValueError(
            f"{name}: {key or certificate} holds no key of the certificate in PEM without a password: {error}"
        ) from error


def check_authorities(path: str) -> None:
    """Raises ValueError for a file without certificates in PEM."""
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cafile=path)
    except OSError as error:
        raise ValueError(f"{path} holds no certificate in PEM: {error}") from error


def _no_password() -> str:
    raise ValueError("it is under a password")
