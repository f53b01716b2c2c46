"""History over HTTP: versions, the past, going back, previews of any version or draft, kill by tag, audit."""

import time

import pytest
from django.utils import timezone

from flags import services
from flags.documents import flag_document
from flags.models import Change, FlagConfig
from flags.selectors import get_config
from tenancy.testing import ALICE

RULE = {
    "priority": 1,
    "variant": "treatment",
    "conditions": [{"attribute": "plan", "operator": "equals", "value": "pro"}],
}
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


@pytest.fixture
def story(editor, make_flag):
    """A flag with three versions; the instant between the second and the third."""
    make_flag("a", rules=[RULE], rollout=[{"variant": "treatment", "percent": 33.33}])
    editor.patch("flags/a", {"version": 1, "rollout": [{"variant": "treatment", "percent": 50}], "name": "Second"})
    between = timezone.now()
    # The clock must have moved on, however coarse it is.
    deadline = time.monotonic() + 5
    while timezone.now() <= between and time.monotonic() < deadline:
        pass
    editor.patch("flags/a", {"version": 2, "rules": [], "enabled": False})
    return between


def test_versions__works(viewer, story):
    body = viewer.get("flags/a/versions").json()
    newest, second, first = body["results"]

    assert [row["version"] for row in body["results"]] == [3, 2, 1]
    assert {change["path"] for change in newest["changes"]} == {"enabled", "rules"}
    assert {change["path"] for change in second["changes"]} == {"name", "rollout"}
    assert (first["changes"], first["actor"], second["actor"]) == ([], "alice", "editor-of-acme")
    assert first["flag"]["rollout"] == [{"variant": "treatment", "percent": 33.33}]


def test_versions__second_page__knows_what_came_before_it(viewer, story):
    rows = viewer.get("flags/a/versions", pageSize="1", page="2").json()["results"]

    assert [row["version"] for row in rows] == [2]
    assert {change["path"] for change in rows[0]["changes"]} == {"name", "rollout"}


def test_versions__any_number__takes_the_same_queries(viewer, story, django_assert_num_queries):
    with django_assert_num_queries(8):
        viewer.get("flags/a/versions")


def test_get__at__is_the_flag_as_it_was(viewer, story):
    body = viewer.get("flags/a", at=story.isoformat()).json()

    assert (body["name"], body["version"], body["enabled"], len(body["rules"])) == ("Second", 2, True, 1)
    assert viewer.get("flags/a", at="2001-01-01T00:00:00Z").status_code == 404
    assert _problem(viewer.get("flags/a", at="noon"))[:2] == (400, "at")


def test_get__at_while_archived__says_so(editor, make_flag):
    make_flag("a", description="kept")
    editor.delete("flags/a")
    body = editor.get("flags/a", at=timezone.now().isoformat()).json()

    assert (body["status"], body["description"]) == ("archived", "kept")


def test_rollback__works(editor, environment, story):
    wanted = Change.objects.get(key="a", document__version=1).document
    response = editor.post("flags/a/rollback", {"version": 1, "reason": "worse"})

    assert (response.status_code, response.json()["version"]) == (200, 4)
    restored = flag_document(get_config(environment, "a"))
    assert {**restored, "version": 1} == wanted
    entry = editor.get("flags/a/audit").json()["results"][0]
    assert (entry["action"], entry["reason"]) == ("flag.rolled_back", "worse")
    assert Change.objects.order_by("-version").first().document == restored


def test_rollback__to_the_present__changes_the_version_alone(editor, environment, story):
    before = flag_document(get_config(environment, "a"))
    editor.post("flags/a/rollback", {"version": 3})

    assert {**flag_document(get_config(environment, "a")), "version": 3} == before


@pytest.mark.parametrize(
    ("body", "attr", "code"),
    [
        ({"version": 99}, "version", "unknown_version"),
        ({}, "version", "required"),
        ({"version": "x"}, "version", "invalid"),
    ],
)
def test_rollback__bad_input__is_400(editor, story, body, attr, code):
    assert _problem(editor.post("flags/a/rollback", body)) == (400, attr, code)


def test_rollback__while_killed__leaves_the_kill_switch_alone(editor, story):
    editor.post("flags/a/kill", {"variant": "control"})
    body = editor.post("flags/a/rollback", {"version": 1}).json()

    assert (body["killSwitchVariant"], body["rollout"][0]["percent"]) == ("control", 33.33)


def test_rollback__other_split_under_an_experiment__is_409(editor, environment, story):
    services.set_experiment(actor=ALICE, environment=environment, key="a", section=SECTION)

    assert _problem(editor.post("flags/a/rollback", {"version": 1})) == (409, "rollout", "rollout_conflict")


def test_rollback__archived__is_409(editor, story):
    editor.delete("flags/a")

    assert _problem(editor.post("flags/a/rollback", {"version": 1})) == (409, None, "flag_archived")


def test_rollback__prerequisite_gone_since__is_400(editor, make_flag):
    make_flag("base")
    make_flag("a", prerequisites=[{"flagKey": "base", "variants": ["treatment"]}])
    editor.patch("flags/a", {"version": 1, "prerequisites": []})
    editor.delete("flags/base")

    assert _problem(editor.post("flags/a/rollback", {"version": 1}))[2] == "unknown_flag"


def _preview(caller, **body):
    return caller.post("flags/evaluate/preview", {"flagKey": "a", "userId": "u", "attributes": {"plan": "pro"}, **body})


