"""A browser per module, a signed-in page per test; whatever a page complains of on its console fails the test."""

import os
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from django.conf import settings
from django.contrib.staticfiles.handlers import StaticFilesHandlerMixin
from django.core.signals import request_finished, request_started
from django.test import Client
from django.test.client import ClientHandler

from flagship.management.commands.screenshots import browser

# Playwright keeps an event loop on this thread, and Django refuses the ORM beside one; here nothing runs beside it.
os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = "true"

# A page is there for a moment before its scripts are: until they have run nothing is seen, so nothing is pressed.
_UNSEEN_UNTIL_READY = """
if (document.readyState === "loading") {
  const unseen = new CSSStyleSheet();
  unseen.replaceSync("html { visibility: hidden }");
  document.adoptedStyleSheets = [unseen];
  document.addEventListener("DOMContentLoaded", () => { document.adoptedStyleSheets = []; });
}
"""


# The machine may be shared with every other test: only a page that never comes is a failure.
PATIENCE_MS = 90_000


def window(chromium: Any, **options: Any) -> Any:
    """A context of its own, whose pages are for people: there is time, and nothing is pressed before it works."""
    context = chromium.new_context(**{"viewport": {"width": 1440, "height": 900}, "locale": "en-GB", **options})
    context.set_default_timeout(PATIENCE_MS)
    # Chromium runs it where scripts are off as well, and then nothing would make the page seen again.
    if options.get("java_script_enabled", True):
        context.add_init_script(_UNSEEN_UNTIL_READY)
    return context


@dataclass(slots=True)
class Session:
    """A person's browser window."""

    page: Any
    base_url: str
    complaints: list[str] = field(default_factory=list)
    under_way: set[Any] = field(default_factory=set)
    # Statuses that a test asks for, besides those of a page with what to mend on it.
    expected: set[int] = field(default_factory=set)

    def visit(self, path: str) -> Any:
        self.page.goto(f"{self.base_url}{path}")
        return self.page

    def settle(self) -> Any:
        """Wait until the page is there with what it asks for itself."""
        self.page.wait_for_load_state("load")
        if self.under_way:
            self.page.wait_for_load_state("networkidle")
        return self.page


@pytest.fixture(scope="session", autouse=True)
def _files_kept() -> Iterator[None]:
    """Browsers keep the console's files for a while, as the shipped server lets them."""
    serve = StaticFilesHandlerMixin.serve

    def kept(handler: Any, request: Any) -> Any:
        answer = serve(handler, request)
        answer["Cache-Control"] = "public, max-age=60"
        return answer

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(StaticFilesHandlerMixin, "serve", kept)
        yield


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    with browser() as running:
        yield running


@pytest.fixture
def served(live_server: Any) -> Iterator[Any]:
    """The live server, which has answered everything when the test is over.

    A request that outlived its page would meet the emptying of the tables, or a database that no test holds.
    """
    under_way: set[int] = set()

    def begins(sender: type, **_: Any) -> None:
        if not issubclass(sender, ClientHandler):
            under_way.add(threading.get_ident())

    def ends(**_: Any) -> None:
        under_way.discard(threading.get_ident())

    request_started.connect(begins)
    request_finished.connect(ends)
    yield live_server
    deadline = time.monotonic() + PATIENCE_MS / 1000
    while under_way:
        assert time.monotonic() < deadline, f"{len(under_way)} requests are not answered"
        time.sleep(0.01)
    request_started.disconnect(begins)
    request_finished.disconnect(ends)


@pytest.fixture
def open_session(chromium: Any, served: Any) -> Iterator[Callable[..., Session]]:
    """Open a window, signed in where Django's test client is."""
    contexts: list[Any] = []
    sessions: list[Session] = []

    def _open(client: Client, **options: Any) -> Session:
        context = window(chromium, **options)
        contexts.append(context)
        if cookie := client.cookies.get(settings.SESSION_COOKIE_NAME):
            context.add_cookies([{"name": cookie.key, "value": cookie.value, "url": served.url}])
        session = Session(context.new_page(), served.url)
        session.page.on("console", lambda message: _note(session, message))
        session.page.on("pageerror", lambda error: session.complaints.append(f"{session.page.url}: {error}"))
        session.page.on("request", lambda request: _note_asked(session, request))
        session.page.on("requestfinished", lambda request: _note_answered(session, request))
        session.page.on("requestfailed", lambda request: _note_failure(session, request))
        session.page.on("response", lambda answer: _note_status(session, answer))
        sessions.append(session)
        return session

    yield _open
    for context in contexts:
        context.close()
    assert [complaint for session in sessions for complaint in session.complaints] == []


def _note(session: Session, message: Any) -> None:
    if message.type in {"error", "warning"} and "status of 4" not in message.text:
        session.complaints.append(f"{session.page.url}: {message.type}: {message.text}")


def _note_asked(session: Session, request: Any) -> None:
    session.under_way.add(request)


def _note_answered(session: Session, request: Any) -> None:
    session.under_way.discard(request)


def _note_failure(session: Session, request: Any) -> None:
    _note_answered(session, request)
    # The page itself takes back a preview that a later keystroke has made pointless.
    if request.failure != "net::ERR_ABORTED":
        session.complaints.append(f"failed: {request.url} {request.failure}")


def _note_status(session: Session, answer: Any) -> None:
    # 409 and 422 are the console's own pages, with what to mend on them.
    if answer.status >= 400 and answer.status not in {409, 422} | session.expected:
        session.complaints.append(f"{answer.status}: {answer.url}")
