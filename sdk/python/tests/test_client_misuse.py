"""What goes wrong around a client: keys with a newline, files that are not there, servers that refuse."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from openflagship import FlagShip
from openflagship.client.following.configuration import Configuration
from openflagship.client.following.synchroniser import Synchroniser
from openflagship.client.options import Options
from openflagship.client.transport import effects
from sdk_fixtures import FAST
from small_platform import KEY, SmallPlatform, eventually
from test_client_fork import wait_for

Connect = Callable[..., FlagShip]


def test_key__with_a_newline_at_its_end__is_taken_without(platform: SmallPlatform) -> None:
    with FlagShip(f"{KEY}\n", platform.url, **FAST) as client:
        assert client.is_enabled("asked", "user-1")


@pytest.mark.parametrize("key", ["fs_server_a\r\nX-Evil: 1", "fs_server_schlüssel", "fs_server_…"])
def test_key__that_is_none__is_refused_and_not_repeated(platform: SmallPlatform, key: str) -> None:
    with pytest.raises(ValueError, match="server key") as caught:
        FlagShip(key, platform.url)

    assert "fs_server" not in str(caught.value)


def test_instance__with_what_no_header_holds__connects_under_a_plainer_name(
    platform: SmallPlatform, connect: Connect
) -> None:
    client = connect(instance="büro\n1")
    assert client.is_enabled("asked", "user-1")
    eventually(lambda: platform.acknowledged)

    assert {said["instance"] for said in platform.acknowledged} == {"b?ro?1"} == {client.status().instance}


@pytest.mark.parametrize("content", [None, b"", b"<html>", b"{}", b"\xff\xfe"])
def test_bootstrap__file_that_is_no_snapshot__is_refused_at_once(
    platform: SmallPlatform, tmp_path: Path, content: bytes | None
) -> None:
    path = tmp_path / "flags.json"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ValueError, match="bootstrap"):
        FlagShip(KEY, platform.url, bootstrap=path)


def test_snapshot_path__cannot_be_written__costs_a_warning(
    platform: SmallPlatform, connect: Connect, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_text("")
    caplog.set_level(logging.WARNING, "openflagship")
    client = connect(snapshot_path=tmp_path / "file" / "flags.json")
    assert client.is_enabled("asked", "user-1")
    eventually(lambda: "could not be stored" in caplog.text)
    assert client.flush(60)

    assert len(platform.exposures()) == 1


@pytest.mark.parametrize(
    ("status", "connection"),
    [(401, "refused"), (403, "refused"), (404, "reconnecting"), (429, "reconnecting"), (500, "reconnecting")],
)
def test_server__refuses__is_said_and_left_behind_once_it_answers(
    platform: SmallPlatform, connect: Connect, status: int, connection: str
) -> None:
    platform.fail = {"/api/snapshot": status, "/api/stream": status, "/api/events/exposure": 503}
    client = connect(start_wait_seconds=0)
    eventually(lambda: (said := client.status()).connection == connection and str(status) in (said.error or ""))
    assert client.variation("asked", "user-1", "default") == "default"
    platform.fail = {}

    eventually(lambda: client.is_enabled("asked", "user-1"))


def test_server__says_retry_after__is_not_asked_before() -> None:
    options = Options(is_streaming=False, first_backoff_seconds=0.1, most_backoff_seconds=0.1)
    logic = asked_and_refused(options, b"HTTP/1.1 429 Too Many Requests\r\nRetry-After: 7\r\nContent-Length: 0\r\n\r\n")

    assert 6.9 < logic.seconds <= 7 * 1.25


def test_server__says_a_retry_after_of_days__is_asked_after_minutes() -> None:
    options = Options(is_streaming=False)
    logic = asked_and_refused(options, b"HTTP/1.1 503 Unavailable\r\nRetry-After: 999999\r\nContent-Length: 0\r\n\r\n")

    assert logic.seconds <= 600 * 1.25


def asked_and_refused(options: Options, answer: bytes) -> Any:
    """The pause that follows that answer to the first question."""
    run = Synchroniser(Configuration(120), "http://127.0.0.1:1", {}, options, changed=lambda: None).run()
    effect = next(run)
    while not isinstance(effect, effects.Pause):
        effect = run.send(
            "handle" if isinstance(effect, effects.Connect) else answer if isinstance(effect, effects.Read) else None
        )
    return effect


def running(client: FlagShip) -> bool:
    drivers = (client._following, client._sending)
    return any(driver is not None and driver.is_alive for driver in drivers)


def test_close__twice_at_once_and_use_after_it__answers_and_refuses_events_with_one_warning(
    platform: SmallPlatform, connect: Connect, caplog: pytest.LogCaptureFixture
) -> None:
    client = connect()
    closers = [threading.Thread(target=client.close) for _ in range(8)]
    for closer in closers:
        closer.start()
    for closer in closers:
        closer.join()
    assert client.status().connection == "closed"
    assert client.is_enabled("asked", "user-1")
    client.track("purchase", "user-1")
    client.track("purchase", "user-1")
    eventually(lambda: not running(client))

    assert client.status().events_pending == 0
    assert caplog.text.count("the client is closed") == 1


def test_close__in_a_listener__ends_the_client(platform: SmallPlatform, connect: Connect) -> None:
    client = connect()
    eventually(lambda: platform.stream_count == 1)
    client.on_change(lambda _: client.close())
    assert running(client)
    platform.archive("asked")
    eventually(lambda: not running(client))

    assert client.status().connection == "closed"


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_fork__of_a_fork__follows_and_sends_by_itself(platform: SmallPlatform, connect: Connect) -> None:
    client = connect(flush_seconds=3600)
    child = os.fork()
    if child == 0:
        code = 1
        try:
            client.is_enabled("asked", "child")
            grandchild = os.fork()
            if grandchild == 0:
                client.is_enabled("asked", "grandchild")
                os._exit(0 if client.flush(60) else 1)
            code = 0 if wait_for(grandchild) == 0 and client.flush(60) else 1
        finally:
            os._exit(code)

    assert wait_for(child) == 0
    assert sorted(event["userId"] for event in platform.exposures()) == ["child", "grandchild"]
