"""The audit log streamed to a file and to a collector: in order, at least once, from where it stopped."""

import json

import pytest
from django.db import transaction

import audit.services
from audit.models import Entry
from integrations.export.streaming import stream_audit
from integrations.export.targets import FileTarget, lines_of
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

    assert json.loads(lines_of([row]))["organizationId"] is None
    FileTarget(str(tmp_path / "a.jsonl")).write([row])
