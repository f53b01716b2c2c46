"""A simulation in a real browser: it goes on by itself, can be left, has an address, and works without scripts."""

from urllib.parse import parse_qs, urlsplit

import pytest
from django.urls import reverse

from experiments.admin.simulation import simulation_slices as slices
from flagship.tests.browser.test_pages_in_browser import serious

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


@pytest.fixture
def url():
    return reverse("admin:experiments_experiment_simulate")


def ask(page, users):
    page.get_by_label("Users a day").fill(users)
    page.get_by_role("button", name="Simulate").click()


def test_simulation__goes_on_by_itself__and_has_an_address(open_session, console_viewer, acme, url, monkeypatch):
    monkeypatch.setattr(slices, "SLICE_SECONDS", 0)
    session = open_session(console_viewer, timezone_id="America/New_York", locale="en-US")
    page = session.visit(url)
    parts = []
    page.on("request", lambda request: parts.append(parse_qs(urlsplit(request.url).query).get("part")))

    ask(page, "2000")
    page.get_by_text("Link to this result").wait_for()

    assert [part for part in parts if part].count(["forecast"]) >= 39
    rows = page.get_by_role("region", name="Forecast by method").get_by_role("row").all_text_contents()
    assert len(rows) == 5
    assert page.get_by_role("progressbar").count() == 0
    assert serious(page, "simulation") == []
    page.get_by_role("link", name="Link to this result").click()
    page.wait_for_url("**usersPerDay=2000**")
    page.get_by_text("Link to this result").wait_for()
    assert page.get_by_role("region", name="Forecast by method").get_by_role("row").all_text_contents() == rows


def test_simulation__left__asks_for_nothing_more(open_session, console_viewer, acme, url, monkeypatch):
    monkeypatch.setattr(slices, "SLICE_SECONDS", 0)
    # So many that nobody sees the end.
    monkeypatch.setattr(slices.ForecastSlices, "steps", slices.ForecastSlices.steps * 1000)
    session = open_session(console_viewer)
    page = session.visit(url)
    asked = []
    page.get_by_text("of 80,000,000 runs").wait_for()
    assert serious(page, "under way") == []
    assert int(page.get_by_role("progressbar").get_attribute("aria-valuenow")) >= 2_000

    page.get_by_role("link", name="Back to the experiments").click()
    page.wait_for_url(f"**{reverse('admin:experiments_experiment_changelist')}*")
    page.wait_for_load_state("networkidle")
    page.on("request", lambda request: asked.append(request.url))

    page.get_by_role("button", name="Filters").wait_for()
    assert [address for address in asked if "simulate" in address] == []


def test_simulation__without_scripts__answers_whole(open_session, console_viewer, acme, url, monkeypatch):
    monkeypatch.setattr(slices, "SLICE_SECONDS", 0)
    page = open_session(console_viewer, java_script_enabled=False).visit(url)

    ask(page, "2000")
    page.wait_for_url("**whole=1**")
    assert page.get_by_role("region", name="Forecast by method").get_by_role("row").count() == 5
    page.get_by_role("link", name="Link to this result").click()
    # An address alone does not say that there are no scripts: a button goes on, and to the end.
    page.get_by_role("button", name="Go on").click()
    page.get_by_text("Link to this result").wait_for()
