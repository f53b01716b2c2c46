"""Behind an HTTP proxy: snapshot, stream, acknowledgement and events go through it, plain and in a tunnel."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator

import pytest
from openflagship import AsyncFlagShip, FlagShip
from openflagship.client.transport.effects import Endpoint
from openflagship.client.transport.proxies import Proxy
from sdk_fixtures import CERTIFICATE, FAST, treatment
from small_platform import KEY, SmallPlatform, eventually
from small_proxy import SmallProxy

Connect = Callable[..., FlagShip]
# The proxy alone knows where that is.
NAME = "flags.shop.test"
ROUTES = {"/api/snapshot", "/api/stream", "/api/stream/ack", "/api/events/exposure"}


@pytest.fixture(autouse=True)
def _bare(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the proxies of whoever runs the tests."""
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy", "REQUEST_METHOD"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.fixture
def proxy() -> Iterator[SmallProxy]:
    small = SmallProxy({NAME: "127.0.0.1"})
    yield small
    small.close()


def by_name(platform: SmallPlatform) -> str:
    return f"http://{NAME}:{platform.port}"


def goes_round(client: FlagShip, platform: SmallPlatform) -> None:
    """Snapshot, stream, events and acknowledgements all arrive."""
    assert client.is_enabled("asked", "user-1")
    eventually(lambda: client.status().connection == "streaming")
    platform.change(treatment(enabled=False))
    eventually(lambda: not client.is_enabled("asked", "user-1"))
    assert client.flush(60)
    eventually(lambda: any(said["version"] == platform.version for said in platform.acknowledged))
    assert {event["userId"] for event in platform.exposures()} == {"user-1"}


def test_proxy__of_the_environment__carries_everything(
    platform: SmallPlatform, proxy: SmallProxy, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", f"http://{proxy.address}")
    goes_round(connect(url=by_name(platform)), platform)

    assert proxy.paths() == ROUTES


def test_proxy__set_with_a_password__alone_is_told_it(platform: SmallPlatform, connect: Connect) -> None:
    proxy = SmallProxy({NAME: "127.0.0.1"}, user="shop:p@ss")
    try:
        goes_round(connect(url=by_name(platform), proxy=f"http://shop:p%40ss@{proxy.address}"), platform)
    finally:
        proxy.close()

    assert proxy.paths() == ROUTES
    assert all("proxy-authorization" not in headers for _, _, headers in platform.asked)


def test_proxy__tls__goes_through_a_tunnel(secure: SmallPlatform, proxy: SmallProxy, connect: Connect) -> None:
    goes_round(connect(url=secure.url, proxy=proxy.address, ca_file=str(CERTIFICATE)), secure)

    assert set(proxy.seen) == {("CONNECT", f"127.0.0.1:{secure.port}")}


def test_proxy__asyncio_client__goes_through_plain_and_in_a_tunnel(
    platform: SmallPlatform, secure: SmallPlatform, proxy: SmallProxy
) -> None:
    async def scenario(url: str, at: SmallPlatform) -> None:
        async with AsyncFlagShip(KEY, url, proxy=proxy.address, ca_file=str(CERTIFICATE), **FAST) as client:
            assert client.is_enabled("asked", "user-1")
            await asyncio.to_thread(eventually, lambda: at.stream_count == 1)
            at.change(treatment(enabled=False))
            await asyncio.to_thread(eventually, lambda: not client.is_enabled("asked", "user-1"))
            assert await client.flush(60)

    for url, at in ((by_name(platform), platform), (secure.url, secure)):
        asyncio.run(asyncio.wait_for(scenario(url, at), 180))
        assert {event["userId"] for event in at.exposures()} == {"user-1"}

    assert proxy.paths() >= ROUTES - {"/api/stream/ack"}
    assert ("CONNECT", f"127.0.0.1:{secure.port}") in proxy.seen


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_proxy__refuses__is_said_without_the_password(
    secure: SmallPlatform, platform: SmallPlatform, connect: Connect, scheme: str
) -> None:
    proxy = SmallProxy(user="shop:right")
    url = platform.url if scheme == "http" else secure.url
    try:
        client = connect(url=url, proxy=f"http://shop:wrong@{proxy.address}", start_wait_seconds=0)
        eventually(lambda: "407" in (client.status().error or ""))
    finally:
        proxy.close()

    assert "wrong" not in f"{client.status()}{Proxy.of('http://shop:wrong@proxy')}"
    assert platform.asked == secure.asked == []


@pytest.mark.parametrize(
    ("url", "variables", "setting", "expected"),
    [
        ("https://flags.shop.test", {"HTTPS_PROXY": "http://p:3128"}, None, ("p", 3128)),
        ("https://flags.shop.test", {"https_proxy": "p:3128"}, None, ("p", 3128)),
        ("https://flags.shop.test", {"ALL_PROXY": "http://p"}, None, ("p", 80)),
        ("https://flags.shop.test", {"HTTP_PROXY": "http://p"}, None, None),
        ("http://flags.shop.test", {"HTTPS_PROXY": "http://p"}, None, None),
        ("https://flags.shop.test", {"HTTPS_PROXY": "http://p", "NO_PROXY": "a.test, .shop.test"}, None, None),
        ("https://flags.shop.test", {"HTTPS_PROXY": "http://p", "NO_PROXY": "shop.test"}, None, None),
        ("https://flags.shop.test:8443", {"HTTPS_PROXY": "http://p", "NO_PROXY": "flags.shop.test:8443"}, None, None),
        ("https://myshop.test", {"HTTPS_PROXY": "http://p", "NO_PROXY": "shop.test"}, None, ("p", 80)),
        ("https://flags.shop.test", {"HTTPS_PROXY": "http://p", "NO_PROXY": "*"}, None, None),
        ("http://127.0.0.1:8000", {"HTTP_PROXY": "http://p"}, None, None),
        ("http://[::1]:8000", {"HTTP_PROXY": "http://p"}, None, None),
        ("http://localhost", {"HTTP_PROXY": "http://p"}, None, None),
        ("http://127.0.0.1:8000", {"NO_PROXY": "*"}, "http://q:1", ("q", 1)),
        ("https://flags.shop.test", {"HTTPS_PROXY": "http://p"}, "", None),
        ("https://flags.shop.test", {"HTTPS_PROXY": "socks5://p"}, None, None),
        ("http://flags.shop.test", {"HTTP_PROXY": "http://visitor", "REQUEST_METHOD": "GET"}, None, None),
    ],
)
def test_proxy__by_setting_and_environment__is_the_one_that_is_meant(
    monkeypatch: pytest.MonkeyPatch,
    url: str,
    variables: dict[str, str],
    setting: str | None,
    expected: tuple[str, int] | None,
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    found = Endpoint.of(url, setting).proxy

    assert (found and (found.host, found.port)) == expected


def test_proxy__setting_that_is_none__is_refused_without_its_password() -> None:
    with pytest.raises(ValueError, match=r"proxy\.example\.com") as caught:
        FlagShip(KEY, "https://flags.shop.test", proxy="socks5://shop:secret@p")

    assert "secret" not in str(caught.value)
