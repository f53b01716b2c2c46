"""For you in a real browser: what others do appears and is counted in the header, and nobody loads the page again."""

import pytest
from django.db import transaction
from django.urls import reverse

import audit.services
from integrations.notifications.fan_out import fan_out
from integrations.testing import acts_as
from tenancy.models import User

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


def test_inbox__a_new_notification__appears_and_is_counted(open_session, console_owner, person, acme):
    olga = User.objects.get(username="olga")
    bert = acts_as(person("editor", acme.organization, "bert"))

    def happen(action, actor):
        with transaction.atomic():
            audit.services.record(actor=actor, action=action, at=acme.production, key="checkout", reason="errors rose")
        fan_out()

    happen("flag.created", acts_as(olga))
    page = open_session(console_owner).visit(reverse("admin:integrations_notification_changelist"))
    page.get_by_text("Nothing for you yet").wait_for()
    page.locator(".fs-inbox [data-newest='0']").wait_for(state="attached")
    page.evaluate("document.body.dataset.loadedOnce = ''")
    happen("flag.killed", bert)

    page.get_by_role("link", name="Flag killed: checkout").wait_for()
    page.locator(".fs-inbox").get_by_text("1", exact=False).wait_for()
    happen("flag.released", bert)
    page.get_by_role("link", name="Flag released: checkout").wait_for()
    assert page.locator(".fs-inbox .fs-count").inner_text().startswith("2")
    assert page.locator("body[data-loaded-once]").count() == 1
    page.get_by_role("button", name="Mark all as read").click()
    page.locator(".fs-inbox .fs-count").wait_for(state="hidden")
