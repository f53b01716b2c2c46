"""Each role follows every link that its console pages show: none is refused, and no page fails."""

import re
from html.parser import HTMLParser
from urllib.parse import urljoin, urlsplit

import pytest
from django.test import Client
from django.urls import resolve

from experiments import services as experiment_services
from flags import services
from tenancy.admin.testing import signed_in
from tenancy.models import Role
from tenancy.testing import ALICE

# Leaving, and what a page asks for by itself, are no pages.
_NO_PAGE = {"logout", "jsi18n", "view_on_site"}
# What anybody may send: signing out, and questions that change nothing.
_HARMLESS = re.compile(r"/logout/|/password_change/|/i18n/")
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


@pytest.fixture
def content(environment):
    """Flags on, killed and archived, experiments of each state, a segment, a layer, a metric, a key."""
    half = [{"variant": "treatment", "percent": 50}]
    for key in ("new-checkout", "second", "third"):
        services.create_flag(
            actor=ALICE, environment=environment, payload={"key": key, "enabled": True, "rollout": half}
        )
    services.create_flag(actor=ALICE, environment=environment, payload={"key": "killed", "tags": ["pay"]})
    services.kill_flag(actor=ALICE, environment=environment, key="killed", variant="control", reason="Errors")
    services.create_flag(actor=ALICE, environment=environment, payload={"key": "gone"})
    services.archive_flag(actor=ALICE, environment=environment, key="gone", reason="Done")
    services.create_segment(actor=ALICE, environment=environment, payload={"key": "beta", "included": ["ann"]})
    services.create_layer(actor=ALICE, environment=environment, payload={"key": "checkout"})
    metric = {"key": "purchase-rate", "type": "binary", "eventName": "purchase"}
    experiment_services.create_metric(actor=ALICE, environment=environment, payload=metric)
    for key in ("new-checkout", "second", "third"):
        design = {"name": key, "flagKey": key, "primaryMetric": "purchase-rate"}
        made = experiment_services.create_experiment(actor=ALICE, environment=environment, payload=design)
        if key != "third":
            experiment_services.start_experiment(actor=ALICE, environment=environment, pk=made.pk)
        if key == "second":
            experiment_services.complete_experiment(
                actor=ALICE, environment=environment, pk=made.pk, decision="stop", variant=None, reason="Enough"
            )
    return environment.project.organization


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


@pytest.mark.parametrize("role", [Role.VIEWER, Role.EDITOR, Role.ADMIN, Role.OWNER])
def test_role__follows_every_link__none_is_refused(content, person, role):
    client = signed_in(person(role, content, "somebody"))

    statuses, posts = crawl(client)

    assert len(statuses) > 30
    assert {address: status for address, status in statuses.items() if status not in {200, 302}} == {}
    # A viewer finds no button that changes something; everybody else does.
    assert (posts == []) == (role == Role.VIEWER), posts
