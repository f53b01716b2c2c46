"""The whole path of a change: propose, object, edit, approve twice, publish at an instant, revert."""

from datetime import UTC, datetime

import pytest
from django.urls import reverse

from approvals.models import ChangeRequest
from approvals.services import publish_due, set_policy
from flags import services
from flags.selectors import get_config
from flagship.tests.browser.test_pages_in_browser import serious
from tenancy.admin.testing import signed_in
from tenancy.roles import Role
from tenancy.testing import ALICE

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


def test_change__proposed_objected_edited_approved_twice__is_published_at_its_instant_and_undone(
    open_session, console_editor, console_owner, acme, person
):
    staging = acme.staging
    services.create_flag(actor=ALICE, environment=staging, payload={"key": "new-checkout"})
    asked = {"requiredApprovals": 2, "approvers": {"roles": ["admin"]}}
    set_policy(actor=ALICE, environment=staging, payload=asked, version=1)
    config = get_config(staging, "new-checkout")
    author, olga = open_session(console_editor), open_session(console_owner)
    dora = open_session(signed_in(person(Role.ADMIN, acme.organization, "dora")))

    # Proposed: what is asked is said before anything is typed.
    page = author.visit(reverse("admin:flags_flagconfig_change", args=[config.pk]))
    page.get_by_text("Staging asks for 2 approvals by admins before a change is served.").wait_for()
    page.get_by_role("switch", name="On").check()
    page.get_by_label("Reason for the change").fill("Begin with the new checkout")
    assert serious(author.settle(), "a flag that asks for approval") == []
    page.get_by_role("button", name="Ask for approval").click()
    page.get_by_role("heading", name="Begin with the new checkout").wait_for()
    page.get_by_text("Switched on.").wait_for()
    assert serious(page, "request") == []
    request = ChangeRequest.objects.get()
    address = reverse("admin:approvals_changerequest_change", args=[request.pk])

    # Objected.
    page = olga.visit(address)
    page.get_by_label("What do you think?").fill("Half of them first")
    page.get_by_role("button", name="Object", exact=True).click()
    page.get_by_text("olga objects; settle it").wait_for()

    # Edited in the flag's own form: other content. Then, at an instant.
    page = author.visit(address)
    page.get_by_role("link", name="Edit it in the form of new-checkout").click()
    page.get_by_text("You edit what the request").wait_for()
    assert page.get_by_role("switch", name="On").is_checked()
    page.locator("#rollout [data-percent]").last.fill("50")
    assert serious(author.settle(), "a request in the flag's form") == []
    page.get_by_role("button", name="Change the request").click()
    page.get_by_text("Default rollout: 50 % treatment").wait_for()
    page.get_by_role("link", name="Edit", exact=True).click()
    page.get_by_label("Publish at").fill("2099-01-01T08:00")
    page.get_by_role("button", name="Save", exact=True).click()
    page.get_by_text("Half of them first", exact=True).wait_for()

    # Approved twice.
    page = olga.visit(address)
    page.get_by_text("Default rollout: 50 % treatment").wait_for()
    page.get_by_role("button", name="Approve").click()
    page.get_by_text("1 more approval of exactly this content").wait_for()
    page = dora.visit(address)
    page.get_by_role("button", name="Approve").click()
    page.get_by_role("link", name="Publish…").wait_for()

    # Published at its instant.
    assert not get_config(staging, "new-checkout").is_enabled
    assert publish_due(datetime(2099, 1, 2, tzinfo=UTC)) == 1
    assert get_config(staging, "new-checkout").allocation == [[0, 5_000, "treatment"]]

    # Undone, by a request that asks for the same.
    page = author.visit(address)
    page.get_by_role("link", name="Undo it…").click()
    page.get_by_role("button", name="Propose to undo it").click()
    page.get_by_role("heading", name="Revert: Begin with the new checkout").wait_for()
    page.get_by_text("Switched off.").wait_for()
    page.get_by_text("2 more approvals of exactly this content").wait_for()
