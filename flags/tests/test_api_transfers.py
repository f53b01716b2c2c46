"""Impact, copies, export and import, staleness, purging: over HTTP where there is a route."""

from datetime import UTC, datetime, timedelta

import pytest
from django.core.cache import cache
from django.utils import timezone

from audit.models import Entry
from flags import services
from flags.documents import flag_document
from flags.models import Change, Flag, FlagConfig, Segment
from flags.selectors import get_config
from flags.services import archiving
from flags.tasks import purge_archived
from tenancy.services import create_environment, create_project
from tenancy.testing import ALICE

RULE = {
    "priority": 1,
    "variant": "treatment",
    "conditions": [{"attribute": "plan", "operator": "equals", "value": "pro"}],
}
SPLIT = [{"variant": "control", "percent": 75}, {"variant": "treatment", "percent": 25}]
SECTION = {
    "id": "exp-1",
    "status": "running",
    "controlVariant": "control",
    "layer": {"key": None, "salt": "exp-1"},
    "ranges": [[0, 10_000]],
}


def _problem(response):
    (problem,) = response.json()["errors"]
    return response.status_code, problem["attr"], problem["code"]


def _without_ids(item):
    return {**item, "rules": [{**rule, "id": None} for rule in item["rules"]]}


def test_copy__works(editor, environment, staging, make_flag):
    make_flag("a", rules=[RULE], rollout=SPLIT, targets=[{"variant": "treatment", "userIds": ["u"]}])
    response = editor.post("flags/a/copy", {"to": "staging", "reason": "rehearsal"}, environment="production")

    assert response.status_code == 200
    here, there = (flag_document(get_config(where, "a")) for where in (environment, staging))
    assert _without_ids({**there, "version": 1}) == _without_ids(here)
    entry = Entry.objects.get(action="flag.copied")
    assert (entry.environment, entry.reason) == ("staging", "rehearsal")
    editor.post("flags/a/copy", {"to": "staging"}, environment="production")
    assert Entry.objects.filter(action="flag.copied").count() == 1


def test_copy__without_a_role_there__is_403(environment, staging, person, token, make_flag):
    make_flag("a")
    organization = environment.project.organization
    caller = token(person("viewer", organization), organization)

    assert caller.post("flags/a/copy", {"to": "staging"}, environment="production").status_code == 403
    assert caller.post("flags/a/copy", {"to": "nope"}, environment="production").status_code == 404


@pytest.fixture
def rich(environment, editor, make_flag):
    """An environment with one of each."""
    editor.post("segments", {"key": "pros", "included": ["u1"], "conditions": RULE["conditions"][0]})
    editor.post("layers", {"key": "till"})
    make_flag("base", type="string", variants=[{"key": "a", "value": "A"}, {"key": "b", "value": "B"}])
    make_flag("a", rules=[RULE], rollout=SPLIT, tags=["x"], prerequisites=[{"flagKey": "base", "variants": ["a"]}])
    editor.patch("flags/a", {"version": 1, "rollout": [{"variant": "treatment", "percent": 40}]})
    make_flag("old")
    editor.delete("flags/old")


@pytest.fixture
def elsewhere(organization):
    project = create_project(actor=ALICE, organization=organization, key="mobile", name="Mobile")
    return create_environment(actor=ALICE, project=project, key="live", name="Live")


def test_export_and_import__into_another_project__is_the_same_again(rich, editor, elsewhere):
    """Public report Flagsmith#7913: a salt made of a row's id gave every user another variant."""
    exported = editor.get("environments/production/export", project="web").json()
    report = editor.post("environments/live/import", {"data": exported}, project="mobile").json()

    assert report["skipped"] == []
    assert sorted(report["created"]) == ["flag a", "flag base", "flag old", "layer till", "segment pros"]
    again = editor.get("environments/live/export", project="mobile").json()
    for name in ("segments", "layers"):
        assert again[name] == exported[name]
    assert [_without_ids(item) for item in again["flags"]] == [_without_ids(item) for item in exported["flags"]]
    assert {entry.environment for entry in Entry.objects.filter(action="flag.imported")} == {"live"}
    repeated = editor.post("environments/live/import", {"data": again}, project="mobile").json()
    assert (repeated["created"], repeated["updated"], len(repeated["unchanged"])) == ([], [], 5)


def test_import__dry_run__changes_nothing(rich, editor, elsewhere):
    exported = editor.get("environments/production/export", project="web").json()
    report = editor.post("environments/live/import", {"data": exported, "dryRun": True}, project="mobile").json()

    assert (report["dryRun"], len(report["created"])) == (True, 5)
    assert not Flag.objects.filter(project__key="mobile").exists()
    assert not Change.objects.filter(environment=elsewhere).exists()


def test_import__some_of_it_wrong__the_rest_goes_in_and_the_report_says_why(editor, elsewhere):
    good = {"key": "good", "type": "boolean", "variants": [{"key": "n", "value": False}, {"key": "y", "value": True}]}
    data = {
        "format": "flagship",
        "formatVersion": 1,
        "flags": [good, {**good, "key": "bad", "allocation": [[0, 20_000, "y"]]}, {"type": "boolean"}, 7,
                  {**good, "key": "needy", "prerequisites": [{"flagKey": "nope", "variants": ["y"]}]}],
        "segments": [{"key": "s", "included": "everybody"}],
    }  # fmt: skip
    report = editor.post("environments/live/import", {"data": data}, project="mobile").json()

    assert report["created"] == ["flag good"]
    found = {(item["entity"], item["key"]): item["problems"][0]["attr"] for item in report["skipped"]}
    assert found == {
        ("flag", "bad"): "allocation[0]",
        ("flag", None): "key",
        ("flag", "needy"): "prerequisites[0].flagKey",
        ("segment", "s"): "included",
    }


