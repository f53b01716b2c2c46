"""The examples for Node and the browser run: services answer by the flags, pages show and record them in Chromium."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from openflagship.pages import verified_page_answers

from flags.testing.cluster import free_port
from flagship.tests.browser.conftest import PATIENCE_MS, window
from flagship.tests.stack import eventually
from sdk.conformance.answers import silent
from sdk.conformance.documents import SERVER_KEY, flag, off
from sdk.conformance.endpoints import SNAPSHOT, Endpoints
from sdk.conformance.javascript import SDK, build

pytestmark = [pytest.mark.browser, pytest.mark.node, pytest.mark.xdist_group("javascript-examples")]

EXAMPLES = Path(__file__).resolve().parents[3] / "docs" / "examples"
SECRET = "fs_sign_examples"
REACT = '<!doctype html><title>shop</title><div id="root" data-key="{key}" data-url="{url}" data-user="user-1"></div>'
SCRIPT = '<script type="module" src="/shop.js"></script>'


@pytest.fixture(scope="module")
def examples(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The examples in a folder of the tests' own, with what they need installed by the lock file."""
    build()
    folder = tmp_path_factory.mktemp("examples") / "javascript"
    shutil.copytree(EXAMPLES / "javascript", folder, ignore=shutil.ignore_patterns("node_modules"))
    patient = ["--fetch-retries=5", "--fetch-timeout=60000", "--prefer-offline"]
    command = ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", *patient]
    subprocess.run(command, cwd=folder, check=True, capture_output=True, timeout=600)
    for name, source in (("openflagship", "node"), ("openflagship-web", "web")):
        (folder / "node_modules" / name).symlink_to(SDK / source)
    return folder


@pytest.fixture
def platform() -> Iterator[Endpoints]:
    server = Endpoints(flag("new-checkout"), flag("never-shown"))
    yield server
    server.close()


@pytest.fixture
def variables(platform: Endpoints) -> dict[str, str]:
    keys = dict.fromkeys(("FLAGSHIP_SERVER_KEY", "FLAGSHIP_CLIENT_KEY"), SERVER_KEY)
    others = {name: value for name, value in os.environ.items() if name != "DJANGO_SETTINGS_MODULE"}
    web = {"OPENFLAGSHIP_WEB": str(SDK / "web" / "dist" / "index.js"), "FLAGSHIP_SIGNING_SECRET": SECRET}
    return {**others, **keys, **web, "FLAGSHIP_URL": platform.url, "PORT": "0"}


