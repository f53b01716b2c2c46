"""The list of the console's pages is whole: each route is on it or has no page, each template is shown on one."""

import pytest
from django.conf import settings
from django.test.signals import template_rendered

from flagship.tests.console_pages import STATES, pages
from flagship.tests.console_world import routes
from flagship.tests.crawling import filled, opened
from flagship.tests.pageless_routes import ELSEWHERE, NO_PAGE

pytestmark = pytest.mark.django_db


def is_page(answer):
    return answer.status_code == 200 and not answer.streaming and "<html" in answer.text


def test_routes__without_a_page__have_none_and_are_there(world):
    console_owner = world.people["owner"]

    assert NO_PAGE.keys() - set(routes()) == set()
    assert [route for route in NO_PAGE if is_page(console_owner.get(world.url(route)))] == []


def test_pages__each__answers_as_it_says_and_every_template_is_shown(world):
    shown, wrong = set(), []

    def note(template, **_):
        shown.add(template.name)

    template_rendered.connect(note)
    for state in pages():
        client, address = world.people[state.who], world.url(state.route, state.subject, **state.query)
        if state.sends is None:
            _, answer = opened(client, address)
        else:
            answer = client.post(*filled(client, address, state.sends(world)), follow=True)
        if answer.status_code != state.status or "<html" not in answer.text:
            wrong.append(f"{state.name}: {answer.status_code} {answer.headers.get('Location', '')}")
    template_rendered.disconnect(note)

    root = settings.BASE_DIR / "templates"
    there = {str(path.relative_to(root)) for path in root.rglob("*.html")}
    assert wrong == []
    assert sorted(there - shown - ELSEWHERE.keys()) == []
    assert ELSEWHERE.keys() - there == set()


def test_states__names__are_told_apart():
    assert len({state.name for state in STATES}) == len(STATES)
