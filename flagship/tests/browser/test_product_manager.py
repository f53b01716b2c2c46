"""Tried as a new product manager would: from login to a 10 % rollout for pro users in the US, with an experiment."""

import pytest
from django.contrib.auth.hashers import make_password

from experiments.models import Experiment
from flags.models import FlagConfig
from flagship.tests.browser.conftest import window
from tenancy.roles import Role

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]

MOST_CLICKS = 25


class Clicks:
    """Counts what a person would count: each click and each choice; typing is typing."""

    def __init__(self, page):
        self.page = page
        self.count = 0

    def click(self, locator):
        self.count += 1
        locator.click()

    def choose(self, locator, label):
        # Opening the list, and picking from it.
        self.count += 2
        locator.select_option(label=label)


def test_product_manager__from_login_to_a_running_experiment__within_25_clicks(chromium, served, acme, person):
    user = person(Role.EDITOR, acme.organization, "petra")
    user.is_staff, user.password = True, make_password("correct horse battery")
    user.save()
    page = window(chromium).new_page()
    do = Clicks(page)

    page.goto(f"{served.url}/admin/")
    page.get_by_label("Username").fill("petra")
    page.locator("input[name=password]").fill("correct horse battery")
    do.click(page.get_by_role("button", name="Log in"))
    do.click(page.get_by_role("link", name="Staging", exact=True))
    do.click(page.get_by_role("link", name="New flag"))
    page.get_by_label("Key", exact=True).fill("one-page-checkout")
    do.click(page.get_by_role("button", name="Add a rule"))
    rule = page.locator("[data-rule]")
    rule.get_by_label("Name of the rule").fill("Pro in the US")
    rule.get_by_label("Attribute").fill("country")
    rule.get_by_label("Value", exact=True).fill("US")
    do.click(rule.get_by_role("button", name="Add a condition"))
    rule.get_by_label("Attribute").nth(1).fill("plan")
    rule.get_by_label("Value", exact=True).nth(1).fill("pro")
    do.choose(rule.locator("[data-serve]"), "a share of users…")
    rule.locator("[data-percent]").last.fill("10")
    do.click(page.get_by_role("switch"))
    rule.get_by_text(
        "If country is US and plan is pro: 10 % get treatment; the other 90 % fall through to the next rule."
    ).wait_for()
    do.click(page.get_by_role("button", name="Create flag"))
    page.get_by_text("one-page-checkout is there").wait_for()

    do.click(page.get_by_role("link", name="New experiment"))
    page.get_by_label("Name", exact=True).fill("One page sells more")
    assert page.get_by_label("treatment", exact=True).input_value() == "50"
    page.get_by_label("or count users with the event").fill("purchase")
    do.click(page.get_by_role("button", name="Create draft"))
    page.get_by_text("Nothing stands in its way").wait_for()
    do.click(page.get_by_role("link", name="Start…"))
    do.click(page.get_by_role("button", name="Start", exact=True))
    page.get_by_text("One page sells more is started.").wait_for()

    assert do.count <= MOST_CLICKS
    config = FlagConfig.objects.get(flag__key="one-page-checkout", environment=acme.staging)
    assert config.rules.get().allocation == [[0, 1000, "treatment"]]
    assert [item["attribute"] for item in config.rules.get().conditions] == ["country", "plan"]
    assert Experiment.objects.get().status == Experiment.Status.RUNNING
    page.context.close()
