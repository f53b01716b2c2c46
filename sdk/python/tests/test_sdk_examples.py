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
from small_platform import KEY, SmallPlatform, eventually
from test_client_servers import ask, free_port

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

    assert client.get("/checkout?user=u1").json == {"checkout": "new", "reason": "ROLLOUT"}
    assert client.post("/purchase", json={"user": "u1", "total": 9}).status_code == 204
    module.flags.close()
    assert len(shop.events) == 2


def test_fastapi_example__checkout_and_purchase__use_the_flag(shop: SmallPlatform) -> None:
    port = free_port()
    server = subprocess.Popen(
        [sys.executable, "-m", "uvicorn", "fastapi_shop:app", "--port", str(port), "--log-level", "warning"],
        cwd=EXAMPLES,
    )
    try:
        eventually(lambda: ask(f"http://127.0.0.1:{port}", "checkout?user=u1"), seconds=20)
        assert ask(f"http://127.0.0.1:{port}", "checkout?user=u1") == {"checkout": "new", "reason": "ROLLOUT"}
        bought = urllib.request.Request(f"http://127.0.0.1:{port}/purchase?user=u1&total=9", b"", method="POST")
        with urllib.request.urlopen(bought, timeout=5) as response:
            assert response.status == 204
    finally:
        server.terminate()
        server.wait(20)

    assert len(shop.events) == 2


def test_celery_example__a_task__uses_the_flag(shop: SmallPlatform) -> None:
    module = load("celery_shop")

    assert module.send_receipt("u1") == "new receipt"
    module.flags.close()
    assert len(shop.exposures()) == 1


def test_django_example__page__uses_the_flag(shop: SmallPlatform) -> None:
    ask_page = "Client(headers={'host': 'localhost'}).get('/checkout?user=u1').content"
    script = f"import django_shop; from django.test import Client; print({ask_page})"
    done = subprocess.run(
        [sys.executable, "-c", script],
        env={name: value for name, value in os.environ.items() if name != "DJANGO_SETTINGS_MODULE"},
        cwd=EXAMPLES,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )

    assert done.stdout == "b'new'\n", done.stderr
    eventually(lambda: len(shop.exposures()) == 1)
