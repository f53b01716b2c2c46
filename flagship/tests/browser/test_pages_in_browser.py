"""The pages of the console: nothing serious for axe in light or dark, no complaint, nothing wider than a phone."""

import os

import pytest
from axe_playwright_python.sync_playwright import Axe
from django.test import Client
from django.urls import reverse

from flagship.tests.console_pages import pages
from flagship.tests.crawling import filled

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]

# Each takes a share of the pages, so that several processes have them at once.
SHARES = 4
# Of so many pages one is judged in each look; `make thorough` judges all.
SPARING = int(os.environ.get("PAGES_SPARING", "4"))
DESK, PHONE = {"width": 1440, "height": 900}, {"width": 390, "height": 844}
# What is in the middle of fading would be judged by a colour that nobody reads.
STAND_STILL = """
() => {
  const still = new CSSStyleSheet();
  still.replaceSync("*, *::before, *::after { transition: none !important; animation: none !important; }");
  document.adoptedStyleSheets = [...document.adoptedStyleSheets, still];
}
"""
SEND = """
([address, fields]) => {
  const form = document.createElement("form");
  form.method = "post";
  form.action = address;
  for (const [name, values] of fields) {
    for (const value of values) {
      const field = document.createElement("textarea");
      field.name = name;
      field.value = value;
      form.append(field);
    }
  }
  form.hidden = true;
  document.body.append(form);
  HTMLFormElement.prototype.submit.call(form);
}
"""
# Whatever is right with a page need not be told.
WRONG = {"resultTypes": ["violations"]}
# What is asked of a page as a whole, whatever part of it is looked at.
OF_PAGES = """axe.run(document, {
  resultTypes: ["violations"],
  runOnly: { type: "rule", values: ["document-title", "html-has-lang", "html-lang-valid", "bypass", "meta-viewport"] }
})"""
# In the dark only colours are others.
CONTRAST = """(part) => axe.run(part ?? document, {
  resultTypes: ["violations"], runOnly: { type: "rule", values: ["color-contrast"] }
})"""
STICKS_OUT = """
() => document.documentElement.scrollWidth <= innerWidth ? [] :
  [...document.querySelectorAll("body *")].filter((found) => found.getBoundingClientRect().right > innerWidth + 1)
    .map((found) => `${found.tagName}.${found.getAttribute("class")}`).slice(0, 5)
"""


def serious(page, name, part=None):
    return _problems(Axe().run(page, context=part, options=WRONG).response, name)


def _problems(found, name):
    return [
        f"{name}: {item['id']}: {node['html'][:160]}"
        for item in found["violations"]
        if item["impact"] in {"serious", "critical"}
        for node in item["nodes"][:3]
    ]


def look(session, name, part=None):
    """What is wrong with the page as it is (or a part of it), at a desk in light and dark and on a phone."""
    page = session.settle()
    page.evaluate(STAND_STILL)
    wrong = serious(page, name, part)
    if part is not None:
        wrong += _problems(page.evaluate(OF_PAGES), name)
    page.evaluate("document.documentElement.classList.add('dark')")
    wrong += _problems(page.evaluate(CONTRAST, part), f"{name} in the dark")
    page.set_viewport_size(PHONE)
    sticking = page.evaluate(STICKS_OUT)
    page.set_viewport_size(DESK)
    return wrong + [f"{name} is wider than a phone: {part}" for part in sticking]


@pytest.mark.parametrize("share", range(SHARES))
def test_pages__each__are_clean(open_session, world, share):
    sessions, framed, wrong = {}, set(), []
    for number, state in enumerate(pages()[share::SHARES]):
        client, address = world.people[state.who], world.url(state.route, state.subject, **state.query)
        if state.who not in sessions:
            sessions[state.who] = open_session(client)
        session = sessions[state.who]
        session.expected = {state.status}
        page = session.visit(address)
        if state.sends is not None:
            session.settle()
            action, fields = filled(client, address, state.sends(world))
            fields["csrfmiddlewaretoken"] = [page.locator("[name=csrfmiddlewaretoken]").first.input_value()]
            with page.expect_navigation():
                page.evaluate(SEND, [action, list(fields.items())])
        if number % SPARING:
            # It is opened all the same: whatever its scripts complain of fails the test.
            session.settle()
            continue
        # The frame is the same on a person's other pages: it is judged once.
        is_framed = state.who in framed and page.locator("#main").count() == 1
        wrong += look(session, state.name, part="#main" if is_framed else None)
        framed.add(state.who)

    assert "\n".join(wrong) == ""


def test_sign_in__refused_too__is_clean(open_session, db):
    session = open_session(Client())
    page = session.visit(reverse("admin:login"))
    wrong = look(session, "signing in")
    page.reload()
    page.locator("input[name=username]").fill("nobody")
    page.locator("input[name=password]").fill("a guess")
    page.get_by_role("button", name="Log in").click()
    page.get_by_text("Please enter the correct").wait_for()

    assert "\n".join(wrong + look(session, "signing in refused")) == ""


def test_signed_out__notice__is_clean(open_session, console_owner, world):
    session = open_session(console_owner)
    page = session.visit(world.url("admin:flags_flagconfig_change"))
    session.settle()
    console_owner.logout()
    page.get_by_role("button", name="Save", exact=True).click()
    page.get_by_role("dialog", name="You were signed out").wait_for()

    assert "\n".join(look(session, "signed out")) == ""
