"""What helps while a flag is edited, in a real browser: suggestions, sentences, people counted, snippets."""

from datetime import timedelta

import pytest
from django.core.cache import cache
from django.urls import reverse
from django.utils import timezone
from openflagship.ids import uuid7

from analytics.event_records import Batch, ExposureEvent
from analytics.services import store_events
from flags import services
from tenancy.testing import ALICE

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


@pytest.fixture
def config(acme):
    payload = {"key": "new-checkout", "enabled": True}
    made = services.create_flag(actor=ALICE, environment=acme.staging, payload=payload)[0]
    at = round((timezone.now() - timedelta(minutes=5)).timestamp() * 1000)
    seen = [
        ExposureEvent(
            uuid7(at), acme.staging.pk, "new-checkout", f"user-{number}", "control", "DEFAULT", None, None, 1, at, at,
            "api", None, f'{{"country": "{country}", "age": {30 + number}}}',
        )
        for number, country in enumerate(("DE", "FR", "US"))
    ]  # fmt: skip
    store_events(Batch(exposures=seen))
    cache.delete(f"console:attributes:{acme.staging.pk}")
    return made


def change_url(config):
    return reverse("admin:flags_flagconfig_change", args=[config.pk])


def test_condition__attribute_seen__offers_its_values_and_what_fits_its_type(open_session, console_editor, config):
    page = open_session(console_editor).visit(change_url(config))
    page.locator("form[data-attributes-known]").wait_for()
    page.get_by_role("button", name="Add a rule").click()
    rule = page.locator("[data-rule]")
    rule.get_by_label("Attribute").fill("country")
    operators = rule.get_by_label("Comparison")
    assert operators.locator("option[value=greater_than]").is_disabled()
    assert operators.locator("option[value=starts_with]").is_enabled()
    operators.select_option(label="is one of")
    value = rule.get_by_label("Value", exact=True)
    value.fill("DE, ")
    offered = page.locator("#attribute-values option")
    assert [offered.nth(index).get_attribute("value") for index in range(2)] == ["DE, FR", "DE, US"]
    assert offered.count() == 2

    rule.get_by_label("Attribute").fill("age")
    assert operators.locator("option[value=greater_than]").is_enabled()
    assert operators.locator("option[value=starts_with]").is_disabled()


def test_rule__edited__says_in_words_what_it_does(open_session, console_editor, config):
    page = open_session(console_editor).visit(change_url(config))
    page.get_by_role("button", name="Add a rule").click()
    rule = page.locator("[data-rule]")
    rule.get_by_label("Attribute").fill("country")
    rule.get_by_label("Value", exact=True).fill("DE")
    rule.get_by_text("If country is DE: treatment.").wait_for()
    rule.get_by_label("Comparison").select_option(label="is not")
    rule.get_by_text("If country is not DE: treatment.").wait_for()


def test_preview__shares_changed__counts_the_people_of_last_week(open_session, console_editor, config):
    page = open_session(console_editor).visit(change_url(config))
    page.locator("#rollout [data-percent]").last.fill("100")
    page.get_by_text("3 people seen in the last 7 days: 3 of them would get something else").wait_for()
    page.get_by_text("(3 from control to treatment)").wait_for()


def test_snippet__copied__is_on_the_clipboard(open_session, console_viewer, config):
    page = open_session(console_viewer, permissions=["clipboard-read", "clipboard-write"]).visit(change_url(config))
    page.get_by_text("Python", exact=True).click()
    page.get_by_role("button", name="Copy the snippet for Python", exact=True).click()
    page.get_by_text("Copied.", exact=True).wait_for()
    assert page.evaluate("navigator.clipboard.readText()").startswith("import os")


def test_compare__two_environments__stand_side_by_side(open_session, console_viewer, config):
    page = open_session(console_viewer).visit(change_url(config))
    page.get_by_role("link", name="Compare", exact=True).click()
    state = page.get_by_role("row", name="State")
    assert state.get_by_role("cell").all_text_contents() == ["off", "on"]
