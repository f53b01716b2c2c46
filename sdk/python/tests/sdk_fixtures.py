"""Makes platforms and clients for the SDK's tests, and closes them when a test is over."""

from __future__ import annotations

import ssl
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from documents import flag
from openflagship import FlagShip
from small_platform import KEY, SmallPlatform

# A certificate for 127.0.0.1 that signs itself, valid until 2126, and its key, which so protects nothing:
# openssl req -x509 -newkey rsa:2048 -nodes -days 36500 -addext subjectAltName=IP:127.0.0.1
CERTIFICATE = Path(__file__).parent / "data" / "tls.pem"
# What waits for the platform waits long, for a busy machine; where there is none, a test says how long it waits.
FAST = {
    "first_backoff_seconds": 0.02,
    "most_backoff_seconds": 0.05,
    "most_refused_seconds": 0.1,
    "flush_seconds": 0.05,
    "start_wait_seconds": 60.0,
    "close_wait_seconds": 60.0,
    "connect_seconds": 60.0,
    "breaker_seconds": 0.1,
}


def treatment(key: str = "asked", **changes: Any) -> dict[str, Any]:
    """A boolean flag that gives everybody true."""
    return flag(**{"key": key, "allocation": [[0, 10_000, "treatment"]], **changes})


@pytest.fixture
def platform() -> Iterator[SmallPlatform]:
    """One that serves the flag `asked`, true for everybody."""
    small = SmallPlatform(treatment())
    yield small
    small.close()


@pytest.fixture
def secure() -> Iterator[SmallPlatform]:
    """The same over TLS, with `CERTIFICATE`."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(CERTIFICATE)
    platform = SmallPlatform(treatment(), tls=context)
    yield platform
    platform.close()


@pytest.fixture
def connect(platform: SmallPlatform) -> Iterator[Callable[..., FlagShip]]:
    """Make clients of the platform, with short times."""
    clients: list[FlagShip] = []

    def _connect(**settings: Any) -> FlagShip:
        clients.append(FlagShip(KEY, settings.pop("url", platform.url), **{**FAST, **settings}))
        return clients[-1]

    yield _connect
    for client in clients:
        client.close()
