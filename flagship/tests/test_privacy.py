"""A person's data: found in every place, handed out or erased by a job, with what has to stay named."""

import gzip
import json
from datetime import UTC, datetime, timedelta

import pytest
from django.db.models import TextField
from django.db.models.functions import Cast
from django.urls import reverse
from django.utils import timezone
from openflagship.ids import uuid7

from analytics.event_records import Batch, ConversionEvent, ExposureEvent, pack
from analytics.models import Conversion, DeadLetter, Exposure
from analytics.pipeline.brokers import broker
from analytics.services import store_events, users
from analytics.testing import empty_stream
from audit.actors import system
from audit.chain import verify
from audit.models import Entry
from experiments.models import Experiment
from flags.models import Change, FlagConfig, Rule, Segment
from tenancy.admin.testing import signed_in
from tenancy.models import Environment, PrivacyJob
from tenancy.privacy.jobs import run_privacy_jobs

ID = 'ann "ä" smith@example.com'
NAMES = {"attribute": "userId", "operator": "in", "value": [ID, "bob"]}


def _run() -> None:
    run_privacy_jobs(actor=system("privacy"))


def _events(environment_id: int, unit: str) -> Batch:
    now = int(datetime(2026, 3, 2, tzinfo=UTC).timestamp() * 1000)
    exposure = ExposureEvent(uuid7(now), environment_id, "a", unit, "control", "R", None, None, 1, now, now, "test")
    return Batch([exposure], [ConversionEvent(uuid7(now), environment_id, unit, "paid", None, now, now)])


@pytest.fixture
def told(environment, globex, editor, make_flag):
    """The id stands in every place there is, and with another tenant."""
    for one in (environment.pk, globex.pk):
        store_events(_events(one, ID))
    store_events(_events(environment.pk, "bob"))
    DeadLetter.objects.create(
        environment_id=environment.pk, kind="exposure", reason="r", payload=pack(_events(environment.pk, ID))
    )
    rule = {"priority": 1, "variant": "treatment", "conditions": [NAMES]}
    deny = {"attribute": "userId", "operator": "not_equals", "value": ID}
    targets = [{"variant": "treatment", "userIds": [ID, "bob"]}, {"variant": "control", "userIds": [ID + "!"]}]
    make_flag("a", rules=[rule], targets=targets)
    make_flag("gone", targets=[{"variant": "treatment", "userIds": [ID]}])
    editor.delete("flags/gone")
    editor.post("segments", {"key": "s", "included": [ID, "bob"], "excluded": [ID], "conditions": {"all": [deny]}})
    metric = {"key": "paid", "name": "P", "type": "binary", "eventName": "paid"}
    assert editor.post("metrics", metric).status_code == 201
    draft = {"name": "E", "flagKey": "a", "primaryMetric": "paid", "audience": {"all": [NAMES]}}
    assert editor.post("experiments", draft).status_code == 201
    return environment


def _still_there(environment) -> list[str]:
    """Every table of the organization that still has the id somewhere."""
    quoted = json.dumps(ID, ensure_ascii=False)
    rows = {
        "exposures": Exposure.objects.filter(environment_id=environment.pk, unit_id=ID),
        "conversions": Conversion.objects.filter(environment_id=environment.pk, unit_id=ID),
        "dead letters": DeadLetter.objects.filter(environment_id=environment.pk),
        "jobs": PrivacyJob.objects.filter(person_id=ID),
    }
    for name, found, field in (
        ("targets", FlagConfig.objects.filter(environment=environment), "targets"),
        ("rules", Rule.objects.filter(config__environment=environment), "conditions"),
        ("included", Segment.objects.filter(environment=environment), "included"),
        ("excluded", Segment.objects.filter(environment=environment), "excluded"),
        ("conditions", Segment.objects.filter(environment=environment), "conditions"),
        ("version log", Change.objects.filter(environment=environment), "document"),
        ("audiences", Experiment.objects.filter(environment=environment), "audience"),
    ):
        rows[name] = found.annotate(text=Cast(field, TextField())).filter(text__contains=quoted)
    return [name for name, found in rows.items() if found.exists()]


