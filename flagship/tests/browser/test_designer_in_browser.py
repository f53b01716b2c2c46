"""The designer as it is met elsewhere: on a phone, in the dark, with every error shown."""

import pytest
from django.urls import reverse

from experiments import services as experiment_services
from experiments.models import Experiment
from flags import services
from flagship.tests.browser.test_pages_in_browser import serious
from tenancy.testing import ALICE

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]
PHONE = {"viewport": {"width": 390, "height": 844}, "is_mobile": True}


@pytest.fixture
def address(acme):
    rollout = [{"variant": "treatment", "percent": 50}]
    payload = {"key": "new-checkout", "enabled": True, "rollout": rollout}
    services.create_flag(actor=ALICE, environment=acme.staging, payload=payload)
    metric = {"key": "purchases", "type": "binary", "eventName": "purchase"}
    experiment_services.create_metric(actor=ALICE, environment=acme.staging, payload=metric)
    return f"{reverse('admin:experiments_experiment_add')}?environment={acme.staging.pk}"


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_designer__every_error_on_a_phone__is_beside_its_field_and_clean(open_session, console_editor, address, scheme):
    page = open_session(console_editor, color_scheme=scheme, timezone_id="Europe/Berlin", **PHONE).visit(address)
    wrong = {
        "Share of users": "much", "Planned users, all variants": "some", "Error rate": "high",
        "Cap the most extreme users": "few",
    }  # fmt: skip
    for label, text in wrong.items():
        page.get_by_label(label).fill(text)
    page.get_by_label("Start by itself at").fill("2032-03-28T02:30")
    page.get_by_role("button", name="Add a condition").click()
    page.locator("[data-operator]").first.select_option("less_than")
    page.locator("[data-attribute]").first.fill("age")
    page.locator("[data-value]").first.fill("ten")
    page.get_by_role("button", name="Create draft").click()
    page.get_by_role("alert").get_by_text("There is no 02:30").wait_for()

    fields = [page.get_by_label(label) for label in [*wrong, "Start by itself at"]]
    for field in [*fields, page.locator("[data-value]").first]:
        said = page.locator(f"#{field.get_attribute('aria-describedby').split()[-1]}").text_content()
        assert field.get_attribute("aria-invalid") == "true"
        assert page.get_by_role("alert").get_by_role("link", name=said, exact=True).count() >= 1
    # The keyboard is where there is something to mend.
    assert page.evaluate("document.activeElement.id") == "id_traffic"
    assert page.get_by_label("Share of users").input_value() == "much"
    assert serious(page, "errors") == []
    assert page.evaluate("document.documentElement.scrollWidth") <= 390


def test_designer__refused_by_the_server__is_said_beside_the_field_that_the_path_names(
    open_session, console_editor, address
):
    page = open_session(console_editor).visit(address)
    page.get_by_label("Name", exact=True).fill("One page sells more")
    page.get_by_label("Primary metric").select_option("purchases")
    page.get_by_label("Planned users, all variants").fill("1")
    page.get_by_text("Guardrails: what must not get worse").click()
    page.get_by_label("Guardrail metric").first.select_option("purchases")
    page.get_by_label("Margin in percent").first.fill("0")
    page.get_by_role("button", name="Add a condition").click()
    page.locator("[data-attribute]").first.fill("country")
    page.locator("[data-value]").first.fill("DE")
    page.get_by_role("button", name="Create draft").click()

    planned = page.get_by_label("Planned users, all variants")
    page.locator("#id_planned[aria-invalid=true]").wait_for()
    assert page.evaluate("document.activeElement.id") == "id_planned"
    assert page.locator("[data-value]").first.input_value() == "DE"
    assert serious(page, "refused") == []
    planned.fill("")
    page.get_by_role("button", name="Create draft").click()
    page.locator("[aria-label='Margin in percent'][aria-invalid=true]").wait_for()
    page.get_by_label("Margin in percent").first.fill("2")
    page.get_by_role("button", name="Create draft").click()
    page.get_by_text("One page sells more is a draft.").wait_for()

    made = Experiment.objects.get()
    assert made.audience == {"all": [{"attribute": "country", "operator": "equals", "value": "DE"}]}
    assert made.metrics.get().margin_percent == 2


def test_designer__plan_is_drawn_anew__keyboard_stays_on_its_link(open_session, console_editor, address):
    page = open_session(console_editor).visit(address)
    page.get_by_role("link", name="Simulate a design").focus()
    page.evaluate("document.activeElement.dataset.drawn = 'before'")
    page.get_by_label("Hypothesis").evaluate("field => field.dispatchEvent(new Event('input', { bubbles: true }))")
    page.locator("#preview a:not([data-drawn])").wait_for()
    assert page.evaluate("document.activeElement.textContent") == "Simulate a design"


def test_designer__opened__has_the_keyboard_on_the_name(open_session, console_editor, address):
    page = open_session(console_editor).visit(address)

    page.locator("#id_name:focus").wait_for()
