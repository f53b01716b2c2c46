"""A rule's conditions in groups and several names in bucketBy, made in a real browser and read back as they were."""

import pytest
from django.urls import reverse

from flags import services
from flags.documents import flag_document
from flags.selectors import get_config
from tenancy.testing import ALICE

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


def test_rule__grouped_by_the_keyboard_with_two_units__is_stored_and_comes_back(open_session, console_editor, acme):
    kept = {"not": {"attribute": "country", "operator": "equals", "value": "US"}}
    rules = [
        {"priority": 10, "name": "kept", "variant": "treatment", "conditions": kept},
        {"priority": 20, "name": "rows", "variant": "treatment",
         "conditions": [{"attribute": "plan", "operator": "equals", "value": "pro"}]},
    ]  # fmt: skip
    payload = {"key": "grouped", "enabled": True, "rules": rules}
    config, _ = services.create_flag(actor=ALICE, environment=acme.staging, payload=payload)
    page = open_session(console_editor).visit(reverse("admin:flags_flagconfig_change", args=[config.pk]))
    rule = page.locator("[data-rule]").nth(1)
    rule.get_by_role("button", name="Group with any, all or not").press("Enter")
    kind = rule.get_by_label("How the group counts")
    assert kind.evaluate("element => element === document.activeElement"), "the keyboard goes on in the group"
    kind.select_option(label="any of these holds")
    rule.get_by_role("button", name="Add a condition").press("Enter")
    added = rule.locator(".fs-condition").nth(1)
    added.get_by_label("Attribute").fill("seats")
    added.get_by_label("Comparison").select_option(label="is at least")
    added.get_by_label("Value", exact=True).fill("many")
    page.get_by_text("“many” is no number; write it like 18 or 2.5.").first.wait_for()
    added.get_by_label("Value", exact=True).fill("10")
    page.get_by_text("If plan is pro or seats is at least 10: treatment.").first.wait_for()

    page.get_by_text("Bucket by another attribute than the user").click()
    page.get_by_label("Attribute", exact=True).and_(page.locator("#id_bucket")).fill("deviceId")
    page.get_by_label("Where that is absent").fill("userId")
    page.get_by_role("button", name="Save", exact=True).click()
    page.get_by_text("Saved.").wait_for()

    document = flag_document(get_config(acme.staging, "grouped"))
    wanted = {"any": [rules[1]["conditions"][0], {"attribute": "seats", "operator": "greater_or_equal", "value": 10}]}
    assert [rule["conditions"] for rule in document["rules"]] == [kept, wanted]
    assert document["bucketBy"] == ["deviceId", "userId"]
    assert page.get_by_label("Where that is absent").input_value() == "userId"
    assert page.locator("[data-rule]").nth(1).locator(".fs-condition").count() == 2
    page.get_by_role("button", name="Save", exact=True).click()
    page.get_by_text("Nothing was different").wait_for()