@pytest.fixture
def serving(examples: Path, variables: dict[str, str]) -> Iterator[Callable[[str], str]]:
    """Start an example, and give its address once it has the flags."""
    running = ExitStack()

    def _serving(name: str) -> str:
        command, folder, url = ["node", f"{name}_shop.mjs"], examples, ""
        if name == "django":
            port = free_port()
            command, folder = [sys.executable, "django_shop.py", "runserver", "--noreload", str(port)], EXAMPLES
            url = f"http://127.0.0.1:{port}"
        process = subprocess.Popen(command, cwd=folder, env=variables, stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None
        running.callback(process.stdout.close)
        running.callback(process.wait, 60)
        running.callback(process.terminate)
        url = url or process.stdout.readline().strip()
        eventually(partial(_is_new, url), what="the service has the flags")
        return url

    yield _serving
    running.close()


@pytest.mark.parametrize("name", ["express", "fastify"])
def test_service__checkout__is_by_the_flag(name: str, platform: Endpoints, serving: Callable[[str], str]) -> None:
    url = serving(name)

    assert _asked(f"{url}/checkout?user=user-1") == "new"
    platform.change(off("new-checkout"))
    eventually(lambda: _asked(f"{url}/checkout?user=user-1") == "old", what="the change")


def test_serverless__handler__asks_answers_and_sends_within_the_call(
    examples: Path, platform: Endpoints, variables: dict[str, str]
) -> None:
    call = "const { handler } = await import('./serverless_shop.mjs'); console.log(await handler({ user: 'user-1' }))"
    done = subprocess.run(
        ["node", "--input-type=module", "-e", call],
        cwd=examples,
        env=variables,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )

    assert done.stdout == "{ statusCode: 200, body: 'new' }\n", done.stderr
    assert [event["userId"] for event in platform.events("exposure")] == ["user-1"]


@pytest.mark.parametrize("name", ["express", "django"])
def test_page__with_its_users_answers__shows_them_before_the_network_answers(
    name: str, platform: Endpoints, serving: Callable[[str], str], chromium: Any
) -> None:
    url = serving(name)
    # The page's own question is not answered.
    platform.always[SNAPSHOT] = silent
    context = window(chromium)
    page = context.new_page()
    page.goto(f"{url}/?user=user-1")

    page.locator("#checkout", has_text="new").wait_for(timeout=PATIENCE_MS)
    written = json.loads(page.locator("#start").text_content())
    answers = verified_page_answers(written["bootstrap"], SECRET)
    assert answers["metadata"] == {"configVersion": 1, "targetingKey": "user-1"}
    eventually(lambda: page.evaluate("1") and platform.events("exposure"), what="the page's exposure")
    shown = {(event["flagKey"], event["userId"], event["source"]) for event in platform.events("exposure")}
    assert ("new-checkout", "user-1", "sdk-web") in shown
    context.close()


def test_react_page__with_the_plain_provider_and_our_hook__records_what_it_showed_and_nothing_else(
    examples: Path, platform: Endpoints, chromium: Any
) -> None:
    bundle = [SDK / "node_modules" / ".bin" / "esbuild", "react_shop.jsx", "--bundle", "--format=esm"]
    how = ["--jsx=automatic", "--minify", "--preserve-symlinks", "--log-level=error"]
    script = subprocess.run([*bundle, *how], cwd=examples, capture_output=True, check=True).stdout
    page_text = REACT.format(key=SERVER_KEY, url=platform.url) + SCRIPT
    with _Pages({"/": ("text/html", page_text.encode()), "/shop.js": ("text/javascript", script)}) as url:
        context = window(chromium)
        page = context.new_page()
        page.goto(url)
        page.locator("#checkout", has_text="new").wait_for(timeout=PATIENCE_MS)
        platform.change(off("new-checkout"))
        page.locator("#checkout", has_text="old").wait_for(timeout=PATIENCE_MS)
        page.goto("about:blank")
        eventually(lambda: page.evaluate("1") and len(platform.events("exposure")) >= 2, what="its exposures")
        context.close()

    shown = [(event["flagKey"], event["userId"], event["variant"]) for event in platform.events("exposure")]
    assert sorted(shown) == [("new-checkout", "user-1", "control"), ("new-checkout", "user-1", "treatment")]


def _asked(url: str) -> str:
    with urllib.request.urlopen(url, timeout=60) as response:
        return str(response.read().decode())


def _is_new(url: str) -> bool:
    try:
        return _asked(f"{url}/checkout?user=user-2") == "new"
    except OSError:
        return False


class _Pages(ThreadingHTTPServer):
    """Serves these files, at another origin than the platform's."""

    daemon_threads = True

    def __init__(self, files: dict[str, tuple[str, bytes]]) -> None:
        self.files = files
        super().__init__(("127.0.0.1", 0), _Page)

    def __enter__(self) -> str:  # type: ignore[override]  # what a test needs of it
        threading.Thread(target=self.serve_forever, args=(0.02,), daemon=True).start()
        return f"http://localhost:{self.server_port}/"

    def __exit__(self, *_: object) -> None:
        self.shutdown()
        self.server_close()


class _Page(BaseHTTPRequestHandler):
    server: _Pages

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class's name
        """Say nothing."""

    def do_GET(self) -> None:
        kind, body = self.server.files.get(self.path, ("text/plain", b""))
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.end_headers()
        self.wfile.write(body)
