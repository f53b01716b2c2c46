"""The examples run: each service answers by the platform's flags, over the way people would call it."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest
from sdk_fixtures import treatment
from small_platform import KEY, SmallPlatform, eventually, free_port
from test_client_servers import ask

EXAMPLES = Path(__file__).resolve().parents[3] / "docs" / "examples"


@pytest.fixture
def shop(monkeypatch: pytest.MonkeyPatch) -> Iterator[SmallPlatform]:
    platform = SmallPlatform(treatment("new-checkout"))
    monkeypatch.setenv("FLAGSHIP_URL", platform.url)
    monkeypatch.setenv("FLAGSHIP_SERVER_KEY", KEY)
    monkeypatch.delenv("FLAGSHIP_STREAM_URL", raising=False)
    yield platform
    platform.close()


def load(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, EXAMPLES / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_flask_example__checkout_and_purchase__use_the_flag(shop: SmallPlatform) -> None:
    module = load("flask_shop")
    client = module.app.test_client()

    assert module.flags.wait_until_ready(60)
    assert client.get("/checkout?user=u1").json == {"checkout": "new", "reason": "ROLLOUT"}
    assert client.post("/purchase", json={"user": "u1", "total": 9}).status_code == 204
    assert module.flags.flush(60)
    module.flags.close()
    assert len(shop.events) == 2


def test_fastapi_example__checkout_and_purchase__use_the_flag(shop: SmallPlatform) -> None:
    port = free_port()
    # The example as it stands, but that it waits longer for a busy machine and sends sooner than in 10 s.
    script = (
        "import functools, openflagship, uvicorn; from openflagship import AsyncFlagShip; "
        "openflagship.AsyncFlagShip = functools.partial(AsyncFlagShip, start_wait_seconds=60, flush_seconds=0.2); "
        f"uvicorn.run('fastapi_shop:app', port={port}, log_level='warning')"
    )
    server = subprocess.Popen([sys.executable, "-c", script], cwd=EXAMPLES)
    try:
        expected = {"checkout": "new", "reason": "ROLLOUT"}
        eventually(lambda: ask(f"http://127.0.0.1:{port}", "checkout?user=u1") == expected)
        bought = urllib.request.Request(f"http://127.0.0.1:{port}/purchase?user=u1&total=9", b"", method="POST")
        with urllib.request.urlopen(bought, timeout=60) as response:
            assert response.status == 204
        eventually(lambda: shop.conversions() and shop.exposures())
    finally:
        server.terminate()
        server.wait(60)

    assert len(shop.conversions()) == 1
    assert {event["userId"] for event in shop.exposures()} == {"u1"}


def test_celery_example__a_task__uses_the_flag(shop: SmallPlatform) -> None:
    module = load("celery_shop")

    assert module.flags.wait_until_ready(60)
    assert module.send_receipt("u1") == "new receipt"
    assert module.flags.flush(60)
    module.flags.close()
    assert len(shop.exposures()) == 1


def test_django_example__page__uses_the_flag(shop: SmallPlatform) -> None:
    ask_page = "Client(headers={'host': 'localhost'}).get('/checkout?user=u1').content"
    script = (
        "import django_shop; from django.test import Client; from openflagship.django import get_client; "
        f"assert get_client().wait_until_ready(60); print({ask_page}); assert get_client().flush(60)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        env={name: value for name, value in os.environ.items() if name != "DJANGO_SETTINGS_MODULE"},
        cwd=EXAMPLES,
        capture_output=True,
        text=True,
        timeout=150,
        check=False,
    )

    assert done.stdout == "b'new'\n", done.stderr
    assert len(shop.exposures()) == 1
