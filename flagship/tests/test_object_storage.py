"""Events and snapshots in real S3-compatible storage: each event in one object, and snapshots that SDKs begin with."""

import io
import json
import threading
from datetime import UTC, datetime, timedelta

import pytest
import urllib3
from django.core.management import CommandError, call_command
from django.db import DatabaseError, connection, connections
from openflagship import FlagShip
from openflagship.ids import uuid7
from prometheus_client import REGISTRY
from pyarrow import parquet

from analytics.event_records import Batch, ExposureEvent
from analytics.models import EventPolicy, LateHour
from analytics.services import hourly_exports, store_events
from flags import services
from flags.propagation.published_snapshots import publish_snapshots
from flags.propagation.signing import SIGNING
from flags.services.signing import rotate_signing_key
from flagship import event_export
from flagship.console.health.told import told
from flagship.event_export import export_events_by_hour
from flagship.tests.object_storage import running_storage, storage  # noqa: F401 - fixtures
from integrations.export.cursors import EVENTS, Lease, LeaseLostError, leased, named
from integrations.models import ExportCursor, ExportTarget
from integrations.outside.bucket import Bucket, BucketError
from tenancy.testing import ALICE

HOUR = timedelta(hours=1)
# Over for a day, so that it is settled whenever the test runs.
NOON = datetime.now(UTC).replace(hour=12, minute=0, second=0, microsecond=0) - timedelta(days=2)
NUMBER = hourly_exports.hour_of(NOON)


def exposure(environment, unit, happened=NOON, received=NOON):
    milliseconds = round(happened.timestamp() * 1000)
    return ExposureEvent(
        evaluation_id=uuid7(milliseconds), environment_id=environment.pk, flag_key="checkout", unit_id=unit,
        variant="on", reason="SPLIT", rule_id=None, experiment=None, config_version=1, occurred_ms=milliseconds,
        received_ms=round(received.timestamp() * 1000), source="api",
    )  # fmt: skip


@pytest.fixture
def at_noon(db, monkeypatch):
    """A cursor that has all up to noon, at one o'clock."""
    monkeypatch.setattr(hourly_exports, "settled_hour", lambda: NUMBER + 1)
    monkeypatch.setattr(event_export, "_begin", lambda _: NUMBER)


@pytest.fixture
def bucket(storage, settings):  # noqa: F811 - a fixture
    return Bucket(settings.EVENTS_EXPORT_URL)


def units(bucket, environment="production"):
    """The units in each object, by its key from the environment on."""
    found = {}
    for key in bucket.listed("exposures"):
        _, _, place = key.partition(f"environment={environment}/")
        if place:
            content, about = bucket.get(key)
            rows = parquet.read_table(io.BytesIO(content)).to_pylist()
            assert about["rows"] == str(len(rows))
            found[place] = sorted(row["unit_id"] for row in rows)
    return found


def _place(happened, received=NOON):
    return f"{happened:date=%Y-%m-%d/hour=%H}/received-{received:%Y-%m-%dT%H}.parquet"


def test_export__each_event__is_in_one_object_of_its_hour(environment, staging, at_noon, bucket, settings):
    settings.SNAPSHOTS_EXPORT_URL = ""
    late = NOON - 3 * HOUR
    store_events(Batch([
        exposure(environment, "one"), exposure(environment, "two", NOON + HOUR / 2, NOON + HOUR / 2),
        exposure(environment, "late", late), exposure(staging, "other"),
        exposure(environment, "next", NOON + HOUR, NOON + HOUR),
    ]))  # fmt: skip
    LateHour.objects.all().delete()

    assert export_events_by_hour() == 4
    assert export_events_by_hour() == 0
    assert units(bucket) == {_place(late): ["late"], _place(NOON): ["one", "two"]}
    assert units(bucket, "staging") == {_place(NOON): ["other"]}
    assert all(key.startswith("exposures/organization=acme/project=web/") for key in bucket.listed())
    assert told(environment)[-1].tone == "good"


