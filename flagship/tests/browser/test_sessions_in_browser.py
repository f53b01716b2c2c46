"""A session that ended while somebody typed: nothing typed is lost, nothing is sent as another, nothing by itself."""

import re

import pytest
from django.conf import settings
from django.test import Client
from django.urls import reverse

from flags import services
from flagship.tests.providers import know
from tenancy.admin.testing import signed_in
from tenancy.models import User
from tenancy.roles import Role
from tenancy.testing import ALICE

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]
PASSWORD = "correct horse battery"
OUT, BACK = "You were signed out", "You are signed in again"


@pytest.fixture
def config(acme):
    payload = {"key": "new-checkout", "enabled": True, "rollout": [{"variant": "treatment", "percent": 25}]}
    return services.create_flag(actor=ALICE, environment=acme.staging, payload=payload)[0]


@pytest.fixture
def olga(console_owner):
    """Olga, who signs in by password; giving her one ended the session that she had."""
    person = User.objects.get(username="olga")
    person.set_password(PASSWORD)
    person.save()
    console_owner.force_login(person, backend="tenancy.backends.ThrottledBackend")
    return person


def of(config, page="change"):
    return reverse(f"admin:flags_flagconfig_{page}", args=[config.pk])


def kept_by(page):
    return page.evaluate("[localStorage, sessionStorage].map((kept) => JSON.stringify(kept)).join()")


def notice(page, title):
    found = page.get_by_role("dialog", name=title)
    found.wait_for()
    return found


def sign_in(popup, name="olga"):
    popup.locator("input[name=username]").fill(name)
    popup.locator("input[name=password]").fill(PASSWORD)
    popup.get_by_role("button", name="Log in").click()


def sign_in_beside(page):
    """Follow the notice's link, sign in there, and come back."""
    with page.expect_popup() as opened:
        notice(page, OUT).get_by_role("link", name="Sign in").click()
    with opened.value.expect_event("close"):
        sign_in(opened.value)
    notice(page, BACK).get_by_role("button", name="Back to the page").click()


def test_flag__signed_out_before_saving__keeps_every_row_and_saves_it_once_signed_in(
    open_session, console_owner, olga, config
):
    page = open_session(console_owner).visit(of(config))
    page.locator("#rollout [data-percent]").last.fill("90")
    page.get_by_role("button", name="Add a rule").click()
    rule = page.locator("[data-rule]")
    rule.locator("[data-attribute]").fill("country")
    rule.locator("[data-value]").fill("US")
    console_owner.logout()

    page.get_by_role("button", name="Save", exact=True).click()
    notice(page, OUT)
    config.refresh_from_db()
    assert config.allocation == [[0, 2500, "treatment"]]
    sign_in_beside(page)
    config.refresh_from_db()
    assert config.allocation == [[0, 2500, "treatment"]]
    page.get_by_role("button", name="Save", exact=True).click()
    page.get_by_text("Saved.").wait_for()

    config.refresh_from_db()
    assert config.allocation == [[0, 9000, "treatment"]]
    assert config.rules.get().conditions[0]["attribute"] == "country"


def test_flag__signed_in_again_in_another_tab__is_saved_without_a_word(open_session, console_owner, olga, config):
    session = open_session(console_owner)
    page = session.visit(of(config))
    page.locator("#rollout [data-percent]").last.fill("90")
    before = page.locator("[name=csrfmiddlewaretoken]").first.input_value()
    console_owner.logout()
    other = page.context.new_page()
    other.goto(f"{session.base_url}{reverse('admin:index')}")
    sign_in(other)
    other.get_by_text("Needs attention").wait_for()

    page.get_by_role("button", name="Save", exact=True).click()
    page.get_by_text("Saved.").wait_for()

    config.refresh_from_db()
    assert config.allocation == [[0, 9000, "treatment"]]
    assert page.locator("[name=csrfmiddlewaretoken]").first.input_value() != before


