"""The console's frame under its strict policy: unfold's own parts work, and an injected script does not."""

import pytest
from django.urls import reverse

from flags import services
from tenancy.testing import ALICE

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


@pytest.fixture
def config(acme):
    return services.create_flag(actor=ALICE, environment=acme.staging, payload={"key": "new-checkout"})[0]


def test_policy__script_written_into_the_page__does_not_run(open_session, console_owner, acme):
    session = open_session(console_owner)
    page = session.visit(reverse("admin:index"))

    failed = page.evaluate(
        """() => new Promise((resolve) => {
            const script = document.createElement("script");
            script.textContent = "window.injected = true";
            document.body.append(script);
            document.body.insertAdjacentHTML("beforeend", '<img src="data:," onerror="window.injected = true">');
            document.images[document.images.length - 1].addEventListener("error", () => resolve(true));
        })"""
    )

    assert failed
    assert page.evaluate("window.injected") is None
    blocked = [text for text in session.complaints if "Content Security Policy" in text]
    assert len(blocked) == 2
    session.complaints.clear()


def test_frame__sidebar_theme_and_menu__work_and_are_remembered(open_session, console_owner, acme):
    page = open_session(console_owner, color_scheme="light").visit(reverse("admin:index"))
    sidebar = page.locator("#nav-sidebar")
    sidebar.wait_for()
    page.get_by_role("button", name="Navigation").click()
    sidebar.wait_for(state="hidden")
    page.reload()
    page.locator("h1").wait_for()
    assert not sidebar.is_visible()
    page.get_by_role("button", name="Navigation").click()
    sidebar.wait_for()

    assert "dark" not in (page.locator("html").get_attribute("class") or "")
    sidebar.get_by_role("button", name="Account of olga").press("Enter")
    sidebar.get_by_role("button", name="Dark").press("Enter")
    page.locator("html.dark").wait_for()
    page.reload()
    page.locator("html.dark").wait_for()
    sidebar.get_by_role("button", name="Account of olga").press("Enter")
    sidebar.get_by_role("button", name="Log out").wait_for()
    page.keyboard.press("Escape")
    sidebar.get_by_role("button", name="Log out").wait_for(state="hidden")


def test_frame__first_tab__skips_the_navigation(open_session, console_viewer, acme):
    page = open_session(console_viewer).visit(reverse("admin:index"))
    page.locator("h1").wait_for()

    page.keyboard.press("Tab")
    page.locator(".fs-skip:focus").wait_for(state="attached")
    page.keyboard.press("Enter")

    page.locator("#main:focus").wait_for()


def test_frame__on_a_phone__navigation_opens_and_closes(open_session, console_owner, acme):
    page = open_session(console_owner, viewport={"width": 390, "height": 844}).visit(reverse("admin:index"))
    link = page.locator("#nav-sidebar").get_by_text("Flags", exact=True)
    assert not link.is_visible()

    page.get_by_role("button", name="Navigation").click()
    link.click()

    page.wait_for_url("**/flags/flagconfig/**")


def test_list__filters_search_and_actions__work(open_session, console_owner, acme, config):
    listed = f"{reverse('admin:flags_flagconfig_changelist')}?environment={acme.staging.pk}"
    page = open_session(console_owner).visit(listed)
    page.get_by_role("button", name="Filters").click()
    page.locator("#changelist-filter").get_by_role("link", name="Off", exact=True).click()
    page.wait_for_url("**state=off**")

    page.locator("body").press("/")
    page.keyboard.type("checkout")
    page.keyboard.press("Enter")
    page.wait_for_url("**q=checkout**")

    page.locator("input.action-select").first.check()
    page.locator("#changelist-actions select[name=action]").select_option(index=1)
    page.locator("#changelist-actions").get_by_role("button", name="Run").wait_for()


def test_detail__shown_by_unfold_itself__has_its_actions(open_session, console_owner, acme):
    page = open_session(console_owner).visit(reverse("admin:tenancy_organization_change", args=[acme.organization.pk]))

    page.get_by_text("Acme").first.wait_for()
    assert page.locator("#organization_form").get_attribute("action").endswith("/change/")


def test_api_docs__are_drawn_from_our_own_files(open_session, console_owner, acme):
    page = open_session(console_owner).visit(reverse("docs"))

    page.locator("#swagger-ui .opblock").first.wait_for()
    page.locator("#swagger-ui .opblock-summary-control").first.click()
    page.locator("#swagger-ui .opblock-body").first.wait_for()
