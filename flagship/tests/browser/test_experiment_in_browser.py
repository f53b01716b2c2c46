"""An experiment in a real browser: designed, started, fed, read, broken down, its charts taken away, edited."""

import json
from datetime import timedelta

import pytest
from django.core.cache import cache
from django.urls import reverse
from openflagship.ids import uuid7

from analytics.event_records import Batch, ConversionEvent, ExposureEvent
from analytics.services import store_events
from experiments import services as experiment_services
from experiments.admin.results import results_page as results
from experiments.models import Experiment
from flags import services
from tenancy.testing import ALICE

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]
USERS, BOUGHT = 400, {"control": 40, "treatment": 90}


@pytest.fixture
def config(acme):
    rollout = [{"variant": "treatment", "percent": 50}]
    payload = {"key": "new-checkout", "enabled": True, "rollout": rollout}
    return services.create_flag(actor=ALICE, environment=acme.staging, payload=payload)[0]


def feed(experiment):
    """Users of both variants, some of whom buy, from one country or the other."""
    at = round((experiment.started_at + timedelta(milliseconds=1)).timestamp() * 1000)
    exposures, conversions = [], []
    for variant, bought in BOUGHT.items():
        for number in range(USERS):
            unit, country = f"{variant}-{number}", "DE" if number % 4 else "FR"
            exposures.append(
                ExposureEvent(
                    uuid7(at), experiment.environment_id, "new-checkout", unit, variant, "EXPERIMENT", None,
                    experiment.key, 1, at, at, "api", None, json.dumps({"country": country}),
                )
            )  # fmt: skip
            if number < bought:
                conversions.append(
                    ConversionEvent(uuid7(at), experiment.environment_id, unit, "purchase", None, at + 1, at + 1)
                )
    store_events(Batch(exposures, conversions))
    cache.delete(f"console:attributes:{experiment.environment_id}")


# Texts in headings of columns and rows that take more lines than they have words, hyphened ones being several.
BROKEN_WORDS = """
() => [...document.querySelectorAll(".fs-table th")].flatMap((heading) => [...heading.childNodes]).filter((node) => {
  const words = node.textContent.trim().split(/[\\s-]+/).length, text = document.createRange();
  text.selectNodeContents(node);
  return node.nodeType === Node.TEXT_NODE && text.getClientRects().length > words;
}).map((node) => node.textContent)
"""


def test_experiment__designed_started_and_fed__is_read_and_taken_away(open_session, console_editor, acme, config):
    page = open_session(console_editor).visit(
        f"{reverse('admin:experiments_experiment_add')}?environment={acme.staging.pk}"
    )
    page.get_by_label("Name", exact=True).fill("One page sells more")
    page.get_by_label("or count users with the event").fill("purchase")
    page.get_by_label("Break results down by").fill("country")
    page.get_by_label("Rate today").fill("10")
    page.get_by_text("users in all to see a change of 10 %").wait_for()
    page.get_by_role("button", name="Create draft").click()
    page.get_by_text("Nothing stands in its way").wait_for()
    page.get_by_role("link", name="Start…").click()
    page.get_by_role("button", name="Start", exact=True).click()
    page.get_by_text("One page sells more is started.").wait_for()
    experiment = Experiment.objects.get()
    assert experiment.breakdowns == ["country"]
    feed(experiment)

    page.get_by_role("link", name="Results").click()
    page.locator("#recommendation").wait_for()
    rates = page.get_by_role("region", name="Figures per variant")
    assert "10.00 %" in rates.text_content()
    assert "22.50 %" in rates.text_content()
    page.get_by_text("Sample ratio over the whole window: fine.").wait_for()
    page.set_viewport_size({"width": 390, "height": 844})
    assert page.evaluate(BROKEN_WORDS) == []
    page.set_viewport_size({"width": 1440, "height": 900})

    tip = page.get_by_role("tooltip")
    assert not tip.is_visible()
    page.get_by_role("button", name="How this is computed").focus()
    tip.wait_for()
    page.keyboard.press("Escape")
    tip.wait_for(state="hidden")

    page.get_by_label("by", exact=True).fill("country")
    page.get_by_role("button", name="Break down").click()
    table = page.get_by_role("region", name="Figures by country").get_by_role("row")
    assert [table.nth(index).get_by_role("rowheader").text_content() for index in (1, 2)] == ["DE", "FR"]

    with page.expect_download() as download:
        page.get_by_role("link", name="as SVG").first.click()
    assert download.value.suggested_filename == f"lift-{experiment.pk}.svg"
    with page.expect_download() as download:
        page.get_by_role("button", name="as PNG").first.click()
    assert download.value.suggested_filename == "lift.png"
    picture = download.value.path().read_bytes()
    assert picture.startswith(b"\x89PNG")


