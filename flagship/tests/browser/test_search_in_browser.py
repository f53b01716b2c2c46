"""Search everywhere by keyboard, in a real browser."""

import pytest
from axe_playwright_python.sync_playwright import Axe
from django.urls import reverse

from flags import services
from tenancy.testing import ALICE

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_search__by_keyboard__leads_to_the_flag(open_session, console_viewer, acme, scheme):
    for key in ("new-checkout", "new-search"):
        services.create_flag(actor=ALICE, environment=acme.production, payload={"key": key})
    page = open_session(console_viewer, color_scheme=scheme).visit(reverse("admin:index"))

    page.keyboard.press("Control+k")
    # One change of the field, so one answer: a later one would begin the choice anew.
    page.locator("dialog input:focus").fill("new-")
    page.locator("[role=option][aria-selected=true]", has_text="new-checkout").wait_for()
    serious = [
        item["id"] for item in Axe().run(page).response["violations"] if item["impact"] in {"serious", "critical"}
    ]
    assert serious == []
    page.keyboard.press("ArrowDown")
    page.locator("[role=option][aria-selected=true]", has_text="new-search").wait_for()
    page.keyboard.press("Enter")

    page.wait_for_url("**/flags/flagconfig/*/change/**")
    assert "new-search" in page.title()


def test_search__opened_by_its_button__closes_by_escape(open_session, console_viewer, acme):
    page = open_session(console_viewer).visit(reverse("admin:index"))
    page.get_by_role("button", name="Search").click()
    page.get_by_role("combobox").fill("no-such-thing")
    page.get_by_text("Nothing by that name here.").wait_for()

    page.keyboard.press("Escape")

    page.locator("dialog[data-search]").wait_for(state="hidden")
