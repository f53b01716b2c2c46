"""What takes long, in a real browser: progress while flags are archived, and a form that is sent once."""

import threading

import pytest
from django.urls import reverse

from flags import services
from flags.admin.flag import edit
from flags.admin.list import bulk
from flags.models import Flag
from flagship.tests.browser.test_pages_in_browser import serious
from tenancy.testing import ALICE

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]

# Playwright's own locators wait until the page that was asked for is there, and so see nothing of the time before.
PRESS_TWICE_AND_WATCH = """
() => new Promise((resolve) => {
  const button = document.querySelector(".fs-savebar button[type=submit]");
  button.click();
  button.click();
  new MutationObserver(() => {
    const bar = document.querySelector("#flag-form [role=progressbar]");
    if (bar) resolve(bar.ariaLabel);
  }).observe(document.body, { childList: true, subtree: true });
})
"""


@pytest.fixture
def configs(acme):
    payloads = [
        {"key": "base", "enabled": True},
        {"key": "child", "prerequisites": [{"flagKey": "base", "variants": ["treatment"]}]},
        {"key": "other"},
    ]
    return [services.create_flag(actor=ALICE, environment=acme.staging, payload=payload)[0] for payload in payloads]


def test_archive__more_than_a_slice__shows_progress_and_what_was_left(
    open_session, console_owner, acme, configs, monkeypatch
):
    monkeypatch.setattr(bulk, "SLICE_SECONDS", 0)
    listed = f"{reverse('admin:flags_flagconfig_changelist')}?environment={acme.staging.pk}"
    session = open_session(console_owner)
    page = session.visit(listed)
    bars = []
    session.page.on("response", lambda answer: bars.append(answer) if answer.url.endswith("archive-many/") else None)

    page.locator("#action-toggle").check()
    page.locator("#changelist-actions select[name=action]").select_option(label="Archive")
    page.locator("#changelist-actions").get_by_role("button", name="Run").click()
    page.get_by_label("Why?").fill("Clean-up")
    assert serious(page, "asked") == []
    page.get_by_role("button", name="Archive 3").click()

    page.get_by_text("Finished: 2 archived, 1 left as they are.").wait_for()
    bar = page.get_by_role("progressbar")
    assert (bar.get_attribute("aria-valuenow"), bar.get_attribute("aria-valuemax")) == ("3", "3")
    page.get_by_role("row", name="base").get_by_text("child (staging, prerequisite)").wait_for()
    assert len(bars) == 3
    assert serious(page, "finished") == []
    assert set(Flag.objects.filter(is_archived=True).values_list("key", flat=True)) == {"child", "other"}


def test_form__pressed_twice_while_it_takes_long__is_sent_once_and_says_so(
    open_session, console_owner, configs, monkeypatch
):
    sent, may_go_on, update = [], threading.Event(), services.update_flag

    def slow(**given):
        sent.append(given)
        may_go_on.wait(60)
        return update(**given)

    monkeypatch.setattr(edit.services, "update_flag", slow)
    shown = open_session(console_owner).visit(reverse("admin:flags_flagconfig_change", args=[configs[2].pk]))
    shown.locator("#rollout [data-percent]").last.fill("10")

    said = shown.evaluate(PRESS_TWICE_AND_WATCH)
    may_go_on.set()
    shown.get_by_text("Saved.").wait_for()

    assert said == "Working on it"
    assert len(sent) == 1
    assert shown.locator("form[aria-busy]").count() == 0
