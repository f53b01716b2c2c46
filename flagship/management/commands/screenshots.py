"""`manage.py screenshots`: photograph the console's main pages as the demo's owner sees them, for docs/screenshots/."""

import json
import re
from argparse import ArgumentParser
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from sdk.conformance import chromium

_SIZES = {"light": (1440, 900), "dark": (1440, 900), "phone": (390, 844)}
_PATIENCE_MS = 120_000
# For each page, a name for the file and what to click on the page before. So addresses are found, not guessed.
_PAGES: list[tuple[str, str, str | None]] = [
    ("home", "/admin/", None),
    ("flags", "/admin/flags/flagconfig/", None),
    ("flag", "/admin/flags/flagconfig/", "new-checkout"),
    ("kill", "flag", "Kill…"),
    ("history", "flag", "History"),
    ("try", "flag", "Try it"),
    ("experiment", "/admin/experiments/experiment/", "tbody th a, tbody td a"),
    ("results", "experiment", "Results"),
    ("requests", "/admin/approvals/changerequest/", None),
    ("freezes", "/admin/approvals/freeze/", None),
    ("webhooks", "/admin/integrations/webhookendpoint/", None),
    ("inbox", "/admin/integrations/notification/", None),
    ("health", "/admin/health/", None),
    ("audit", "/admin/audit/entry/", None),
    ("credentials", "/admin/tenancy/credential/", None),
    ("members", "/admin/tenancy/membership/", None),
]


class Command(BaseCommand):
    help = "Take screenshots of the console of a running demo (start it with `make run`). Needs Chromium."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--base-url", help="of the running demo; var/demo.json says where, unless given")
        parser.add_argument("--output", type=Path, default=settings.BASE_DIR / "docs" / "screenshots")
        parser.add_argument("--sizes", nargs="+", choices=sorted(_SIZES), default=["light"])
        parser.add_argument("--pages", nargs="+", choices=[name for name, _, _ in _PAGES])

    def handle(
        self, *, base_url: str | None, output: Path, sizes: list[str], pages: list[str] | None, **_: Any
    ) -> None:
        path = Path(settings.VAR_DIR) / "demo.json"
        if not path.exists():
            raise CommandError(f"{path} is not there; start the demo with `make run`.")
        demo = json.loads(path.read_text())
        output.mkdir(parents=True, exist_ok=True)
        with browser() as running:
            for size in sizes:
                width, height = _SIZES[size]
                context = running.new_context(
                    viewport={"width": width, "height": height},
                    color_scheme="dark" if size == "dark" else "light",
                    base_url=base_url or demo["baseUrl"],
                    locale="en-GB",
                    timezone_id="UTC",
                )
                # The demo may still be making its events.
                context.set_default_timeout(_PATIENCE_MS)
                page = context.new_page()
                sign_in(page, demo["adminUser"], demo["adminPassword"])
                self._photograph(page, output, size, set(pages or []))
                context.close()

    def _photograph(self, page: Any, output: Path, size: str, wanted: set[str]) -> None:
        found: dict[str, str] = {}
        for name, start, click in _PAGES:
            page.goto(found.get(start, start))
            if click is not None:
                # A link by its text, or the first element that a selector finds.
                link = (
                    page.locator(click)
                    if re.search(r"[\[,.]| a$", click)
                    else page.locator("#content").get_by_role("link", name=click)
                )
                page.goto(str(link.first.get_attribute("href")))
            found[name] = page.url
            if wanted and name not in wanted:
                continue
            page.wait_for_load_state("networkidle")
            # The window is as tall as the page, so that elements at the window's edge are at the page's end.
            width, height = _SIZES[size]
            tall = page.evaluate("document.documentElement.scrollHeight")
            page.set_viewport_size({"width": width, "height": max(height, int(tall))})
            suffix = "" if size == "light" else f"-{size}"
            page.screenshot(path=output / f"{name}{suffix}.png", full_page=True)
            page.set_viewport_size({"width": width, "height": height})
            self.stdout.write(f"{name}{suffix}.png")


@contextmanager
def browser() -> Iterator[Any]:
    """Yield a headless Chromium through Playwright. Raises CommandError if there is none."""
    executable = chromium.path()
    if executable is None:
        raise CommandError(
            "There is no Chromium here. Install it (on Debian: apt-get install chromium), or set CHROMIUM."
        )
    try:
        from playwright.sync_api import sync_playwright  # noqa: PLC0415 - a development dependency
    except ImportError as error:
        raise CommandError("Playwright is not installed: pip install -r requirements-dev.txt") from error
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=executable, args=list(chromium.ARGUMENTS))
        try:
            yield running
        finally:
            running.close()


def sign_in(page: Any, user: str, password: str) -> None:
    page.goto("/admin/login/")
    page.fill("input[name=username]", user)
    page.fill("input[name=password]", password)
    page.click("button[type=submit]")
    # The home page, with the environment that it is about in its address.
    page.wait_for_url(re.compile(r"/admin/(\?.*)?$"))