def test_kill__signed_out_meanwhile__is_done_only_when_it_is_pressed_again(open_session, console_owner, olga, config):
    page = open_session(console_owner).visit(of(config, "kill"))
    page.locator("[name=reason]").fill("Errors")
    console_owner.logout()

    page.locator("#content .fs-button--danger").click()
    sign_in_beside(page)
    config.refresh_from_db()
    assert not config.is_killed
    assert page.locator("[name=reason]").input_value() == "Errors"
    page.locator("#content .fs-button--danger").click()
    page.wait_for_url("**/board/**")

    config.refresh_from_db()
    assert config.is_killed


def test_flag__somebody_else_signed_in_meanwhile__is_not_saved_as_them(
    open_session, console_owner, acme, person, config
):
    session = open_session(console_owner)
    page = session.visit(of(config))
    page.locator("#rollout [data-percent]").last.fill("90")
    eve = signed_in(person(Role.EDITOR, acme.organization, "eve"))
    cookie = eve.cookies[settings.SESSION_COOKIE_NAME]
    page.context.add_cookies([{"name": cookie.key, "value": cookie.value, "url": session.base_url}])

    page.get_by_role("button", name="Save", exact=True).click()
    said = notice(page, "Somebody else is signed in")
    assert "eve is signed in by now" in said.text_content()

    config.refresh_from_db()
    assert config.allocation == [[0, 2500, "treatment"]]
    assert "90" not in kept_by(page)


def test_password__signed_out_meanwhile__is_kept_nowhere_but_on_the_page(open_session, console_owner, olga):
    page = open_session(console_owner).visit(reverse("admin:password_change"))
    page.get_by_label("Old password").fill(PASSWORD)
    page.get_by_label("New password").first.fill("staple the horse again")
    console_owner.logout()
    sent = []
    page.on("request", lambda request: sent.append((request.method, request.url, request.post_data)))

    page.get_by_role("button", name="Change password").click()
    notice(page, OUT)

    assert [method for method, _, _ in sent] == ["GET"]
    assert "horse" not in kept_by(page)


def test_flag__server_not_reached__stays_as_typed(open_session, console_owner, config):
    session = open_session(console_owner)
    page = session.visit(of(config))
    page.locator("#rollout [data-percent]").last.fill("90")
    page.get_by_text("What saving changes").wait_for()
    page.wait_for_load_state("networkidle")
    page.context.set_offline(True)

    page.get_by_role("button", name="Save", exact=True).click()
    notice(page, "The server cannot be reached").get_by_role("button", name="Back to the page").click()
    page.context.set_offline(False)
    page.get_by_role("button", name="Save", exact=True).click()
    page.get_by_text("Saved.").wait_for()

    config.refresh_from_db()
    assert config.allocation == [[0, 9000, "treatment"]]
    lost = [complaint for complaint in session.complaints if "INTERNET_DISCONNECTED" in complaint]
    assert lost == session.complaints
    session.complaints.clear()


def test_flag__signed_out_under_single_sign_on__is_saved_once_the_provider_let_one_in(open_session, acme, sso, config):
    know(sso, "dana", "leads")
    window = open_session(Client())
    page = window.page
    # The provider's own page asks the Internet for its looks.
    page.context.route(re.compile("^https://"), lambda route: route.fulfill(content_type="text/css", body=""))
    window.visit(of(config))

    def at_the_provider(tab):
        tab.get_by_role("link", name=re.compile("single sign-on")).click()
        tab.locator("input[name=sub]").fill("dana")
        tab.get_by_role("button", name=re.compile("Authorize")).click()

    at_the_provider(page)
    page.locator("#rollout [data-percent]").last.fill("90")
    page.context.clear_cookies(name=settings.SESSION_COOKIE_NAME)

    page.get_by_role("button", name="Save", exact=True).click()
    with page.expect_popup() as opened:
        notice(page, OUT).get_by_role("link", name="Sign in").click()
    at_the_provider(opened.value)
    # The provider's page cut the tab off from the one that opened it, so a person closes it.
    opened.value.get_by_text("Close this tab").wait_for()
    notice(page, BACK).get_by_role("button", name="Back to the page").click()
    page.get_by_role("button", name="Save", exact=True).click()
    page.get_by_text("Saved.").wait_for()

    config.refresh_from_db()
    assert config.allocation == [[0, 9000, "treatment"]]
