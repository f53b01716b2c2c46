"""One's own account in a real browser: another password, and times in one's own zone."""

import pytest
from django.test import Client
from django.urls import reverse

from audit.models import Entry
from tenancy.models import User

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]
OLD, NEW = "correct horse battery", "staple the horse again"


@pytest.fixture
def elsewhere(console_owner):
    """Olga's other session, on another machine; both began with the old password."""
    olga = User.objects.get(username="olga")
    olga.set_password(OLD)
    olga.save()
    other = Client()
    for client in (console_owner, other):
        client.force_login(olga, backend="tenancy.backends.ThrottledBackend")
    return other


def test_password__changed__needs_the_old_one_and_ends_other_sessions(open_session, console_owner, elsewhere):
    page = open_session(console_owner).visit(reverse("admin:password_change"))

    def send(old, new, again):
        page.get_by_label("Old password").fill(old)
        page.get_by_label("New password").first.fill(new)
        page.get_by_label("New password confirmation").fill(again)
        page.get_by_role("button", name="Change password").click()

    send("a guess", NEW, NEW)
    page.get_by_text("Your old password was entered incorrectly").wait_for()
    send(OLD, "password12", "password12")
    page.get_by_text("This password is too common").wait_for()
    send(OLD, NEW, f"{NEW}!")
    page.get_by_text("The two password fields").wait_for()
    assert elsewhere.get(reverse("admin:index"), follow=True).status_code == 200
    assert not Entry.objects.filter(action="person.password_changed").exists()

    send(OLD, NEW, NEW)
    page.get_by_text("Your password was changed.").wait_for()
    assert console_owner.get(reverse("admin:index")).status_code == 302
    page.reload()
    page.get_by_text("Your password was changed.").wait_for()
    assert elsewhere.get(reverse("admin:index")).status_code == 302
    entry = Entry.objects.get(action="person.password_changed")
    assert (entry.actor_label, entry.entity_key, entry.after) == ("olga", "olga", None)
    assert User.objects.get(username="olga").check_password(NEW)


def test_audit_log__seen_from_tokyo__has_times_of_tokyo_and_utc_on_hover(open_session, console_owner):
    entry = Entry.objects.order_by("-id").first()
    page = open_session(console_owner, timezone_id="Asia/Tokyo").visit(reverse("admin:audit_entry_changelist"))
    shown = page.locator("#result_list time").first
    shown.wait_for()

    assert shown.get_attribute("title") == f"{entry.occurred_at:%Y-%m-%d %H:%M:%S} UTC"
    local = page.evaluate(
        "(at) => new Intl.DateTimeFormat(undefined, {dateStyle: 'medium', timeStyle: 'short'}).format(new Date(at))",
        entry.occurred_at.isoformat(),
    )
    assert shown.text_content() == local
    assert f"{entry.occurred_at.hour:02}:" not in local
