"""The kill switch as ops see it, on the running platform: an SDK's client is on the board, and confirms."""

import re
import uuid

import pytest
from openflagship import FlagShip

from flagship.management.commands.screenshots import sign_in
from flagship.tests.browser.conftest import window
from flagship.tests.stack import Stack, eventually

pytestmark = [pytest.mark.browser, pytest.mark.processes, pytest.mark.xdist_group("stack")]


@pytest.fixture
def page(chromium, stack: Stack):
    """Signed in as the demo's owner; whatever the page complains of fails the test."""
    complaints = []
    context = window(chromium, base_url=stack.demo["baseUrl"])
    opened = context.new_page()
    opened.on("console", lambda said: said.type == "error" and complaints.append(said.text))
    opened.on("pageerror", lambda error: complaints.append(str(error)))
    opened.on("response", lambda got: got.status >= 400 and complaints.append(f"{got.status} {got.url}"))
    sign_in(opened, stack.demo["adminUser"], stack.demo["adminPassword"])
    yield opened
    context.close()
    assert complaints == []


@pytest.fixture
def instance(stack: Stack):
    """The name under which a real client, streaming, is on the board."""
    name = f"shop-{uuid.uuid4().hex[:8]}"
    options = {"stream_url": stack.demo["streamUrl"], "instance": name}
    with FlagShip(stack.demo["serverKey"], stack.demo["baseUrl"], **options) as client:
        eventually(lambda: client.status().connection == "streaming", what="the client's stream")
        yield name


def test_kill__of_a_flag_made_in_the_console__is_confirmed_by_a_connected_sdk(stack: Stack, page, instance):
    key = f"board-{uuid.uuid4().hex[:8]}"
    page.goto("/admin/flags/flagconfig/add/")
    page.get_by_label("Key", exact=True).fill(key)
    page.get_by_role("switch").check()
    for number, country in enumerate(("DE", "FR")):
        page.get_by_role("button", name="Add a rule").click()
        rule = page.locator("[data-rule]").nth(number)
        rule.get_by_label("Attribute").fill("country")
        rule.get_by_label("Value", exact=True).fill(country)
        rule.locator("[data-serve]").select_option(label="treatment")
    page.get_by_text("If country is FR: treatment.").first.wait_for()
    page.get_by_role("button", name="Create flag").click()
    page.get_by_text(f"{key} is there").wait_for()

    page.locator("#rollout [data-percent]").last.fill("40")
    page.locator("#preview").get_by_text("40.00 % from control to treatment").wait_for()
    page.get_by_role("button", name="Save", exact=True).click()
    page.get_by_role("button", name="Yes, change production").click()
    page.get_by_text("Saved.").wait_for()
    asked = {"flagKey": key, "userId": "anna", "attributes": {"country": "FR"}}

    def variant():
        response = stack.call("POST", "/api/flags/evaluate", asked)
        return response.status == 200 and response.json()["variant"]

    eventually(lambda: variant() == "treatment", what="the rule's variant from the API")

    page.get_by_role("link", name="Kill…").click()
    page.get_by_label("Why?").fill("Errors since noon")
    page.get_by_role("button", name=f"Kill {key}").click()
    row = page.locator("#kill-status tr", has=page.get_by_role("rowheader", name=instance))
    # A service that has confirmed has a time; on a busy machine it may be called late all the same.
    took = row.get_by_text(re.compile(r"^[\d.]+ m?s$"))
    took.wait_for()
    assert row.get_by_text(re.compile("^(applied|late)$")).count() == 1
    eventually(lambda: variant() == "control", what="the kill from the API")

    page.get_by_role("link", name="Release…").click()
    page.get_by_role("button", name=f"Release {key}").click()
    page.get_by_text(f"{key} is released in").first.wait_for()
    took.wait_for()
    eventually(lambda: variant() == "treatment", what="the release from the API")

    page.get_by_role("link", name="Back to the flag").click()
    page.get_by_role("link", name="History", exact=True).click()
    page.locator("a[href$='/versions/1/']").click()
    page.get_by_role("button", name=re.compile("Restore version")).click()
    page.get_by_text(f"{key} is as it was in version 1.").wait_for()
    shares = page.locator("#rollout [data-percent]")
    assert [shares.nth(index).input_value() for index in range(2)] == ["", ""]
