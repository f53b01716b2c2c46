"""A walk over the console by its own links, as a test client sees it."""

import re
from html.parser import HTMLParser
from urllib.parse import urljoin, urlsplit

from django.test import Client
from django.urls import resolve

# Leaving, and what a page asks for by itself, are no pages.
_NO_PAGE = {"logout", "jsi18n", "view_on_site"}
# What anybody may send: signing out, questions that change nothing, and a list's filters kept for oneself.
_HARMLESS = re.compile(r"/logout/|/password_change/|/i18n/|/admin/views/")
# One of them is like the next.
_ALIKE = {"audit_entry_change", "flags_flagconfig_rollback"}


class Page(HTMLParser):
    """The addresses a page links to, and the forms it would post, each with the labels of its buttons."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.posts: list[str] = []
        self._in_post = False
        self._is_locked = False
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        found = dict(attrs)
        if tag == "a" and found.get("href"):
            self.links.append(found["href"])
        elif tag == "form":
            self._in_post = (found.get("method") or "get").lower() == "post"
            self._action = found.get("action") or ""
        elif tag == "fieldset":
            self._is_locked = "disabled" in found
        elif tag == "button" and self._in_post and not self._is_locked and found.get("type", "submit") == "submit":
            self.posts.append(self._action)

    def handle_endtag(self, tag):
        if tag == "form":
            self._in_post = False
        elif tag == "fieldset":
            self._is_locked = False


def crawl(client: Client) -> tuple[dict[str, int], list[tuple[str, str]]]:
    """Every console address reached from the home page with its status, one of each route and thing; and what posts."""
    waiting, statuses, posts, seen = ["/admin/"], {}, [], set()
    while waiting:
        address = waiting.pop()
        path = urlsplit(address).path
        match = resolve(path)
        # A list's filters and orders are one page; so is each thing's page of one kind.
        identity = (match.url_name, () if match.url_name in _ALIKE else tuple(match.kwargs.values()))
        if identity in seen or match.url_name in _NO_PAGE or len(seen) > 400:
            continue
        seen.add(identity)
        answer = client.get(address)
        statuses[address] = answer.status_code
        if answer.status_code != 200 or not answer["Content-Type"].startswith("text/html"):
            continue
        page = Page(answer.text)
        posts += [(address, action) for action in page.posts if not _HARMLESS.search(urljoin(address, action))]
        found = [urljoin(address, link) for link in page.links]
        waiting += [link for link in found if urlsplit(link).path.startswith("/admin/")]
    return statuses, posts
