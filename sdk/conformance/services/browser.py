"""The test service of the browser's SDK: a page in Chromium that has clients of the package as it is built."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine
from concurrent.futures import Future
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from playwright.async_api import Page, async_playwright

from sdk.conformance import chromium
from sdk.conformance.services.serving import serve

_HERE = Path(__file__).parent
_FILES = {"/page.mjs": _HERE / "page.mjs", "/openflagship.js": _HERE.parents[1] / "web" / "dist" / "index.js"}
_PAGE = b'<!doctype html><title>conformance</title><script type="module" src="/page.mjs"></script>'


class _Files(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class's name
        """Say nothing."""

    def do_GET(self) -> None:
        found = _FILES.get(self.path)
        self.send_response(200)
        self.send_header("Content-Type", "text/javascript" if found else "text/html")
        self.end_headers()
        self.wfile.write(found.read_bytes() if found else _PAGE)


class Browser:
    """One page, on an event loop of its own thread."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._page: Future[Page] = Future()
        self._ended = asyncio.Event()
        self._thread = threading.Thread(target=self._loop.run_until_complete, args=(self._run(),), daemon=True)
        self._thread.start()

    def call(self, function: str, *given: Any) -> Any:
        """What a function of the page's service gives. Raises playwright's error with what it threw."""
        page = self._page.result()
        return self._wait(page.evaluate(f"given => service.{function}(...given)", list(given)))

    def close(self) -> None:
        self._loop.call_soon_threadsafe(self._ended.set)
        self._thread.join()

    def _wait(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result()

    async def _run(self) -> None:
        files = ThreadingHTTPServer(("127.0.0.1", 0), _Files)
        threading.Thread(target=files.serve_forever, args=(0.02,), daemon=True).start()
        try:
            async with async_playwright() as playwright:
                arguments = list(chromium.ARGUMENTS)
                browser = await playwright.chromium.launch(executable_path=chromium.path(), args=arguments)
                page = await browser.new_page()
                # Another origin than 127.0.0.1, where the mocked servers are.
                await page.goto(f"http://localhost:{files.server_port}/")
                await page.wait_for_function("globalThis.service !== undefined")
                self._page.set_result(page)
                await self._ended.wait()
                await browser.close()
        except BaseException as error:
            if not self._page.done():
                self._page.set_exception(error)
            raise
        finally:
            files.shutdown()
            files.server_close()


class PageClient:
    """One client on the page."""

    def __init__(self, browser: Browser, url: str, key: str, options: dict[str, Any]) -> None:
        number = browser.call("create", {"url": url, "key": key, "options": options})
        self._act = partial(browser.call, "act", number)

    def evaluate(self, question: dict[str, Any]) -> dict[str, Any]:
        answer: dict[str, Any] = self._act("evaluate", {"questions": [question]})["answers"][0]
        return answer

    def all(self, user_id: str, attributes: dict[str, Any]) -> dict[str, Any]:
        found: dict[str, Any] = self._act("all", {"userId": user_id, "attributes": attributes})
        return found

    def track(self, event: str, user_id: str, value: float | None, properties: dict[str, Any]) -> None:
        self._act("track", {"event": event, "userId": user_id, "value": value, "properties": properties})

    def flush(self, seconds: float) -> bool:
        return bool(self._act("flush", {"seconds": seconds})["flushed"])

    def ready(self, seconds: float) -> str:
        return str(self._act("ready", {"seconds": seconds})["servedFrom"])

    def status(self) -> dict[str, Any]:
        found: dict[str, Any] = self._act("status", {})
        return found

    def close(self) -> list[str]:
        found: list[str] = self._act("close", {})["left"]
        return found


if __name__ == "__main__":
    page = Browser()
    serve(lambda url, key, options: PageClient(page, url, key, options))
    page.close()
