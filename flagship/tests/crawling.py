"""A walk over the console by its own links, as a test client sees it."""

import re
from dataclasses import dataclass, field
from html.parser import HTMLParser
from urllib.parse import urljoin, urlsplit

from django.test import Client
from django.urls import resolve

# Leaving, and what a page asks for by itself, are no pages.
_NO_PAGE = {"logout", "jsi18n", "view_on_site"}
# What anybody may send: signing out, questions that change nothing, what is kept for oneself, an inbox, comments.
_HARMLESS = re.compile(
    r"/logout/|/password_change/|/i18n/|/admin/views/|/integrations/(notification|follow)/|/changerequest/[^/]+/review/"
)
# One of them is like the next.
_ALIKE = {"audit_entry_change", "flags_flagconfig_rollback"}


@dataclass(slots=True)
class Form:
    """What the browser would send if nothing were touched; a button for each way of sending it."""

    action: str
    is_post: bool
    fields: dict[str, list[str]] = field(default_factory=dict)
    buttons: list[dict[str, str]] = field(default_factory=list)


class Page(HTMLParser):
    """The addresses a page links to, and its forms; what a disabled fieldset or a template holds is in none."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.forms: list[Form] = []
        self._form: Form | None = None
        self._is_locked = False
        self._templates = 0
        self._choice = self._text = ""
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        found = dict(attrs)
        self._templates += tag == "template"
        if self._templates:
            return
        if tag == "a" and found.get("href"):
            self.links.append(found["href"])
        elif tag == "form":
            self._form = Form(found.get("action") or "", (found.get("method") or "get").lower() == "post")
            self.forms.append(self._form)
        elif tag == "fieldset":
            self._is_locked = "disabled" in found
        elif self._form is not None and not self._is_locked and "disabled" not in found:
            self._take(tag, found)

    def _take(self, tag, found):
        name, kind = found.get("name") or "", found.get("type")
        if tag == "button" and (kind or "submit") == "submit":
            self._form.buttons.append({name: found.get("value") or ""} if name else {})
        elif tag == "select":
            self._choice = name
        elif tag == "option" and self._choice:
            chosen = self._form.fields.setdefault(self._choice, [])
            if "selected" in found or not chosen:
                self._form.fields[self._choice] = [found.get("value") or ""]
        elif tag == "textarea":
            self._text = name
            self._form.fields[name] = [""]
        elif tag == "input" and name and (kind not in {"checkbox", "radio", "submit"} or "checked" in found):
            self._form.fields.setdefault(name, []).append(found.get("value") or ("on" if kind == "checkbox" else ""))

    def handle_data(self, data):
        if self._text:
            self._form.fields[self._text][0] += data

    def handle_endtag(self, tag):
        self._templates -= tag == "template"
        if tag == "form":
            self._form = None
        elif tag == "fieldset":
            self._is_locked = False
        elif tag == "select":
            self._choice = ""
        elif tag == "textarea":
            self._text = ""


def opened(client: Client, address: str):
    """The whole address and the page: where an address names no environment, the console adds the one viewed last."""
    answer = client.get(address)
    if answer.status_code == 302 and answer.url.split("?")[0] == address.split("?", maxsplit=1)[0]:
        return answer.url, client.get(answer.url)
    return address, answer


def crawl(client: Client) -> tuple[dict[str, int], list[tuple[str, Form]]]:
    """Every console address reached from the home page with its status, one of each route and thing; and what posts.

    A form comes with the address that it is sent to.
    """
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
        address, answer = opened(client, address)
        statuses[address] = answer.status_code
        if answer.status_code != 200 or not answer["Content-Type"].startswith("text/html"):
            continue
        page = Page(answer.text)
        sent = [(urljoin(address, form.action), form) for form in page.forms if form.is_post and form.buttons]
        posts += [(target, form) for target, form in sent if not _HARMLESS.search(target)]
        found = [urljoin(address, link) for link in page.links]
        waiting += [link for link in found if urlsplit(link).path.startswith("/admin/")]
    return statuses, posts


def filled(client: Client, address: str, values: dict[str, str]) -> tuple[str, dict[str, list[str]]]:
    """The page's form as it would be sent: its address, and its fields with `values` over them."""
    address, answer = opened(client, address)
    forms = [form for form in Page(answer.text).forms if form.is_post and "/logout/" not in form.action]
    form = max(forms, key=lambda one: (len(values.keys() & one.fields.keys()), len(one.fields)))
    return urljoin(address, form.action), {**form.fields, **{name: [value] for name, value in values.items()}}
