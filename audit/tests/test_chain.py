"""What the chain proves: no row is made up, removed at the end, or gone with all others without being found."""

import hashlib
import json
from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from django.db import connection, transaction
from hypothesis import HealthCheck, given
from hypothesis import settings as of_hypothesis
from hypothesis import strategies as st
from structlog.testing import capture_logs

import audit.services
from audit.actors import Actor
from audit.chain import append_heads, canonical, digest, heads, read_heads, verify
from audit.documents import csv_lines, json_lines
from audit.models import Entry
from audit.places import Place
from audit.tests.test_record import Somewhere

ALICE = Actor(kind="user", id="7", label="alice")
pytestmark = pytest.mark.django_db


def record(count=1, at=1, **states):
    with transaction.atomic():
        acts = [audit.services.Act("flag.updated", f"flag-{number}", **states) for number in range(count)]
        return audit.services.record_each(actor=ALICE, at=Somewhere(Place(at)), acts=acts)


def rewrite(statement, *values):
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL session_replication_role = replica")
        cursor.execute(statement, values)
        cursor.execute("SET LOCAL session_replication_role = origin")


def test_verify__chain_hashed_anew_by_somebody_without_the_key__is_found():
    record(3)
    previous = ""
    for entry in Entry.objects.order_by("position"):
        entry.actor_label, entry.previous_hash = "mallory", previous
        text = digest(entry, None) if entry.position < 3 else hashlib.sha256(canonical([previous]).encode()).hexdigest()
        rewrite(
            "UPDATE audit_entry SET actor_label = 'mallory', previous_hash = %s, hash = %s WHERE id = %s",
            previous, text, entry.pk,
        )  # fmt: skip
        previous = text

    assert [broken.position for broken in verify(1).broken] == [1, 2, 3]


def test_verify__row_of_old_after_a_keyed_one__is_found():
    record(2)
    rewrite("UPDATE audit_entry SET key_id = '' WHERE position = 2")

    assert [broken.why for broken in verify(1).broken] == ["has no key, and rows before it have one"]


def test_verify__key_that_was_replaced__holds_while_it_is_named(settings):
    record(2)
    settings.SECRET_KEY_FALLBACKS = [settings.SECRET_KEY]
    settings.SECRET_KEY = "another-secret-of-more-than-32-characters"
    record(1)
    assert not verify(1).broken

    settings.AUDIT_FORMER_SECRET_KEYS, settings.SECRET_KEY_FALLBACKS = settings.SECRET_KEY_FALLBACKS, []
    assert not verify(1).broken
    settings.AUDIT_FORMER_SECRET_KEYS = []
    assert [broken.position for broken in verify(1).broken] == [1, 2]


def test_heads__rows_removed_at_the_end_and_a_whole_chain__are_found(tmp_path):
    file = tmp_path / "heads.jsonl"
    record(5)
    record(2, at=2)
    assert len(append_heads(file)) == len(heads()) == 2
    assert append_heads(file) == []
    rewrite("DELETE FROM audit_entry WHERE organization_id = 1 AND position > 3")
    rewrite("DELETE FROM audit_entry WHERE organization_id = 2")
    assert not verify(1).broken

    assert [broken.position for broken in verify(1, read_heads(file)[1]).broken] == [5]
    said = StringIO()
    with pytest.raises(CommandError, match="2 of 2 chains do not hold"):
        call_command("verify_audit", heads=file, stdout=StringIO(), stderr=said)
    assert "rows at its end were removed" in said.getvalue()
    assert "organization 2: there is no row at all" in said.getvalue()


def test_heads__line_that_is_no_head__stops_no_later_one(tmp_path):
    file = tmp_path / "heads.jsonl"
    record(1)
    append_heads(file)
    torn = b'{"organization_id": 1, "posi'
    file.write_bytes(file.read_bytes() + b"\xff\n{}\n" + torn)
    record(1)

    with capture_logs() as logs:
        (added,) = append_heads(file)
        assert append_heads(file) == []

    assert added.position == 2
    assert [entry["event"] for entry in logs].count("audit_head_unreadable") == 6
    assert file.read_bytes().splitlines()[-2] == torn
    with pytest.raises(ValueError, match=r"Line 2 of .* is no head"):
        read_heads(file)


def test_heads__file_that_cannot_be_written__are_in_the_logs(tmp_path):
    record(1)
    (tmp_path / "file").write_text("")
    with capture_logs() as logs, pytest.raises(OSError, match="file"):
        append_heads(tmp_path / "file" / "heads.jsonl")

    assert [(entry["event"], entry["position"]) for entry in logs] == [("audit_head", 1)]


def test_heads__of_organizations_and_the_platform__take_one_query(django_assert_num_queries):
    record(3)
    record(2, at=2)
    record(4, at=None)

    with django_assert_num_queries(1):
        found = heads()

    assert {head.organization_id: head.position for head in found} == {1: 3, 2: 2, None: 4}


def test_heads__altered_file__is_refused(tmp_path):
    file = tmp_path / "heads.jsonl"
    record(5)
    append_heads(file)
    file.write_text(json.dumps({**json.loads(file.read_text()), "position": 3}) + "\n")

    with pytest.raises(CommandError, match="signed by no key"):
        call_command("verify_audit", heads=file)


def test_verify_audit__organization_that_is_not__is_refused(tmp_path):
    with pytest.raises(CommandError, match="There is no organization 999"):
        call_command("verify_audit", organization=999, heads=tmp_path / "none")


def test_export__that_breaks_off__says_so():
    def rows():
        yield record()[0]
        raise OSError("the database went away")

    assert json.loads(list(json_lines(rows()))[-1])["error"].startswith("The export broke off")
    assert list(csv_lines(rows()))[-1].startswith("The export broke off")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_characters="\x00", exclude_categories=["Cs"])),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(
        st.text(st.characters(exclude_characters="\x00", exclude_categories=["Cs"]), max_size=5), inner, max_size=3
    ),
    max_leaves=6,
)  # fmt: skip


@of_hypothesis(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(value=JSON)
def test_row__of_any_json__verifies_and_is_exported(value):
    with transaction.atomic():
        (entry,) = record(after={"value": value})
        stored = Entry.objects.get(pk=entry.pk)

        assert digest(stored, audit.chain.keys()[0]) == stored.hash
        assert json.loads(next(json_lines([stored])))["hash"] == stored.hash
        assert len(list(csv_lines([stored]))) == 2
        transaction.set_rollback(True)
