"""Flags in a real browser: made, targeted, previewed, saved, killed, released; and two people at once."""

import re

import pytest
from django.urls import reverse

from audit.models import Entry
from flags import services
from flags.models import FlagConfig
from tenancy.testing import ALICE

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


@pytest.fixture
def config(acme):
    payload = {"key": "new-checkout", "enabled": True, "rollout": [{"variant": "treatment", "percent": 25}]}
    return services.create_flag(actor=ALICE, environment=acme.staging, payload=payload)[0]


def change_url(config):
    return reverse("admin:flags_flagconfig_change", args=[config.pk])


def add_rule(page, name, attribute, operator, value):
    page.get_by_role("button", name="Add a rule").click()
    rule = page.locator("[data-rule]").last
    rule.get_by_label("Name of the rule").fill(name)
    rule.get_by_label("Attribute").fill(attribute)
    rule.get_by_label("Comparison").select_option(label=operator)
    rule.get_by_label("Value", exact=True).fill(value)
    return rule


def test_flag__created_with_two_rules__says_what_it_does_and_is_stored(open_session, console_editor, acme):
    page = open_session(console_editor).visit(f"{reverse('admin:flags_flagconfig_add')}?environment={acme.staging.pk}")
    page.get_by_label("Key", exact=True).fill("new-search")
    page.get_by_role("switch").check()
    add_rule(page, "Germany", "country", "is", "DE").locator("[data-serve]").select_option(label="treatment")
    adults = add_rule(page, "Adults", "age", "is at least", "18")
    adults.locator("[data-serve]").select_option(label="a share of users…")
    adults.locator("[data-percent]").last.fill("12.5")
    page.locator("#rollout [data-percent]").last.fill("10")

    page.locator("#preview").get_by_text("If country is DE: treatment.").wait_for()
    page.locator("#preview").get_by_text(
        "If age is at least 18: 12.5 % get treatment; the other 87.5 % fall through to the next rule."
    ).wait_for()
    page.get_by_role("button", name="Create flag").click()
    page.get_by_text("new-search is there").wait_for()

    made = FlagConfig.objects.get(flag__key="new-search", environment=acme.staging)
    assert made.is_enabled
    assert made.allocation == [[0, 1000, "treatment"]]
    germany, adults_rule = made.rules.order_by("priority")
    assert germany.conditions == [{"attribute": "country", "operator": "equals", "value": "DE"}]
    assert adults_rule.conditions == [{"attribute": "age", "operator": "greater_or_equal", "value": 18}]
    assert adults_rule.allocation == [[0, 1250, "treatment"]]


def test_preview__slider_moved__counts_whom_saving_would_move(open_session, console_editor, config):
    page = open_session(console_editor).visit(change_url(config))
    page.get_by_text("Nothing yet: nobody gets anything else.").wait_for()

    page.locator("#rollout [data-slider]").last.fill("30")

    page.locator("#preview").get_by_text("5.00 % from control to treatment").wait_for()
    assert page.locator("#rollout [data-percent]").last.input_value() == "30"
    config.refresh_from_db()
    assert config.version == 1


def test_rules__moved_by_keyboard__decide_in_the_new_order(open_session, console_editor, config):
    page = open_session(console_editor).visit(change_url(config))
    add_rule(page, "First", "country", "is", "DE")
    second = add_rule(page, "Second", "country", "is", "FR")

    second.get_by_label("Move the rule up").focus()
    page.keyboard.press("Enter")
    page.get_by_role("button", name="Save", exact=True).click()
    page.get_by_text("Saved.").wait_for()

    assert [rule.name for rule in config.rules.order_by("priority")] == ["Second", "First"]


def test_rule__dragged__is_where_it_was_dropped(open_session, console_editor, config):
    page = open_session(console_editor).visit(change_url(config))
    add_rule(page, "First", "country", "is", "DE")
    add_rule(page, "Second", "country", "is", "FR")

    rules = page.locator("[data-rule]")
    rules.nth(1).locator(".fs-rule__number").drag_to(rules.nth(0), target_position={"x": 60, "y": 4})

    assert rules.nth(0).get_by_label("Name of the rule").input_value() == "Second"


def test_variant__renamed__keeps_its_share_and_rules(open_session, console_editor, acme):
    payload = {
        "key": "colour",
        "type": "string",
        "variants": [{"key": "a", "value": "red"}, {"key": "b", "value": "blue"}],
        "rollout": [{"variant": "b", "percent": 40}],
        "rules": [{"priority": 10, "variant": "b", "conditions": [{"attribute": "plan", "operator": "exists"}]}],
    }
    config = services.create_flag(actor=ALICE, environment=acme.staging, payload=payload)[0]
    page = open_session(console_editor).visit(change_url(config))

    page.get_by_label("Variant's key").nth(1).fill("blue")
    page.get_by_role("button", name="Add a variant").click()
    page.get_by_label("Variant's key").nth(2).fill("green")
    page.get_by_label("Variant's value").nth(2).fill("green")
    page.get_by_role("button", name="Save", exact=True).click()
    page.get_by_text("Saved.").wait_for()

    config.refresh_from_db()
    config.flag.refresh_from_db()
    assert [variant["key"] for variant in config.flag.variants] == ["a", "blue", "green"]
    assert config.allocation == [[0, 4000, "blue"]]
    assert config.rules.get().variant == "blue"


def test_kill_and_release__work(open_session, console_editor, config):
    page = open_session(console_editor).visit(change_url(config))
    page.get_by_role("link", name=re.compile("Kill")).click()
    page.get_by_text("25.00 % of users get something else than now").wait_for()
    page.get_by_label("Why?").fill("Errors since noon")
    page.get_by_role("button", name="Kill new-checkout").click()
    page.get_by_text("new-checkout is killed in Web · Staging: everybody gets control").wait_for()
    config.refresh_from_db()
    assert config.kill_switch_variant == "control"

    page.get_by_role("link", name="Release…").click()
    page.get_by_role("button", name="Release new-checkout").click()
    page.get_by_text("is released in Web · Staging").wait_for()

    config.refresh_from_db()
    assert not config.is_killed
    assert list(Entry.objects.order_by("id").values_list("action", flat=True))[-2:] == ["flag.killed", "flag.released"]


def test_two_people__edit_at_once__neither_loses_anything(open_session, console_owner, console_editor, config):
    first, second = open_session(console_owner), open_session(console_editor)
    mine, theirs = first.visit(change_url(config)), second.visit(change_url(config))
    theirs.locator("#rollout [data-percent]").last.fill("60")
    theirs.get_by_role("button", name="Save", exact=True).click()
    theirs.get_by_text("Saved.").wait_for()

    add_rule(mine, "Germany", "country", "is", "DE")
    mine.get_by_role("button", name="Save", exact=True).click()

    mine.get_by_text("eddie changed this flag while you were editing").wait_for()
    theirs_shown = mine.locator("#conflict")
    theirs_shown.get_by_text("Default rollout: 60 % treatment, was 25 % treatment.").wait_for()
    assert mine.locator("#rollout [data-percent]").last.input_value() == "60"
    mine.get_by_role("button", name="Save mine over theirs").click()
    mine.get_by_text("Saved.").wait_for()
    config.refresh_from_db()
    assert config.allocation == [[0, 6000, "treatment"]]
    assert config.rules.get().name == "Germany"
