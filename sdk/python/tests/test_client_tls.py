"""Over TLS: a certificate of one's own authority is trusted where it is named, and nothing else is."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Callable

from openflagship import AsyncFlagShip, FlagShip
from sdk_fixtures import CERTIFICATE, FAST, treatment
from small_platform import KEY, SmallPlatform, eventually

Connect = Callable[..., FlagShip]


def test_tls__authority_named__follows_sends_and_comes_back(secure: SmallPlatform, connect: Connect) -> None:
    client = connect(url=secure.url, ca_file=str(CERTIFICATE))
    assert client.is_enabled("asked", "user-1")
    eventually(lambda: client.status().connection == "streaming")
    secure.change(treatment(enabled=False))
    eventually(lambda: not client.is_enabled("asked", "user-1"))
    assert client.flush(60)
    secure.stop()
    secure.change(treatment())
    secure.start()
    eventually(lambda: client.is_enabled("asked", "user-1"))

    assert {event["userId"] for event in secure.exposures()} == {"user-1"}


def test_tls__asyncio_client__follows_and_sends(secure: SmallPlatform) -> None:
    async def scenario() -> None:
        async with AsyncFlagShip(KEY, secure.url, ca_file=str(CERTIFICATE), **FAST) as client:
            assert client.is_enabled("asked", "user-1")
            assert await client.flush(60)

    asyncio.run(asyncio.wait_for(scenario(), 120))
    assert len(secure.exposures()) == 1


def test_tls__certificate_of_nobody_known__is_refused_and_said(secure: SmallPlatform, connect: Connect) -> None:
    client = connect(url=secure.url, start_wait_seconds=0, close_wait_seconds=0.05)
    eventually(lambda: "certificate verify failed" in (client.status().error or "").lower())

    assert not client.status().is_ready
    assert secure.asked == []


def test_tls__another_host_than_the_certificates__is_refused(secure: SmallPlatform, connect: Connect) -> None:
    url = secure.url.replace("127.0.0.1", "localhost")
    client = connect(url=url, ca_file=str(CERTIFICATE), start_wait_seconds=0, close_wait_seconds=0.05)
    eventually(lambda: "certificate verify failed" in (client.status().error or "").lower())

    assert secure.asked == []


def test_tls__closed_during_the_handshake_of_a_silent_peer__leaves_no_thread(connect: Connect) -> None:
    before = set(threading.enumerate())
    with socket.create_server(("127.0.0.1", 0)) as silent:
        client = connect(url=f"https://127.0.0.1:{silent.getsockname()[1]}", start_wait_seconds=0)
        peer, _ = silent.accept()
        with peer:
            # The handshake has begun.
            assert peer.recv(1)
            client.close()
            left = [thread for thread in set(threading.enumerate()) - before if thread.name.startswith("openflagship")]

    assert left == []
