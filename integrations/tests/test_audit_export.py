"""The audit log streamed to a file and to a collector: in order, at least once, from where it stopped."""

import json

import pytest
from django.db import transaction

import audit.services
from audit.models import Entry
from integrations.export import streaming
from integrations.export.streaming import stream_audit
from integrations.export.targets import FileTarget, line_of
from integrations.models import ExportTarget
from tenancy.services import create_organization, delete_organization
from tenancy.testing import ALICE


@pytest.fixture
def happen(environment):
    def write(key):
        with transaction.atomic():
            return audit.services.record(actor=ALICE, action="flag.updated", at=environment, key=key)

    return write


def test_stream__to_a_file__appends_each_row_once_and_goes_on_after_a_failure(happen, globex, settings, tmp_path):
    path = tmp_path / "siem" / "audit.jsonl"
    settings.AUDIT_EXPORT_FILE = str(path)
    happen("one")
    assert stream_audit() == Entry.objects.count()
    happen("two")
    path.rename(path.with_name("old"))
    path.mkdir()
    assert stream_audit() == 0
    path.rmdir()

    assert (stream_audit(), stream_audit()) == (1, 0)
    assert json.loads(path.read_text())["key"] == "two"
    rows = [json.loads(line) for line in path.with_name("old").read_text().splitlines()]
    for organization_id in {row["organizationId"] for row in rows}:
        positions = [row["position"] for row in rows if row["organizationId"] == organization_id]
        assert positions == list(range(1, len(positions) + 1))


def test_stream__to_a_collector__sends_again_what_it_did_not_take(happen, receiver, settings):
    settings.AUDIT_EXPORT_URL, settings.AUDIT_EXPORT_TOKEN = f"{receiver.url}/audit", "s3cr3t"
    # It is the operator's own: its network is opened to no tenant.
    settings.WEBHOOK_ALLOWED_NETWORKS = []
    receiver.behave = lambda number, _path: "500" if number == 0 else "ok"
    happen("one")

    assert stream_audit() == 0
    assert stream_audit() == Entry.objects.count()
    first, again = receiver.received
    assert first.body == again.body
    assert again.headers["authorization"] == "Bearer s3cr3t"
    assert again.headers["content-type"] == "application/x-ndjson"


def test_stream__a_transaction_that_is_undone_after_the_write__hands_the_rows_over_again(happen, settings, tmp_path):
    path = tmp_path / "audit.jsonl"
    settings.AUDIT_EXPORT_FILE = str(path)
    happen("one")
    with transaction.atomic():
        stream_audit()
        transaction.set_rollback(True)

    assert stream_audit() == Entry.objects.count()
    lines = path.read_text().splitlines()
    assert lines == [*lines[: len(lines) // 2]] * 2


def test_lines__of_the_platform_and_of_large_numbers__are_json(db, tmp_path):
    with transaction.atomic():
        row = audit.services.record(actor=ALICE, action="organization.created", at=None, key="x", after={"n": 2**70})

    assert json.loads(line_of(row))["organizationId"] is None
    FileTarget(str(tmp_path / "a.jsonl")).write(line_of(row))


def test_stream__after_a_write_that_broke_off__loses_no_row_in_the_torn_line(happen, settings, tmp_path):
    path = tmp_path / "audit.jsonl"
    settings.AUDIT_EXPORT_FILE = str(path)
    path.write_bytes(b'{"organizationId": 1, "to')
    happen("one")

    taken = stream_audit()
    whole = [json.loads(line) for line in path.read_text().splitlines()[1:]]
    assert len(whole) == taken == Entry.objects.count()


def test_stream__large_rows__go_in_bodies_that_a_collector_takes(happen, receiver, settings, monkeypatch):
    monkeypatch.setattr(streaming, "_BYTES_AT_ONCE", 1000)
    settings.AUDIT_EXPORT_URL = f"{receiver.url}/audit"
    for key in ("one", "two", "x" * 200):
        happen(key)
    stream_audit()

    assert sum(one.body.count(b"\n") for one in receiver.received) == Entry.objects.count()
    assert all(len(one.body) <= 1000 or one.body.count(b"\n") == 1 for one in receiver.received)
    assert len(receiver.received) > 2


def test_stream__of_an_organization_that_was_deleted__has_its_end(environment, settings, tmp_path):
    settings.AUDIT_EXPORT_FILE = str(tmp_path / "audit.jsonl")
    short = create_organization(actor=ALICE, slug="short", name="Short")
    delete_organization(actor=ALICE, organization=short)
    stream_audit()

    assert '"action":"organization.deleted"' in (tmp_path / "audit.jsonl").read_text()


def test_stream__a_token_that_no_header_may_have__is_named(happen, receiver, settings):
    settings.AUDIT_EXPORT_URL, settings.AUDIT_EXPORT_TOKEN = f"{receiver.url}/audit", "one\ntwo"
    happen("one")

    assert stream_audit() == 0
    assert receiver.received == []
    assert "AUDIT_EXPORT_TOKEN has a line break" in ExportTarget.objects.get(kind="http").problem