def test_experiment__running__shows_what_is_locked_and_saves_what_is_not(open_session, console_editor, acme, config):
    metric = {"key": "purchases", "type": "binary", "eventName": "purchase"}
    experiment_services.create_metric(actor=ALICE, environment=acme.staging, payload=metric)
    content = {"name": "Checkout", "flagKey": "new-checkout", "primaryMetric": "purchases", "trafficPercent": 20}
    draft = experiment_services.create_experiment(actor=ALICE, environment=acme.staging, payload=content)
    experiment_services.start_experiment(actor=ALICE, environment=acme.staging, pk=draft.pk)
    page = open_session(console_editor).visit(reverse("admin:experiments_experiment_change", args=[draft.pk]))

    page.get_by_role("link", name="Edit", exact=True).click()
    page.get_by_role("row", name="Primary metric").wait_for()
    page.get_by_label("Share of users").fill("10")
    page.get_by_role("button", name="Save", exact=True).click()
    page.get_by_role("alert").get_by_text("may grow, not shrink").wait_for()
    page.get_by_label("Share of users").fill("60")
    page.get_by_role("button", name="Save", exact=True).click()
    page.get_by_text("Saved.").wait_for()

    draft.refresh_from_db()
    assert draft.traffic_bp == 6000


@pytest.fixture
def awaited(acme, config, monkeypatch):
    """An experiment of so many users that its figures come after the page."""
    metric = {"key": "purchases", "type": "binary", "eventName": "purchase"}
    experiment_services.create_metric(actor=ALICE, environment=acme.staging, payload=metric)
    content = {"name": "Checkout", "flagKey": "new-checkout", "primaryMetric": "purchases", "breakdowns": ["country"]}
    draft = experiment_services.create_experiment(actor=ALICE, environment=acme.staging, payload=content)
    experiment, _ = experiment_services.start_experiment(actor=ALICE, environment=acme.staging, pk=draft.pk)
    feed(experiment)
    # Their number is an estimate, so the limit stands well below it.
    monkeypatch.setattr(results, "AT_ONCE_USERS", USERS)
    return reverse("admin:experiments_experiment_results", args=[experiment.pk])


def test_results__of_very_many__come_after_the_page_and_are_broken_down(open_session, console_viewer, awaited):
    page = open_session(console_viewer).visit(awaited)
    page.locator("#recommendation").wait_for()
    page.get_by_role("status").get_by_text("Worked out at").wait_for()
    assert page.get_by_role("progressbar").count() == 0

    page.locator("form[data-attributes-known]").get_by_label("by", exact=True).fill("country")
    page.get_by_role("button", name="Break down").click()
    page.get_by_role("region", name="Figures by country").wait_for()
    assert page.url.endswith("?segment=country#breakdown")
    page.wait_for_function("Math.abs(document.getElementById('breakdown').getBoundingClientRect().top) < innerHeight")


def test_results__of_very_many__do_not_come__says_so(open_session, console_viewer, awaited):
    session = open_session(console_viewer)
    session.page.route("**/results/?part=figures", lambda route: route.fulfill(status=422, body=""))

    page = session.visit(awaited)

    page.get_by_role("alert").get_by_text("This part of the page did not come.").wait_for()
    assert page.get_by_role("progressbar").count() == 0
    assert "Working out" not in page.locator("[data-load-status]").text_content()


def test_results__of_very_many__without_scripts__are_on_the_page(open_session, console_viewer, awaited):
    page = open_session(console_viewer, java_script_enabled=False).visit(awaited)

    page.locator("#recommendation").wait_for()
    assert page.url.endswith("?whole=1")


def test_complete__of_very_many__says_what_the_results_say(open_session, console_editor, awaited):
    page = open_session(console_editor).visit(awaited.replace("/results/", "/complete/"))

    page.get_by_text("The results say:").wait_for()
    page.get_by_label("Stop: those who take part").check()
