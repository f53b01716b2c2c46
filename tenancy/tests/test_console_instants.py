"""Instants that are typed in the console: by the viewer's clock, where it skips or repeats a time, and untouched."""

from datetime import UTC, datetime, timedelta

import pytest
from django.urls import reverse
from django.utils import timezone

from audit.models import Entry
from tenancy.console_kit.instants import TypedInstant
from tenancy.errors import Invalid
from tenancy.models import Credential

BERLIN = "Europe/Berlin"
SECOND = datetime(2026, 10, 25, 1, 30, 15, tzinfo=UTC)


@pytest.mark.parametrize(
    ("typed", "utc"),
    [
        (TypedInstant("2026-07-01T14:05", BERLIN), "2026-07-01T12:05:00Z"),
        (TypedInstant("2026-12-01T14:05", BERLIN), "2026-12-01T13:05:00Z"),
        (TypedInstant("2026-07-01T14:05"), "2026-07-01T14:05:00Z"),
        (TypedInstant("2026-07-01T14:05+05:30", BERLIN), "2026-07-01T08:35:00Z"),
        # Twice on that clock: the first.
        (TypedInstant("2026-10-25T02:30", BERLIN), "2026-10-25T00:30:00Z"),
        # Unless it is what stood there, to the second.
        (TypedInstant("2026-10-25T02:30", BERLIN, SECOND.isoformat()), "2026-10-25T01:30:15Z"),
        (TypedInstant("2026-10-25T02:31", BERLIN, SECOND.isoformat()), "2026-10-25T00:31:00Z"),
        # Half an hour, and the south's autumn.
        (TypedInstant("2026-04-05T01:45", "Australia/Lord_Howe"), "2026-04-04T14:45:00Z"),
    ],
)
def test_read__by_the_clock_of_the_zone(typed, utc):
    assert typed.read("endsAt") == datetime.fromisoformat(utc)


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        (TypedInstant("2026-03-29T02:30", BERLIN), "no 02:30 on 2026-03-29 in Europe/Berlin.*Give 01:30 or 03:30"),
        (TypedInstant("2026-10-04T02:15", "Australia/Lord_Howe"), "Give 01:45 or 02:45"),
        (TypedInstant("soon", BERLIN), "Give a moment like"),
        (TypedInstant("0001-01-01T00:00", BERLIN), "Give a moment like"),
        (TypedInstant("12026-03-29T02:30", BERLIN), "Give a moment like"),
        (TypedInstant("2026-07-01T14:05", BERLIN, "yesterday"), "Give a moment like"),
        (TypedInstant("2026-07-01T14:05", "../../etc/passwd"), "not known"),
        (TypedInstant("2026-07-01T14:05", "Europe"), "not known"),
    ],
)
def test_read__no_instant__says_what_to_type_and_keeps_the_text(typed, said):
    with pytest.raises(Invalid, match=said) as refused:
        typed.read("endsAt")

    assert refused.value.problems[0].attr == "endsAt"
    assert (typed.on_page.text, typed.on_page.zone) == (typed.text, typed.zone)


def test_on_page__readable__is_in_utc_for_the_script_to_localise():
    shown = TypedInstant("2026-10-25T02:30", BERLIN).on_page

    assert (shown.text, shown.zone, shown.shown) == ("2026-10-25T00:30", "UTC", "2026-10-25T00:30:00+00:00")


def key(acme, **changes):
    sent = {"name": "shop", "belongs_to": f"e{acme.production.pk}", "kind": "server", "expires_at": "2031-07-01T14:05"}
    return {**sent, "expires_at_zone": BERLIN, **changes}


def test_key__expiry_by_ones_own_clock__is_that_instant(console_owner, acme):
    answer = console_owner.post(reverse("admin:tenancy_credential_add"), key(acme))

    assert answer.status_code == 302  # to the page that shows the secret
    assert Credential.objects.get().expires_at == datetime(2031, 7, 1, 12, 5, tzinfo=UTC)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"expires_at": "2031-03-30T02:30"}, "There is no 02:30"),
        ({"expires_at": "2020-01-01T00:00"}, "in the future"),
    ],
)
def test_key__expiry_that_cannot_be__says_so_and_makes_none(console_owner, acme, changes, said):
    answer = console_owner.post(reverse("admin:tenancy_credential_add"), key(acme, **changes))

    assert answer.status_code == 422
    assert said in answer.context["form"].errors["expires_at"][0]
    assert not Credential.objects.exists()


@pytest.fixture
def audit(console_owner, acme):
    """Ask for the audit log's rows of a time; how many are shown, and the page."""

    def ask(**asked):
        page = console_owner.get(reverse("admin:audit_entry_changelist"), asked)
        return page.context["cl"].result_count, page

    return ask


def test_audit__from_and_until_by_ones_own_clock__are_those_minutes(audit):
    written = Entry.objects.order_by("-id").first().occurred_at
    minute = f"{written + timedelta(hours=5, minutes=30):%Y-%m-%dT%H:%M}"
    later = f"{timezone.now() + timedelta(hours=5, minutes=35):%Y-%m-%dT%H:%M}"
    zone = "Asia/Kolkata"

    everything, _ = audit()
    since, _ = audit(occurred_at_from=minute, occurred_at_from_zone=zone)
    until, _ = audit(occurred_at_to=minute, occurred_at_to_zone=zone)
    after, _ = audit(occurred_at_from=later, occurred_at_from_zone=zone)

    assert everything > 0
    assert since > 0
    assert (until, after) == (everything, 0)


def test_audit__no_instant__shows_nothing_and_says_so(audit):
    count, page = audit(occurred_at_from="2026-03-29T02:30", occurred_at_from_zone=BERLIN)

    assert count == 0
    assert "There is no 02:30" in page.text
    assert 'value="2026-03-29T02:30"' in page.text