def test_export__what_is_stored_of_an_hour_that_was_exported__replaces_its_objects(environment, at_noon, bucket):
    store_events(Batch([exposure(environment, "one")]))
    export_events_by_hour()
    LateHour.objects.all().delete()
    store_events(Batch([exposure(environment, "two"), exposure(environment, "old", NOON - HOUR)]))
    assert LateHour.objects.count() == 1

    assert export_events_by_hour() == 3
    assert units(bucket) == {_place(NOON): ["one", "two"], _place(NOON - HOUR): ["old"]}
    assert not LateHour.objects.exists()


def test_export__broken_off_in_the_middle_and_after_the_last_object__leaves_each_event_once(
    environment, staging, at_noon, bucket, monkeypatch
):
    store_events(Batch([exposure(environment, "one"), exposure(staging, "other")]))
    LateHour.objects.all().delete()
    put, taken = Bucket.put, []

    def break_off(self, key, *args, **options):
        if taken:
            raise BucketError("the storage is away")
        taken.append(key)
        return put(self, key, *args, **options)

    monkeypatch.setattr(Bucket, "put", break_off)
    assert export_events_by_hour() == 0
    failing = ExportTarget.objects.get()
    assert (failing.kind, failing.problem) == ("events", "the storage is away")
    assert told(environment)[-1].tone == "bad"
    assert REGISTRY.get_sample_value("flagship_exports_total", {"target": "events", "state": "failed"}) >= 1
    monkeypatch.setattr(Bucket, "put", put)
    # Killed once all was written, before the cursor's move was committed.
    monkeypatch.setattr(Lease, "move", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        export_events_by_hour()
    assert ExportTarget.objects.get().problem == "ZeroDivisionError: division by zero"
    monkeypatch.undo()
    monkeypatch.setattr(hourly_exports, "settled_hour", lambda: NUMBER + 1)
    monkeypatch.setattr(event_export, "_begin", lambda _: NUMBER)

    assert export_events_by_hour() == 2
    assert (units(bucket), units(bucket, "staging")) == ({_place(NOON): ["one"]}, {_place(NOON): ["other"]})
    assert ExportTarget.objects.get().failing_since is None


@pytest.mark.django_db(transaction=True)
def test_export__while_another_worker_is_at_it__does_nothing(environment, at_noon, bucket, settings):
    store_events(Batch([exposure(environment, "one")]))
    LateHour.objects.all().delete()
    held, go_on = threading.Event(), threading.Event()

    def other():
        with leased(named(EVENTS, bucket.name), 0, length=HOUR, begin=NUMBER):
            held.set()
            go_on.wait(60)
        connections.close_all()

    worker = threading.Thread(target=other)
    worker.start()
    held.wait(60)
    meanwhile = export_events_by_hour()
    go_on.set()
    worker.join(60)

    assert (meanwhile, export_events_by_hour(), len(units(bucket))) == (0, 1, 1)


def test_lease__that_ran_out__is_lost_to_the_next_worker(db):
    with leased("t", length=timedelta(0), begin=5) as slow, leased("t", length=HOUR) as next_one:
        next_one.move(6)
        with pytest.raises(LeaseLostError):
            slow.move(7)
        with leased("t", length=HOUR) as third:
            assert third is None

    cursor = ExportCursor.objects.get()
    assert (cursor.position, cursor.leased_until) == (6, None)


def test_export__database_that_fails__is_told_on_health(environment, at_noon, bucket, monkeypatch):
    def fails(*_, **__):
        raise DatabaseError("no such column")

    monkeypatch.setattr(hourly_exports, "export_received_hour", fails)
    with pytest.raises(DatabaseError):
        export_events_by_hour()

    assert ExportTarget.objects.get().problem == "DatabaseError: no such column"
    assert told(environment)[-1].tone == "bad"


def test_export__once_the_endpoint_is_corrected__goes_on_where_it_stood(environment, bucket, settings, monkeypatch):
    store_events(Batch([exposure(environment, "one")]))
    LateHour.objects.all().delete()
    monkeypatch.setattr(hourly_exports, "settled_hour", lambda: NUMBER)
    right, settings.S3_ENDPOINT = settings.S3_ENDPOINT, "http://169.254.169.254/"
    export_events_by_hour()
    monkeypatch.setattr(hourly_exports, "settled_hour", lambda: NUMBER + 2)
    export_events_by_hour()
    assert ExportTarget.objects.get().failing_since is not None
    settings.S3_ENDPOINT = right

    assert export_events_by_hour() == 1
    assert units(bucket) == {_place(NOON): ["one"]}


def test_export__late_events_of_an_hour_that_was_dropped__leave_its_object(environment, at_noon, bucket):
    store_events(Batch([exposure(environment, "one")]))
    export_events_by_hour()
    cut = NOON + timedelta(days=1)
    EventPolicy.objects.update_or_create(environment=environment, defaults={"raw_since": cut})
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL flagship.rewrite = 'allowed'")
        cursor.execute("DELETE FROM exposures")
        cursor.execute("SET LOCAL flagship.rewrite = ''")
    store_events(Batch([exposure(environment, "two")]))

    assert export_events_by_hour() == 1
    again = _place(NOON).replace(".parquet", f"-after-{cut:%Y-%m-%d}.parquet")
    assert units(bucket) == {_place(NOON): ["one"], again: ["two"]}


def test_command__exports_past_hours_again(environment, at_noon, bucket, capsys):
    store_events(Batch([exposure(environment, "one")]))
    call_command("export_hours", since=NOON - HOUR, until=NOON + HOUR)

    assert "12:00: 1 exposures, 0 conversions" in capsys.readouterr().out
    assert units(bucket) == {_place(NOON): ["one"]}


def test_command__without_a_bucket_or_with_one_that_is_away__says_so(db, settings):
    settings.EVENTS_EXPORT_URL = ""
    with pytest.raises(CommandError, match="EVENTS_EXPORT_URL"):
        call_command("export_hours", since=NOON)
    settings.EVENTS_EXPORT_URL, settings.S3_ENDPOINT = "s3://bucket", "http://169.254.169.254/"
    with pytest.raises(BucketError, match="no public address"):
        Bucket("s3://bucket").put("key", b"", content_type="text/plain", about={})


def _object(storage, key):  # noqa: F811 - a fixture
    """As anybody reads it."""
    answer = urllib3.request("GET", f"{storage.address}/snapshots/{key}", retries=False)
    return answer.status, answer.headers, answer.data


def test_snapshots__after_each_change__are_there_with_etag_and_version(environment, staging, storage):  # noqa: F811 - a fixture
    assert (publish_snapshots(), publish_snapshots()) == (2, 0)
    _, before, _ = _object(storage, "acme/web/production.json")
    services.create_flag(actor=ALICE, environment=environment, payload={"key": "checkout", "enabled": True})

    # Both environments have the flag.
    assert (publish_snapshots(), publish_snapshots()) == (2, 0)
    status, headers, content = _object(storage, "acme/web/production.json")
    environment.refresh_from_db()
    assert (status, headers["x-amz-meta-version"]) == (200, str(environment.config_version))
    assert headers["etag"] != before["etag"]
    assert json.loads(json.loads(content)["snapshot"])["version"] == environment.config_version
    rotate_signing_key(actor=ALICE, environment=environment)
    assert publish_snapshots() == 1
    assert len(json.loads(_object(storage, "acme/web/production.json")[2])["signatures"]) == 2


def test_snapshots__published__are_what_an_sdk_begins_with(environment, storage):  # noqa: F811 - a fixture
    flag = {"key": "checkout", "enabled": True, "rollout": [{"variant": "treatment", "percent": 100}]}
    services.create_flag(actor=ALICE, environment=environment, payload=flag)
    publish_snapshots()
    url = f"{storage.address}/snapshots/acme/web/production.json"
    (key,) = SIGNING.keys(environment.pk)
    gone = {"start_wait_seconds": 0, "close_wait_seconds": 0.05, "connect_seconds": 1.0, "snapshot_url": url}
    for secret, source, answer in ((key.secret, "stored", True), ("fs_sign_other", "", False)):
        with FlagShip("fs_server_test", "http://127.0.0.1:9", signing_secret=secret, **gone) as client:
            assert (client.status().source, client.boolean("checkout", "anna", False)) == (source, answer)
