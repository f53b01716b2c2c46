"""The page of signed heads: how far each chain is signed, by which key, and whether its row is still there."""

import pytest
from django.db import connection
from django.urls import reverse

from audit.chain import append_heads, heads, keys, last_head
from audit.models import Entry
from tenancy.admin.testing import signed_in
from tenancy.roles import Role


@pytest.fixture
def file(settings, tmp_path):
    settings.AUDIT_HEADS_FILE = str(tmp_path / "heads.jsonl")
    return tmp_path / "heads.jsonl"


def page(client):
    return client.get(reverse("admin:audit_entry_heads"))


def test_heads__signed__are_shown_with_their_key_and_what_came_since(console_viewer, console_owner, acme, file):
    missing = page(console_viewer)
    assert "A worker writes it each hour" in missing.text
    append_heads(file)
    # Of another chain, and one that nobody here signed.
    file.write_bytes(file.read_bytes() + b'{"organization_id": %d, "position": 999}\n' % acme.organization.pk)
    signed = next(head for head in heads() if head.organization_id == acme.organization.pk)

    shown = page(console_viewer)

    assert last_head(file, acme.organization.pk).position == signed.position
    assert signed.hash[:12] in shown.text
    assert keys()[0].id in shown.text
    assert "this row is there, as it was signed" in shown.text
    assert f"manage.py verify_audit --organization {acme.organization.pk}" in shown.text
    assert "Rival" not in shown.text
    assert reverse("admin:audit_entry_heads") in console_viewer.get(reverse("admin:audit_entry_changelist")).text


def test_heads__whose_row_was_removed__say_so(console_viewer, acme, file):
    append_heads(file)
    last = Entry.objects.filter(organization_id=acme.organization.pk).latest("position")
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL session_replication_role = replica")
        cursor.execute("DELETE FROM audit_entry WHERE id = %s", [last.pk])
        cursor.execute("SET LOCAL session_replication_role = origin")

    assert "this row is gone or altered" in page(console_viewer).text


def test_heads__role_on_one_environment__shows_no_chain_of_the_whole(acme, person, file):
    append_heads(file)
    reach = {"project": acme.project, "environment": acme.production}
    client = signed_in(person(Role.ADMIN, acme.organization, "somebody", **reach))

    shown = page(client)

    assert "You have no role on a whole organization" in shown.text
    assert "verify_audit" not in shown.text