def test_erase__takes_the_id_out_of_every_place_and_names_what_stays(told, admin, editor, globex):
    before = Entry.objects.order_by("-id").values_list("id", flat=True)[0]

    asked = admin.post("privacy/erase", {"kind": "userId", "id": ID})
    assert (asked.status_code, asked.json()["state"]) == (202, "waiting")
    _run()

    job = admin.get(f"privacy/jobs/{asked.json()['id']}").json()
    assert (job["state"], job["error"], job["done"]) == ("done", "", job["total"])
    assert _still_there(told) == []
    report = {row["place"]: row["count"] for row in job["report"] if not row["remains"]}
    assert report["exposures"] == report["conversions"] == 1
    assert (report["targets"], report["rules"], report["segments"], report["audiences"]) == (2, 1, 1, 1)
    assert report["versionLog"] == 3
    (audit,) = [row for row in job["report"] if row["place"] == "audit"]
    assert audit["count"] > 0
    assert "sealed" in audit["remains"]
    # Everybody else is served as before.
    flag = editor.get("flags/a").json()
    assert flag["targets"] == [
        {"variant": "treatment", "userIds": ["bob"]}, {"variant": "control", "userIds": [ID + "!"]}
    ]  # fmt: skip
    assert flag["rules"][0]["conditions"] == [{**NAMES, "value": ["bob"]}]
    segment = editor.get("segments/s").json()
    assert (segment["included"], segment["excluded"]) == (["bob"], [])
    assert segment["conditions"] == {"all": [{"attribute": "userId", "operator": "not_in", "value": []}]}
    assert Exposure.objects.filter(environment_id=told.pk, unit_id="bob").exists()
    # Another tenant's person of the same id is somebody else.
    assert Exposure.objects.filter(environment_id=globex.pk, unit_id=ID).exists()
    # What the job wrote does not name the id, and the chain holds.
    written = Entry.objects.filter(organization_id=told.project.organization_id, id__gt=before)
    assert {"privacy.erasure_requested", "privacy.erased", "flag.updated"} <= {row.action for row in written}
    assert not any(ID in json.dumps([row.before, row.after, row.changes, row.entity_key]) for row in written)
    assert verify(told.project.organization_id).broken == []


def test_export__hands_out_every_place_as_json_lines(told, admin):
    asked = admin.post("privacy/export", {"kind": "userId", "id": ID}).json()
    assert admin.get(f"privacy/jobs/{asked['id']}/file").status_code == 404
    _run()

    answer = admin.get(f"privacy/jobs/{asked['id']}/file")
    lines = [json.loads(line) for line in gzip.decompress(answer.content).splitlines()]

    assert answer["Content-Disposition"].endswith('.jsonl.gz"')
    assert {line["place"] for line in lines} == {
        "exposures", "conversions", "deadLetters", "targets", "rules", "segments", "versionLog", "audiences", "audit"
    }  # fmt: skip
    assert {line["environment"] for line in lines if line["place"] != "audit"} == {told.key}
    assert Exposure.objects.filter(environment_id=told.pk, unit_id=ID).exists()
    PrivacyJob.objects.update(finished_at=timezone.now() - timedelta(days=8))
    _run()
    assert admin.get(f"privacy/jobs/{asked['id']}/file").status_code == 404


def test_erase__of_another_kind__leaves_lists_of_users_alone(told, admin, editor):
    admin.post("privacy/erase", {"kind": "companyId", "id": ID})
    _run()

    assert "targets" in _still_there(told)
    assert editor.get("flags/a").json()["version"] == 1


def test_erase__events_on_their_way__fails_and_says_so_without_the_id(environment, admin, monkeypatch):
    monkeypatch.setattr(users, "_WAIT_SECONDS", 0.0)
    broker().append([pack(_events(environment.pk, ID))])

    asked = admin.post("privacy/erase", {"kind": "userId", "id": ID}).json()
    _run()
    empty_stream()

    job = admin.get(f"privacy/jobs/{asked['id']}").json()
    assert (job["state"], "ingest" in job["error"]) == ("failed", True)
    assert not PrivacyJob.objects.filter(person_id=ID).exists()