def test_preview__now__says_why(viewer, story):
    body = _preview(viewer).json()

    assert (body["variant"], body["reason"], body["configVersion"]) == ("control", "DISABLED", 3)
    assert body["trace"][-1]["decides"] is True


def test_preview__back_then__says_what_the_user_got(viewer, story):
    by_version = _preview(viewer, configVersion=2).json()
    by_instant = _preview(viewer, at=story.isoformat()).json()

    assert (by_version["variant"], by_version["reason"]) == ("treatment", "RULE_MATCH")
    assert by_instant == by_version


def test_preview__draft__is_not_stored(viewer, environment, story):
    body = _preview(viewer, config={"enabled": True, "rules": [RULE]}).json()

    assert (body["reason"], FlagConfig.objects.get(environment=environment).is_enabled) == ("RULE_MATCH", False)
    assert Change.objects.filter(environment=environment).count() == 3


@pytest.mark.parametrize(
    ("body", "status", "attr"),
    [
        ({"flagKey": "nope"}, 404, "flagKey"),
        ({"configVersion": 99}, 400, "configVersion"),
        ({"configVersion": 1, "at": "2026-01-01T00:00:00Z"}, 400, "at"),
        ({"config": {"rollout": [{"variant": "blue", "percent": 1}]}}, 400, "rollout[0].variant"),
        ({"at": "noon"}, 400, "at"),
        ({"attributes": {f"a{number}": 1 for number in range(101)}}, 400, "attributes"),
        ({"nonsense": 1}, 400, "nonsense"),
    ],
)
def test_preview__bad_input__is_refused_by_name(viewer, story, body, status, attr):
    response = _preview(viewer, **body)

    assert (response.status_code, response.json()["errors"][0]["attr"]) == (status, attr)


def test_kill_by_tag__kills_and_releases_every_flag_with_it(editor, make_flag):
    make_flag("a", tags=["pay"], defaultVariant="treatment")
    make_flag("b", tags=["pay", "x"])
    make_flag("c")
    killed = editor.post("kill", {"tag": "pay", "reason": "psp down"})

    assert (killed.status_code, killed.json()["flags"], killed.json()["configVersion"]) == (202, ["a", "b"], 5)
    assert {row["key"] for row in editor.get("flags", state="killed").json()["results"]} == {"a", "b"}
    assert editor.post("kill/release", {"tag": "pay"}).json()["flags"] == ["a", "b"]
    assert editor.get("flags", state="killed").json()["count"] == 0
    assert _problem(editor.post("kill", {"tag": "nope"})) == (400, "tag", "unknown_tag")


def test_kill_all__owner_confirms_by_key__kills_and_releases_everything(owner, environment, make_flag):
    make_flag("a", tags=["pay"])
    make_flag("b")
    where = {"all": True, "confirm": environment.key}

    killed = owner.post("kill", {**where, "reason": "Database is lost"})

    assert (killed.status_code, killed.json()["flags"], "tag" in killed.json()) == (202, ["a", "b"], False)
    assert owner.get("flags", state="killed").json()["count"] == 2
    assert owner.post("kill/release", where).json()["flags"] == ["a", "b"]
    assert owner.get("flags", state="killed").json()["count"] == 0


@pytest.mark.parametrize(
    ("sent", "attr", "code"),
    [
        ({"all": True, "reason": "x"}, "confirm", "confirmation_mismatch"),
        ({"all": True, "confirm": "Production", "reason": "x"}, "confirm", "confirmation_mismatch"),
        ({"all": True, "confirm": "production"}, "reason", "required"),
        ({"all": True, "tag": "pay", "confirm": "production", "reason": "x"}, "tag", "required"),
        ({"all": False}, "tag", "required"),
        ({}, "tag", "required"),
        ({"tag": "pay", "confirm": "production"}, "confirm", "unknown_field"),
    ],
)
def test_kill_all__not_confirmed_or_not_clear__changes_nothing(owner, make_flag, sent, attr, code):
    make_flag("a", tags=["pay"])

    assert _problem(owner.post("kill", sent)) == (400, attr, code)
    assert owner.get("flags", state="killed").json()["count"] == 0


def test_kill_all__not_an_owner__may_not(editor, environment, make_flag):
    make_flag("a")

    refused = editor.post("kill", {"all": True, "confirm": environment.key, "reason": "x"})

    assert refused.status_code == 403
    assert editor.get("flags", state="killed").json()["count"] == 0


def test_flag_audit__is_the_flags_own_in_this_environment(viewer, story):
    rows = viewer.get("flags/a/audit").json()["results"]

    assert [row["action"] for row in rows] == ["flag.updated", "flag.updated", "flag.created"]


def test_change__reaching_another_environment_without_a_role_there__is_403(
    environment, staging, person, token, make_flag
):
    make_flag("a")
    organization = environment.project.organization
    caller = token(person("editor", organization, "s", project=staging.project, environment=staging), organization)

    assert caller.patch("flags/a", {"version": 1, "enabled": True}).status_code == 200
    assert caller.patch("flags/a", {"version": 2, "name": "a"}).status_code == 200
    for response in (
        caller.patch("flags/a", {"version": 3, "name": "Renamed"}),
        caller.put("flags/a", {"version": 3}),
        caller.delete("flags/a"),
        caller.post("flags", {"key": "new"}),
        caller.post("flags/a/rollback", {"version": 1}),
    ):
        assert _problem(response) == (403, None, "permission_denied")