@pytest.mark.parametrize(
    ("body", "attr"),
    [({}, "data"), ({"data": {}}, "data.format"), ({"data": {}, "format": "x"}, "format"),
     ({"data": {"format": "flagship", "formatVersion": 1, "flags": {}}}, "data.flags")],
)  # fmt: skip
def test_import__no_export__is_400(editor, elsewhere, body, attr):
    response = editor.post("environments/live/import", body, project="mobile")

    assert (response.status_code, response.json()["errors"][0]["attr"]) == (400, attr)


@pytest.mark.parametrize(
    "sent",
    [
        ("get", "environments/live/export"),
        ("post", "environments/live/import", {"data": {}}),
        ("post", "flags/a/impact", {"config": {}}),
        ("post", "flags/a/copy", {"to": "staging"}),
    ],
)
def test_every_route__outsider__gets_404(outsider, elsewhere, make_flag, sent):
    make_flag("a")

    assert outsider.send(*sent).status_code == 404


def _age(key, days):
    moment = timezone.now() - timedelta(days=days)
    FlagConfig.objects.filter(flag__key=key).update(updated_at=moment)
    Flag.objects.filter(key=key).update(updated_at=moment)


def test_stale__says_which_and_why(viewer, environment, make_flag, django_assert_max_num_queries):
    from analytics.models import FlagExposureHour  # noqa: PLC0415 - one scenario needs the table

    make_flag("launched", rollout=[{"variant": "treatment", "percent": 100}])
    make_flag("forgotten", rules=[RULE])
    make_flag("off", enabled=False)
    make_flag("busy", rules=[RULE])
    make_flag("young", rollout=[{"variant": "treatment", "percent": 100}])
    for key in ("launched", "forgotten", "off", "busy"):
        _age(key, 40)
    hour = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
    for key in ("busy", "launched"):
        FlagExposureHour.objects.create(
            environment_id=environment.pk, flag_key=key, hour=hour, variant="x", reason="ROLLOUT", exposures=1, bots=0
        )
    with django_assert_max_num_queries(17):
        rows = viewer.get("flags", stale="true").json()["results"]

    found = {row["key"]: [reason["code"] for reason in row["staleness"]["reasons"]] for row in rows}
    assert found == {
        "forgotten": ["not_evaluated"],
        "launched": ["fully_rolled_out"],
        "off": ["switched_off", "not_evaluated"],
    }
    assert {row["key"] for row in viewer.get("flags", stale="false").json()["results"]} == {"busy", "young"}
    assert _problem(viewer.get("flags", stale="perhaps")) == (400, "stale", "invalid_choice")


def test_purge__archived_long_ago__is_gone_and_its_history_stays(environment, make_flag, settings):
    make_flag("old")
    make_flag("recent")
    for key in ("old", "recent"):
        services.archive_flag(actor=ALICE, environment=environment, key=key)
    Flag.objects.filter(key="old").update(archived_at=timezone.now() - timedelta(days=400))
    settings.PURGE_ARCHIVED_MONTHS = 0
    assert purge_archived() == 0
    settings.PURGE_ARCHIVED_MONTHS = 12

    assert purge_archived() == 1
    assert list(Flag.objects.values_list("key", flat=True)) == ["recent"]
    assert Change.objects.filter(key="old").count() == 2
    entry = Entry.objects.get(action="flag.purged")
    assert (entry.actor_label, entry.before["key"]) == ("system (purge archived flags)", "old")
    assert make_flag("old").version == 1


def test_segments_of_another_file__survive(editor, elsewhere):
    cache.delete_pattern("*")
    data = {"format": "flagship", "formatVersion": 1, "segments": [{"key": "s", "included": ["u"]}]}
    editor.post("environments/live/import", {"data": data}, project="mobile")
    editor.post("environments/live/import", {"data": {**data, "segments": []}}, project="mobile")

    assert Segment.objects.get(environment=elsewhere).included == ["u"]


def test_purge_now__archived_and_confirmed__frees_the_key(admin, make_flag):
    make_flag("old", name="Old")

    served = admin.post("flags/old/purge", {"confirm": "old"})
    assert (served.status_code, served.json()["errors"][0]["code"]) == (409, "not_archived")
    assert "Archive it first" in served.json()["errors"][0]["detail"]
    admin.delete("flags/old")
    unconfirmed = admin.post("flags/old/purge", {"confirm": "Old"})
    assert (unconfirmed.status_code, unconfirmed.json()["errors"][0]["attr"]) == (400, "confirm")

    assert admin.post("flags/old/purge", {"confirm": "old", "reason": "Never used"}).status_code == 204

    assert Entry.objects.get(action="flag.purged").reason == "Never used"
    assert admin.get("flags/old").status_code == 404
    assert admin.post("flags", {"key": "old", "name": "Another"}).status_code == 201


def test_purge_now__deleted_by_another_meanwhile__is_409(admin, make_flag, monkeypatch):
    make_flag("old")
    admin.delete("flags/old")

    def read_and_lose(environment, key):
        config = get_config(environment, key)
        Flag.objects.get(pk=config.flag_id).delete()
        return config

    monkeypatch.setattr(archiving, "get_config", read_and_lose)
    late = admin.post("flags/old/purge", {"confirm": "old"})

    assert (late.status_code, late.json()["errors"][0]["detail"]) == (409, "'old' was restored or deleted meanwhile.")


def test_purge_now__editor__may_not(editor, make_flag):
    make_flag("old")
    editor.delete("flags/old")

    assert editor.post("flags/old/purge", {"confirm": "old"}).status_code == 403
