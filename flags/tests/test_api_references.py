"""Code references: reported by scans per repository and branch, whole, in parts or for one flag; counted and shown."""

from datetime import datetime, timedelta

import pytest
from django.utils import timezone

from audit.models import Entry
from flags.models import CodeReference, Flag, ScannedBranch
from flags.references.reading import reference_counts

PLACE = {"path": "shop/cart page.py", "line": 7}
URL = "https://github.com/acme/shop"


def found(key="new-checkout", count=1, **place):
    return {"key": key, "count": count, "places": [{**PLACE, **place}]}


def scan(*flags, **changes):
    return {"repository": "acme/shop", "branch": "main", "revision": "abc123", "url": URL, "flags": flags, **changes}


def counts():
    return {flag.key: count for flag in Flag.objects.all() for count in [reference_counts([flag])[flag.pk]]}


@pytest.fixture
def ci(make_flag, key):
    """A job with a server key, in a project of two flags."""
    make_flag("new-checkout")
    make_flag("dark-mode")
    return key("server")


def test_scan__by_a_server_key__counts_then_places_with_links(ci, viewer):
    assert counts() == {"new-checkout": None, "dark-mode": None}
    sent = scan(found(count=3, alias="newCheckout"), found("no-such-flag"))
    answer = ci.put("references", sent)

    assert answer.status_code == 200, answer.content
    assert answer.json() == {
        "repository": "acme/shop", "branch": "main", "isDefault": True, "flags": 1, "references": 3, "gone": [],
        "unknownFlags": ["no-such-flag"],
    }  # fmt: skip
    shown = viewer.get("flags/new-checkout/references").json()
    (branch,) = shown["branches"]
    assert (shown["count"], shown["goneAt"], branch["count"], branch["revision"]) == (3, None, 3, "abc123")
    assert branch["places"] == [
        {**PLACE, "alias": "newCheckout", "text": "", "url": f"{URL}/blob/abc123/shop/cart%20page.py#L7"}
    ]
    assert counts() == {"new-checkout": 3, "dark-mode": 0}
    listed = ci.get("references", repository="acme/shop", branch="main").json()["results"]
    assert listed == [
        {"key": "dark-mode", "isArchived": False, "references": 0, "onBranch": {"count": 0, "goneAt": None}},
        {"key": "new-checkout", "isArchived": False, "references": 3, "onBranch": {"count": 3, "goneAt": None}},
    ]


def test_scan__sent_again__changes_and_audits_nothing_more(ci):
    for _ in range(2):
        assert ci.put("references", scan(found())).status_code == 200

    (entry,) = Entry.objects.filter(action="references.scanned")
    assert (entry.actor_kind, entry.entity_key, entry.project) == ("server_key", "acme/shop@main", "web")
    assert entry.after["references"] == 1
    assert CodeReference.objects.count() == 1


def test_scan__in_parts__forgets_what_no_part_named_at_the_last_one(ci):
    ci.put("references", scan(found(), found("dark-mode")))
    one = "0190f7a0-0000-7000-8000-000000000001"

    first = ci.put("references", scan(found("dark-mode", 5), scan=one, isLast=False)).json()
    assert (first["references"], first["gone"]) == (6, [])
    at = timezone.now() - timedelta(days=3)
    gone = [{"key": "new-checkout", "at": at.isoformat(), "revision": "fed"}]
    last = ci.put("references", scan(scan=one, gone=gone)).json()

    assert (last["references"], last["gone"]) == (5, ["new-checkout"])
    row = CodeReference.objects.get(flag__key="new-checkout")
    assert (row.count, row.places, row.gone_at, row.gone_revision) == (0, [], at, "fed")


def test_parts_of_two_scans__by_turns__leave_what_the_later_one_found(ci):
    early, late = (f"0190f7a0-0000-7000-8000-00000000000{number}" for number in (1, 2))
    ci.put("references", scan(found(), scan=early, isLast=False))
    ci.put("references", scan(found("dark-mode", 5), scan=late, isLast=False))

    refused = ci.put("references", scan(found("dark-mode"), scan=early))
    last = ci.put("references", scan(scan=late)).json()

    assert (refused.status_code, refused.json()["errors"][0]["code"]) == (409, "superseded")
    assert (last["references"], last["gone"]) == (5, ["new-checkout"])
    assert ci.put("references", scan(scan=early)).status_code == 409
    assert ci.put("references", scan(found("dark-mode", 5), scan=late)).status_code == 200


