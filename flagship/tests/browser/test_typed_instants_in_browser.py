"""Dates typed by a viewer's own clock, with UTC beside them: in the designer, while it runs, tried out, for a key."""

import pytest
from django.urls import reverse

from experiments import services as experiment_services
from experiments.models import Experiment
from flags import services
from flagship.tests.browser.test_pages_in_browser import serious
from tenancy.models import Credential
from tenancy.testing import ALICE

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]
BERLIN = {"timezone_id": "Europe/Berlin"}
START, END = "Start by itself at (your time, Europe/Berlin)", "Pause for a decision at (your time, Europe/Berlin)"


@pytest.fixture
def draft(acme):
    rollout = [{"variant": "treatment", "percent": 50}]
    payload = {"key": "new-checkout", "enabled": True, "rollout": rollout}
    services.create_flag(actor=ALICE, environment=acme.staging, payload=payload)
    metric = {"key": "purchases", "type": "binary", "eventName": "purchase"}
    experiment_services.create_metric(actor=ALICE, environment=acme.staging, payload=metric)
    # The second half past two of that night in Berlin, to the second.
    content = {
        "name": "Checkout", "flagKey": "new-checkout", "primaryMetric": "purchases",
        "startsAt": "2031-07-01T10:00:00Z", "endsAt": "2031-10-26T01:30:15Z",
    }  # fmt: skip
    return experiment_services.create_experiment(actor=ALICE, environment=acme.staging, payload=content)


def edit(draft):
    return reverse("admin:experiments_experiment_edit", args=[draft.pk])


def dates(draft):
    draft.refresh_from_db()
    return tuple(at.isoformat().replace("+00:00", "Z") if at else None for at in (draft.starts_at, draft.ends_at))


def test_draft__dates__are_shown_typed_and_kept_by_the_viewers_clock(open_session, console_editor, draft):
    page = open_session(console_editor, **BERLIN).visit(edit(draft))

    assert page.get_by_label(START).input_value() == "2031-07-01T12:00"
    page.get_by_text("2031-07-01 10:00 UTC").wait_for()
    page.get_by_text("2031-10-26 01:30 UTC: your clock shows this time twice, and the second is meant.").wait_for()
    page.get_by_label(START).fill("2031-01-01T12:00")
    page.get_by_text("2031-01-01 11:00 UTC").wait_for()
    page.get_by_role("button", name="Save", exact=True).click()
    page.get_by_text("Saved.").wait_for()

    assert dates(draft) == ("2031-01-01T11:00:00Z", "2031-10-26T01:30:15Z")
    # As everywhere: one's own time, UTC on hover.
    assert page.get_by_title("2031-01-01 11:00:00 UTC").text_content() == "1 Jan 2031, 12:00"


def test_running__time_that_comes_twice_or_never__is_said_and_refused_beside_its_field(
    open_session, console_editor, acme, draft
):
    experiment_services.start_experiment(actor=ALICE, environment=acme.staging, pk=draft.pk)
    page = open_session(console_editor, **BERLIN).visit(edit(draft))

    page.get_by_label(END).fill("2032-03-28T02:30")
    page.get_by_text("Your clock is put forward then, and skips this time.").wait_for()
    page.get_by_role("button", name="Save", exact=True).click()
    page.get_by_role("alert").get_by_text("There is no 02:30 on 2032-03-28 in Europe/Berlin").wait_for()
    assert page.get_by_label(END).input_value() == "2032-03-28T02:30"
    assert serious(page, "refused") == []
    page.get_by_label(END).fill("2032-10-31T02:30")
    page.get_by_text("2032-10-31 00:30 UTC: your clock shows this time twice, and the first is meant.").wait_for()
    page.get_by_role("button", name="Save", exact=True).click()
    page.get_by_text("Saved.").wait_for()

    assert dates(draft)[1] == "2032-10-31T00:30:00Z"


def test_date_half_typed__is_not_sent_as_none(open_session, console_editor, draft):
    page = open_session(console_editor, **BERLIN).visit(edit(draft))

    page.get_by_label(START).focus()
    page.keyboard.press("Delete")
    assert page.get_by_label(START).evaluate("field => field.validity.badInput")
    page.get_by_role("button", name="Save", exact=True).click()

    assert page.evaluate("document.activeElement.name") == "startsAt"
    assert page.url.endswith("/edit/")
    assert dates(draft)[0] == "2031-07-01T10:00:00Z"


def test_draft__without_scripts__is_in_utc_and_says_that_it_cannot_be_saved(open_session, console_editor, draft):
    page = open_session(console_editor, java_script_enabled=False, **BERLIN).visit(edit(draft))

    assert page.get_by_label("Start by itself at (UTC)").input_value() == "2031-07-01T10:00"
    assert "Editing needs JavaScript: this page cannot save without it." in page.locator("body").inner_text()
    page.get_by_label("Start by itself at (UTC)").fill("2031-07-01T11:00")
    page.get_by_role("button", name="Save", exact=True).click()

    page.get_by_role("alert").get_by_text("Editing needs JavaScript: switch it on and try again.").wait_for()
    assert dates(draft) == ("2031-07-01T10:00:00Z", "2031-10-26T01:30:15Z")


def test_try__link_to_a_time__is_the_same_instant_in_another_zone(open_session, console_editor, draft):
    address = reverse("admin:flags_flagconfig_try", args=[draft.config_id])
    page = open_session(console_editor, timezone_id="America/New_York").visit(address)
    page.get_by_label("User id", exact=True).fill("bob")
    page.get_by_text("As it was at another time").click()
    page.get_by_label("At (your time, America/New_York)").fill("2031-07-01T08:00")
    page.get_by_role("button", name="Try it").click()
    page.wait_for_url("**at=2031-07-01T08**")
    link = page.url.partition("/admin/")[2]

    page = open_session(console_editor, **BERLIN).visit(f"/admin/{link}")

    assert page.get_by_label("At (your time, Europe/Berlin)").input_value() == "2031-07-01T14:00"
    page.get_by_text("2031-07-01 12:00 UTC").wait_for()


def test_key__expiry__is_by_the_viewers_clock(open_session, console_owner, acme):
    page = open_session(console_owner, **BERLIN).visit(reverse("admin:tenancy_credential_add"))

    page.get_by_label("Name").fill("shop")
    page.get_by_label("Expires (your time, Europe/Berlin)").fill("2031-07-01T14:00")
    page.get_by_text("2031-07-01 12:00 UTC").wait_for()
    assert serious(page, "key") == []
    page.get_by_role("button", name="Create and show once").click()
    page.get_by_text("Copy the secret now").first.wait_for()

    assert Credential.objects.get().expires_at.isoformat() == "2031-07-01T12:00:00+00:00"


def test_audit__a_time_of_ones_own__filters_by_that_instant(open_session, console_owner, draft):
    page = open_session(console_owner, **BERLIN).visit(reverse("admin:audit_entry_changelist"))

    page.get_by_role("button", name="Filters").click()
    page.get_by_label("From (your time, Europe/Berlin)").fill("2031-07-01T14:00")
    page.get_by_text("2031-07-01 12:00 UTC").wait_for()
    assert serious(page, "filters") == []
    page.get_by_role("button", name="Apply filters").click()
    page.wait_for_url("**occurred_at_from_zone=Europe%2FBerlin**")

    assert page.locator("#result_list tbody tr").count() == 0
    page.get_by_role("button", name="Filters").click()
    assert page.get_by_label("From (your time, Europe/Berlin)").input_value() == "2031-07-01T14:00"
    assert Experiment.objects.count() == 1
