"""Forms in a real browser: they write where they were opened, at any size, and what is refused or unsaved is seen."""

import re

import pytest
from django.urls import reverse

from flags import services
from flags.models import FlagConfig, Segment
from tenancy.testing import ALICE

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]
VARIANTS, RULES, CONDITIONS = 30, 50, 10
IS_IN_VIEW = """
(element) => {
  const box = element.getBoundingClientRect();
  return box.top >= 0 && box.bottom <= innerHeight && box.height > 0;
}
"""


def test_two_tabs__in_two_environments__write_where_each_was_opened(open_session, console_owner, acme):
    session = open_session(console_owner)
    first = session.visit(f"{reverse('admin:flags_flagconfig_add')}?environment={acme.staging.pk}")
    first.locator(".fs-environment").get_by_text("Staging").wait_for()
    second = session.page.context.new_page()
    second.goto(f"{session.base_url}{reverse('admin:flags_segment_changelist')}?environment={acme.production.pk}")
    second.locator(".fs-environment--production").get_by_text("Production").wait_for()
    second.get_by_role("link", name="Create the first segment").click()

    first.get_by_label("Key", exact=True).fill("new-search")
    first.get_by_role("switch").check()
    first.get_by_text("serves everybody its default variant, control").wait_for()
    first.get_by_role("button", name="Serve treatment to 100 %").click()
    first.get_by_role("button", name="Create flag").click()
    first.get_by_text("new-search is there").wait_for()
    second.get_by_label("Key", exact=True).fill("beta")
    second.get_by_label("Always in").fill("ann")
    second.get_by_role("button", name="Create segment").click()
    second.get_by_text("beta is there").wait_for()

    (made,) = FlagConfig.objects.filter(is_enabled=True)
    assert (made.environment, made.allocation) == (acme.staging, [[0, 10_000, "treatment"]])
    assert Segment.objects.get().environment == acme.production
    # The navigation of each tab leads on in its own environment.
    for tab, environment in ((first, acme.staging), (second, acme.production)):
        link = tab.locator("#nav-sidebar").get_by_role("link", name="Experiments", exact=True)
        assert link.get_attribute("href").endswith(f"?environment={environment.pk}")
    second.close()


@pytest.fixture
def largest(acme):
    """A flag of 30 variants and 50 rules, each with 10 conditions and a share of users."""
    conditions = [{"attribute": f"a{number}", "operator": "in", "value": ["x", "y"]} for number in range(CONDITIONS)]
    payload = {
        "key": "largest",
        "type": "string",
        "enabled": True,
        "variants": [{"key": f"v{number}", "value": f"value {number}"} for number in range(VARIANTS)],
        "rules": [
            {
                "priority": 10 * (number + 1),
                "name": f"Rule {number}",
                "conditions": conditions,
                "rollout": [{"variant": "v1", "percent": 10}, {"variant": "v2", "percent": 20}],
            }
            for number in range(RULES)
        ],
    }
    return services.create_flag(actor=ALICE, environment=acme.staging, payload=payload)[0]


def test_largest_flag__refused_is_seen_at_once__then_saved_whole(open_session, console_editor, largest):
    session = open_session(console_editor)
    page = session.visit(reverse("admin:flags_flagconfig_change", args=[largest.pk]))
    loads = []
    page.on("request", lambda sent: loads.append(sent.method) if sent.is_navigation_request() else None)
    page.locator("#preview").get_by_text("What saving changes").wait_for()
    last = page.locator("[data-rule]").last
    last.get_by_label("Name of the rule").fill("The last one")
    first = page.locator("[data-rule]").first
    first.locator("[data-percent]").nth(1).fill("many")
    last.locator("[data-percent]").nth(1).fill("95")

    page.get_by_role("button", name="Save", exact=True).click()
    focused = page.locator(":focus[aria-invalid=true]")
    focused.wait_for()
    assert focused.evaluate(IS_IN_VIEW)
    page.get_by_role("alert").get_by_role("link", name=re.compile("many.*is no number")).wait_for()
    focused.fill("10")
    page.get_by_role("button", name="Save", exact=True).click()
    # Now the server refuses: the shares of the last rule sum to more than everybody.
    page.get_by_role("alert").get_by_role("link").first.wait_for()
    session.settle()
    assert focused.evaluate(IS_IN_VIEW)

    page.locator("[data-rule]").last.locator("[data-percent]").nth(1).fill("11")
    page.get_by_role("button", name="Save", exact=True).click()
    page.get_by_text("Saved.").wait_for()
    rules = list(largest.rules.order_by("priority"))
    assert len(rules) == RULES
    assert rules[-1].name == "The last one"
    # As few users as possible move: v1 gets its hundred buckets more behind those of v2.
    assert rules[-1].allocation == [[0, 1000, "v1"], [1000, 3000, "v2"], [3000, 3100, "v1"]]
    assert all(len(rule.conditions) == CONDITIONS for rule in rules)
    # Reloading sends nothing again: the page that stands was asked for, after the form was sent.
    assert loads[-2:] == ["POST", "GET"]
    largest.refresh_from_db()
    assert largest.version == 2


def test_unsaved__is_asked_about_before_it_is_left__and_cancel_is_meant(open_session, console_owner, acme):
    session = open_session(console_owner)
    page = session.visit(f"{reverse('admin:flags_layer_add')}?environment={acme.staging.pk}")
    asked = []
    page.on("dialog", lambda dialog: (asked.append(dialog.type), dialog.dismiss()))
    key = page.get_by_label("Key")
    key.press_sequentially("till")

    page.locator("#nav-sidebar").get_by_role("link", name="Flags", exact=True).click(no_wait_after=True)
    page.wait_for_timeout(0)
    key.press("End")
    assert key.input_value() == "till"
    assert asked == ["beforeunload"]

    page.get_by_role("link", name="Cancel").click()
    page.wait_for_url("**/flags/layer/**environment=*")
    assert asked == ["beforeunload"]