def test_flag__found_nowhere_any_more__is_gone_since_then(ci, viewer):
    ci.put("references", scan(found()))
    assert ci.put("references", scan()).json()["gone"] == ["new-checkout"]

    shown = viewer.get("flags/new-checkout/references").json()
    assert (shown["count"], shown["branches"][0]["goneRevision"]) == (0, "abc123")
    assert datetime.fromisoformat(shown["goneAt"]) <= timezone.now()
    ci.put("references", scan(found()))
    assert viewer.get("flags/new-checkout/references").json()["goneAt"] is None


def test_other_branch__counts_while_it_is_recent__and_is_forgotten_later(ci, make_flag):
    ci.put("references", scan())
    ci.put("references", scan(found(count=2), branch="feature"))
    ci.put("references", scan(found(count=4), repository="acme/app"))
    assert counts()["new-checkout"] == 6

    ScannedBranch.objects.filter(branch="feature").update(reported_at=timezone.now() - timedelta(days=31))
    assert counts()["new-checkout"] == 4
    ci.put("references", scan())
    assert not ScannedBranch.objects.filter(branch="feature").exists()
    # Nothing was pushed since this one was made.
    make_flag("newer")
    assert counts()["newer"] is None


def test_one_flag__reported_alone__leaves_the_others_unknown(ci, editor):
    sent = {"repository": "acme/shop", "branch": "main", "count": 2, "places": [PLACE]}
    assert editor.put("flags/new-checkout/references", sent).json()["references"] == 2
    assert counts() == {"new-checkout": 2, "dark-mode": None}

    sent = {**sent, "count": 0, "places": [], "goneAt": "2026-01-02T03:04:05Z"}
    assert ci.put("flags/new-checkout/references", sent).json()["gone"] == ["new-checkout"]
    assert CodeReference.objects.get().gone_at.year == 2026


def test_branch__forgotten__leaves_nothing(ci, editor, outsider):
    ci.put("references", scan(found()))

    assert outsider.delete("references", repository="acme/shop").status_code == 404
    assert editor.delete("references", repository="acme/shop", branch="other").status_code == 404
    assert editor.delete("references", repository="acme/shop").status_code == 204
    assert counts() == {"new-checkout": None, "dark-mode": None}
    assert Entry.objects.filter(action="references.forgotten").count() == 1


@pytest.mark.parametrize(
    ("changes", "attr"),
    [
        ({"linkTemplate": "javascript:alert(1)"}, "linkTemplate"),
        ({"host": "sourceforge"}, "host"),
        ({"repository": None}, "repository"),
        ({"flags": [{"key": "new-checkout", "count": 0}]}, "flags[0].count"),
        ({"flags": [found(line=0)]}, "flags[0].places[0].line"),
        ({"flags": [found(lines=1)]}, "flags[0].places[0].lines"),
        ({"flags": [{**found(), "places": [PLACE] * 201}]}, "flags[0].places"),
        ({"gone": [{"key": "new-checkout", "at": "yesterday"}]}, "gone[0].at"),
        ({"commit": "abc"}, "commit"),
    ],
    ids=["script", "host", "no-name", "none", "line", "unknown-field", "too-many", "instant", "other-field"],
)
def test_scan__that_is_wrong__is_refused_by_name_and_kept_nowhere(ci, changes, attr):
    answer = ci.put("references", scan(**changes))

    assert (answer.status_code, answer.json()["errors"][0]["attr"]) == (400, attr)
    assert not ScannedBranch.objects.exists()


def test_counts__of_many_flags__are_two_questions(ci, make_flag, django_assert_num_queries):
    ci.put("references", scan(found()))
    flags = [make_flag(f"flag-{number}").flag for number in range(5)]

    with django_assert_num_queries(2):
        assert set(reference_counts(flags).values()) == {None}