def test_job__whose_process_is_gone__starts_over_once_no_task_can_live_any_more(told, admin):
    """By their number, steps would be skipped where an environment came or went in between."""
    asked = admin.post("privacy/erase", {"kind": "userId", "id": ID}).json()
    erased = [{"place": "exposures", "count": 3, "remains": ""}, {"place": "audit", "count": 3, "remains": "sealed"}]
    PrivacyJob.objects.update(state="running", done=2, total=2, report=erased)
    PrivacyJob.objects.update(updated_at=timezone.now() - timedelta(minutes=50))
    _run()
    assert admin.get(f"privacy/jobs/{asked['id']}").json()["state"] == "running"

    PrivacyJob.objects.update(updated_at=timezone.now() - timedelta(minutes=61))
    _run()

    job = admin.get(f"privacy/jobs/{asked['id']}").json()
    assert (job["state"], job["done"]) == ("done", asked["total"])
    assert job["total"] == asked["total"]
    assert _still_there(told) == []
    # What was erased before counts; what remains is not counted twice.
    assert {row["place"]: row["count"] for row in job["report"]}["exposures"] == 4
    assert [row["remains"] for row in job["report"] if row["place"] == "audit"] != ["sealed"]


def test_erase__deletes_the_files_of_earlier_exports(told, admin):
    files = {}
    for name, sent in {"ann": ID, "bob": "bob"}.items():
        files[name] = f"privacy/jobs/{admin.post('privacy/export', {'kind': 'userId', 'id': sent}).json()['id']}/file"
    _run()
    assert [admin.get(path).status_code for path in files.values()] == [200, 200]

    asked = admin.post("privacy/erase", {"kind": "userId", "id": ID}).json()
    _run()

    assert [admin.get(path).status_code for path in files.values()] == [404, 200]
    report = admin.get(f"privacy/jobs/{asked['id']}").json()["report"]
    assert {"place": "exports", "count": 1, "remains": ""} in report


@pytest.mark.parametrize(
    ("body", "attr"),
    [({"kind": "userId"}, "id"), ({"kind": "", "id": "x"}, "kind"), ({"kind": "userId", "id": "x", "also": 1}, "also")],
    ids=["no id", "no kind", "unknown field"],
)
def test_erase__bad_input__names_the_field(admin, body, attr):
    answer = admin.post("privacy/erase", body)

    assert (answer.status_code, answer.json()["errors"][0]["attr"]) == (400, attr)


def test_jobs__are_the_organizations_own(told, admin, outsider):
    asked = admin.post("privacy/export", {"kind": "userId", "id": ID}).json()

    assert admin.get("privacy/jobs").json()["count"] == 1
    assert outsider.get("privacy/jobs").json()["count"] == 0
    assert outsider.get(f"privacy/jobs/{asked['id']}").status_code == 404


def test_console__erases_once_the_id_is_typed_again(told, person):
    organization = told.project.organization
    console, other = signed_in(person("admin", organization, "ada")), signed_in(person("editor", organization, "ed"))
    add = reverse("admin:tenancy_privacyjob_add")
    sent = {"organization": organization.pk, "act": "erase", "kind": "userId", "person_id": ID}

    assert other.get(add).status_code == 403
    refused = console.post(add, {**sent, "confirm": "somebody"})
    assert (refused.status_code, "once more" in refused.text) == (422, True)
    page = console.post(add, {**sent, "confirm": ID}, follow=True)
    assert "Waiting" in page.text
    _run()
    url = page.redirect_chain[-1][0]
    assert "versionLog" in console.get(url).text
    assert other.get(url).status_code in {403, 404}
    assert "sealed" in console.get(url).text

    made = console.post(add, {**sent, "act": "export"}, follow=True).redirect_chain[-1][0]
    _run()
    job = PrivacyJob.objects.get(act="export")
    assert console.get(reverse("admin:tenancy_privacyjob_file", args=[job.pk])).status_code == 200
    assert "Download the file" in console.get(made).text


def test_environment__made_with_pseudonyms__stores_no_id(environment, admin, person):
    made = admin.post("environments", {"key": "private", "name": "Private", "pseudonyms": True})
    assert (made.status_code, made.json()["pseudonyms"]) == (201, True)
    row = Environment.objects.get(key="private")
    store_events(_events(row.pk, ID))
    assert len(Exposure.objects.get(environment_id=row.pk).unit_id) == 64

    admin.post("privacy/erase", {"kind": "userId", "id": ID})
    _run()
    assert not Exposure.objects.filter(environment_id=row.pk).exists()

    console = signed_in(person("admin", environment.project.organization, "ada"))
    console.post(
        reverse("admin:tenancy_environment_add"),
        {
            "project": environment.project.pk,
            "name": "Quiet",
            "key": "quiet",
            "exposures": "all",
            "stores_pseudonyms": "on",
        },
    )
    assert Environment.objects.get(key="quiet").stores_pseudonyms
