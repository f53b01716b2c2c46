"""Approvals, freezes, webhooks, the inbox, flag debt and policies without a mouse, in a real browser."""

import pytest
from django.urls import reverse

from approvals.models import Freeze

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]

# What a person may act on in the page's own part. Of radio buttons of one name Tab stops at one; arrows do the rest.
CONTROLS = """
() => {
  const seen = (one) => one.checkVisibility() && !one.matches(":disabled, :disabled *, [inert] *");
  const names = new Set();
  const found = [...document.querySelectorAll(
    "#main :is(a[href], button, input:not([type=hidden]), select, textarea, summary, [tabindex='0'])",
  )].filter(seen).filter((one) => {
    if (one.type !== "radio") return true;
    const isFirst = !names.has(one.name);
    names.add(one.name);
    return isFirst;
  });
  window.controls = found;
  return found.length;
}
"""
# Where the keyboard is: the control's place (a radio button's is that of its name), and whether one can see it.
FOCUSED = """
() => {
  const one = document.activeElement;
  const place = window.controls.findIndex((each) => each === one || (each.type === "radio" && each.name === one.name));
  const style = getComputedStyle(one);
  const isMarked = (style.outlineStyle !== "none" && style.outlineWidth !== "0px") || style.boxShadow !== "none";
  return [place, isMarked ? "" : one.outerHTML.slice(0, 160), document.activeElement === document.body];
}
"""
PAGES = [
    ("admin:approvals_changerequest_changelist", ""),
    ("admin:approvals_changerequest_change", ""),
    ("admin:approvals_changerequest_rebase", "in conflict"),
    ("admin:approvals_changerequest_policy", ""),
    ("admin:approvals_freeze_changelist", ""),
    ("admin:integrations_webhookendpoint_changelist", ""),
    ("admin:integrations_webhookendpoint_add", ""),
    ("admin:integrations_webhookendpoint_change", ""),
    ("admin:integrations_notification_changelist", ""),
    ("admin:integrations_notification_settings", ""),
    ("admin:flags_flagconfig_debt", ""),
]


def test_pages__by_tab_alone__let_each_control_be_reached_and_seen(open_session, world):
    session, wrong = open_session(world.people["owner"]), []
    for route, subject in PAGES:
        page = session.visit(world.url(route, subject))
        session.settle()
        page.locator("#main").focus()
        many, reached, unmarked = page.evaluate(CONTROLS), [], set()
        for _ in range(2 * many + 5):
            page.keyboard.press("Tab")
            place, unseen, is_out = page.evaluate(FOCUSED)
            if is_out or (place < 0 and reached):
                break
            reached += [place] if place >= 0 else []
            unmarked |= {unseen} - {""}
        missed = sorted(set(range(many)) - set(reached))
        if not many or missed:
            wrong.append(
                (route, "never reached", [page.evaluate("n => controls[n].outerHTML", n)[:160] for n in missed])
            )
        if reached != sorted(reached):
            wrong.append((route, "in another order than on the page", reached))
        if unmarked:
            wrong.append((route, "not seen to have the keyboard", sorted(unmarked)))
    assert wrong == []


def test_freeze__made_by_keyboard__with_a_dialog_that_keeps_it(open_session, console_owner, acme):
    address = f"{reverse('admin:approvals_freeze_add')}?environment={acme.production.pk}"
    page = open_session(console_owner).visit(address)
    name = page.get_by_label("Name")
    name.focus()
    page.keyboard.press("Control+k")
    page.locator("dialog[open]").wait_for()
    for _ in range(8):
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement === document.body || !!document.activeElement.closest('dialog')")
    page.keyboard.press("Escape")
    page.locator("dialog[open]").wait_for(state="detached")
    assert name.evaluate("one => one === document.activeElement"), "the keyboard is back where it was"

    page.keyboard.type("Holidays")
    page.keyboard.press("Enter")

    page.wait_for_url(lambda url: "/freeze/add/" not in url)
    assert Freeze.objects.get().name == "Holidays"
