"""The routes of plans, templates, scheduled changes and triggers."""

from typing import Any

import pytest

from rollouts.api import triggers
from rollouts.models import Trigger
from rollouts.tests.conftest import KEY, events
from tenancy.callers.limits import BUCKETS
from tenancy.models import Environment
from tenancy.testing import Caller

STEPS = [{"percent": 20}, {"percent": 100, "after": "P1D", "approval": True}]
PLAN = f"flags/{KEY}/rollout-plan"
pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("flag")]


def _codes(answer: Any) -> list[tuple[str, str | None]]:
    return [(error["code"], error["attr"]) for error in answer.json()["errors"]]


def test_plan__put_start_hold_resume_advance_rollback_cancel(editor: Caller) -> None:
    made = editor.put(PLAN, {"variant": "treatment", "steps": STEPS})
    assert made.status_code == 201, made.content
    # Nothing is raised yet: the flag's own share.
    assert (made.json()["state"], made.json()["percent"]) == ("draft", 10)
    assert _codes(editor.put(PLAN, {"variant": "treatment", "steps": STEPS[:1]})) == [("required", "version")]
    # What was read can be sent back, and changes nothing.
    again = editor.put(PLAN, made.json())
    assert (again.status_code, again.json()["version"]) == (200, 1)
    assert _codes(editor.put(PLAN, {**again.json(), "state": "running"})) == [("read_only", "state")]
    started = editor.post(f"{PLAN}/start").json()
    assert (started["state"], started["currentStep"], started["percent"]) == ("running", 1, 20)
    assert (started["anchorVersion"], started["waitingFor"]["kind"]) == (1, "time")
    assert started["nextDueAt"] == started["nextStepAt"] != None  # noqa: E711 - both, and there
    refused = editor.patch(f"flags/{KEY}", {"rollout": [], "version": 2})
    assert (refused.status_code, _codes(refused)) == (409, [("rollout_in_progress", "rollout")])
    assert refused.json()["plan"]["id"] == started["id"]
    states = [editor.post(f"{PLAN}/{act}", {"reason": "why"}).json()["state"] for act in ("hold", "resume", "rollback")]
    assert states == ["held", "running", "rolled_back"]
    assert editor.post(f"{PLAN}/advance").status_code == 409
    editor.post(f"{PLAN}/resume")
    assert editor.post(f"{PLAN}/advance").json()["state"] == "completed"
    assert _codes(editor.post(f"{PLAN}/cancel")) == [("rollout_state", "state")]
    assert editor.get("rollout-plans", state="completed").json()["count"] == 1


def test_plan__made_permanent__takes_the_role_in_the_project(
    environment: Environment, person: Any, token: Any, editor: Caller
) -> None:
    organization = environment.project.organization
    here = token(
        person("editor", organization, "here", project=environment.project, environment=environment), organization
    )
    plan = {"variant": "treatment", "steps": STEPS}
    assert here.put(PLAN, {**plan, "then": "make_permanent"}).status_code == 403
    made = editor.put(PLAN, {**plan, "then": "make_permanent"}).json()
    assert here.post(f"{PLAN}/start").status_code == 403
    assert here.put(PLAN, {**plan, "version": made["version"]}).status_code == 200
    assert here.post(f"{PLAN}/start").status_code == 200


def test_plan__as_yaml__is_what_a_put_takes(editor: Caller) -> None:
    editor.put(PLAN, {"variant": "treatment", "steps": STEPS, "then": "make_permanent"})
    text = editor.get(PLAN, **{"as": "yaml"}).content
    assert text.startswith(b"flagKey: new-checkout\nvariant: treatment\nsteps:\n- percent: 20")
    assert editor.delete(PLAN).status_code == 204
    headers = {"Content-Type": "application/yaml"}
    # A file has no version: sent again as it is, it changes nothing.
    for status in (201, 200):
        made = editor._client.put(
            f"/api/{PLAN}",
            data=text,
            content_type="application/yaml",
            headers={"Authorization": f"Bearer {editor.secret}", "X-Tenant-ID": editor.tenant, **headers},
        )
        assert made.status_code == status, made.content
        assert (made.json()["then"], made.json()["version"]) == ("make_permanent", 1)


def test_plan__unknown_field_below__is_refused_by_name(editor: Caller) -> None:
    answer = editor.put(PLAN, {"variant": "treatment", "steps": [{"percent": 20, "users": 5}]})
    assert (answer.status_code, _codes(answer)) == (400, [("unknown_field", "steps[0].users")])


def test_templates__own_beside_built_in(editor: Caller) -> None:
    made = editor.post("rollout-templates", {"key": "ours", "name": "Ours", "steps": STEPS})
    assert made.status_code == 201, made.content
    listed = editor.get("rollout-templates").json()["results"]
    assert [(row["key"], row["isBuiltIn"]) for row in listed] == [
        ("daily", True),
        ("hourly", True),
        ("careful", True),
        ("ours", False),
    ]
    changed = editor.put("rollout-templates/ours", {**made.json(), "name": "Still ours"})
    assert changed.json()["version"] == 2
    assert editor.put(PLAN, {"variant": "treatment", "template": "ours"}).json()["steps"] == made.json()["steps"]
    assert editor.delete("rollout-templates/daily").status_code == 403
    assert editor.delete("rollout-templates/ours").status_code == 204


def test_scheduled__crud(editor: Caller, viewer: Caller) -> None:
    body = {"resource": {"type": "flag", "key": KEY}, "patch": {"enabled": False}, "baseVersion": 1}
    assert viewer.post("scheduled-changes", body).status_code == 403
    for extra, attr in (
        ({}, "at"),
        ({"at": "2020-01-01T00:00:00Z"}, "at"),
        ({"cron": "* *"}, "cron"),
        ({"cron": "R 8 * * *"}, "cron"),
        ({"cron": "0 8 * * *", "zone": "Mars"}, "zone"),
        ({"at": "2099-01-01T00:00:00Z", "patch": {"nope": 1}}, "nope"),
        ({"at": "2099-01-01T00:00:00Z", "baseVersion": 9}, "version"),
    ):
        assert _codes(editor.post("scheduled-changes", {**body, **extra}))[0][1] == attr
    made = editor.post("scheduled-changes", {**body, "at": "2099-01-01T00:00:00Z"})
    assert made.status_code == 201, made.content
    path = f"scheduled-changes/{made.json()['id']}"
    moved = editor.patch(path, {"at": "2098-01-01T00:00:00Z", "version": 1}).json()
    assert (moved["nextDueAt"], moved["version"], moved["baseVersion"]) == ("2098-01-01T00:00:00Z", 2, 1)
    assert editor.get("scheduled-changes", type="flag", key=KEY, state="waiting").json()["count"] == 1
    assert editor.get(f"flags/{KEY}").json()["enabled"] is True
    assert editor.delete(path).status_code == 204


@pytest.mark.parametrize(
    "firing",
    [
        {
            "version": "4",
            "status": "firing",
            "alerts": [{"status": "firing", "fingerprint": "f", "labels": {"a": "b"}}],
        },
        {"state": "alerting", "ruleId": 7, "ruleName": "errors"},
        {"status": "firing", "fingerprint": "f"},
    ],
    ids=["alertmanager", "former-grafana", "plain"],
)
def test_trigger__fires_once_an_hour(firing: dict[str, Any], editor: Caller, monkeypatch: pytest.MonkeyPatch) -> None:
    made = editor.post("triggers", {"name": "errors", "flagKey": KEY, "act": "kill_flag"}).json()
    token, path = made["token"], f"triggers/{made['id']}"
    assert "token" not in editor.get(path).json()
    assert bytes(Trigger.objects.get().digest) != token.encode()
    alert = Caller("none")
    resolved = {"status": "resolved", "alerts": [{"status": "resolved", "fingerprint": "f"}]}
    assert alert.post(f"triggers/{token}", resolved).json()["acted"] is False
    assert alert.post(f"triggers/{token}", firing).json() == {"acted": True, "why": "Kill the flag"}
    assert alert.post(f"triggers/{token}", firing).json()["acted"] is False
    assert editor.get(f"flags/{KEY}").json()["killSwitchVariant"] == "control"
    (row,) = events("flag.killed")
    assert (row.actor_kind, row.credential) == ("trigger", made["prefix"])
    assert token not in str([entry.__dict__ for entry in events("trigger.created", "trigger.fired", "flag.killed")])
    for strange in ({"nothing": 1}, {"status": []}, {"alerts": [{"status": {}}]}):
        assert alert.post(f"triggers/{token}", strange).status_code == 400
    assert alert.post(f"triggers/{token[:-1]}x", firing).status_code == 404
    assert editor.patch(path, {"act": "hold_plan", "version": 1}).status_code == 400
    monkeypatch.setattr(triggers, "CALLS_A_MINUTE", 1)
    BUCKETS.reset()
    assert [alert.post(f"triggers/{token}", resolved).status_code for _ in range(2)] == [200, 429]


def test_trigger__called__leaves_no_token_in_the_log(editor: Caller, caplog: pytest.LogCaptureFixture) -> None:
    made = editor.post("triggers", {"name": "errors", "flagKey": KEY, "act": "hold_plan"}).json()
    Caller("none").post(f"triggers/{made['token']}", {"status": "firing"})
    assert made["prefix"] in caplog.text
    assert made["token"] not in caplog.text


def test_trigger__address_of_none__is_not_there_by_any_method(editor: Caller) -> None:
    bodies = {"get": None, "patch": {}, "delete": None, "post": {}}
    assert {editor.send(method, "triggers/none", body).status_code for method, body in bodies.items()} == {404}


def test_trigger__rolls_a_plan_back(editor: Caller) -> None:
    made = editor.post("triggers", {"name": "errors", "flagKey": KEY, "act": "roll_back_plan"}).json()
    assert Caller("none").post(f"triggers/{made['token']}", {"status": "firing"}).json()["acted"] is False
    editor.put(PLAN, {"variant": "treatment", "steps": STEPS})
    editor.post(f"{PLAN}/start")
    # It is the same alert, which found nothing to act on before.
    answer = Caller("none").post(f"triggers/{made['token']}", {"status": "firing"})
    assert answer.json()["acted"] is True
    assert editor.get(PLAN).json()["state"] == "rolled_back"


def test_trigger__of_a_plan_whose_share_others_changed__is_told_why_it_does_nothing(editor: Caller) -> None:
    made = editor.post("triggers", {"name": "errors", "flagKey": KEY, "act": "roll_back_plan"}).json()
    editor.put(PLAN, {"variant": "treatment", "steps": STEPS})
    editor.post(f"{PLAN}/start")
    editor.post(f"{PLAN}/hold")
    everybody = [{"variant": "treatment", "percent": 100}]
    version = editor.get(f"flags/{KEY}").json()["version"]
    assert editor.patch(f"flags/{KEY}", {"rollout": everybody, "version": version}).status_code == 200

    answer = Caller("none").post(f"triggers/{made['token']}", {"status": "firing"})

    assert (answer.status_code, answer.json()["acted"]) == (200, False)
    assert "was changed since the plan was held" in answer.json()["why"]
    assert editor.get(f"triggers/{made['id']}").json()["lastCalledAt"]
    assert editor.get(PLAN).json()["state"] == "held"


def test_export__carries_open_plans__and_an_import_saves_them(editor: Caller) -> None:
    editor.put(PLAN, {"variant": "treatment", "steps": STEPS})
    exported = editor.get("environments/production/export").json()
    (plan,) = exported["rolloutPlans"]
    assert (plan["key"], plan["steps"]) == (KEY, STEPS)
    body = {"format": "flagship", "data": exported}
    assert "rollout plan new-checkout" in editor.post("environments/production/import", body).json()["unchanged"]
    other = {**body, "keepExisting": True, "data": {**exported, "rolloutPlans": [{**plan, "steps": [{"percent": 90}]}]}}
    assert "rollout plan new-checkout" in editor.post("environments/production/import", other).json()["kept"]
    assert editor.get(PLAN).json()["steps"] == STEPS
    editor.delete(PLAN)
    assert "rollout plan new-checkout" in editor.post("environments/production/import", body).json()["created"]
    editor.post(f"{PLAN}/start")
    body["data"]["rolloutPlans"][0]["steps"] = [{"percent": 90}]
    skipped = editor.post("environments/production/import", body).json()["skipped"]
    # The flag's share belongs to the plan that runs, too.
    assert {row["entity"] for row in skipped} == {"flag", "rollout plan"}
    assert {row["problems"][0]["code"] for row in skipped} == {"rollout_in_progress"}
    editor.post(f"{PLAN}/cancel")
    strange = {"key": KEY, "variant": "treatment", "template": ["daily"]}
    body["data"] |= {"flags": [], "rolloutPlans": [strange, {**strange, "template": None, "steps": 5}]}
    skipped = editor.post("environments/production/import", body).json()["skipped"]
    assert [row["problems"][0]["attr"] for row in skipped] == ["template", "steps"]


def test_acts__bound_to_the_version_that_was_seen__pass_no_step_unseen(editor: Caller, share: Any) -> None:
    steps = [{"percent": 20}, *({"percent": percent, "approval": True} for percent in (50, 100))]
    draft = editor.put(PLAN, {"variant": "treatment", "steps": steps}).json()
    seen = editor.post(f"{PLAN}/start", {"version": draft["version"]}).json()
    two = [editor.post(f"{PLAN}/advance", {"version": seen["version"]}) for _ in range(2)]
    assert [answer.status_code for answer in two] == [200, 409]
    assert (_codes(two[1]), share()) == ([("version_conflict", "version")], 5000)
    assert two[1].json()["current"]["currentStep"] == 2
    for act in ("start", "hold", "resume", "advance", "rollback", "cancel"):
        assert _codes(editor.post(f"{PLAN}/{act}", {"version": 1})) == [("version_conflict", "version")], act
    assert editor.get(PLAN).json()["state"] == "running"
    assert _codes(editor.post(f"{PLAN}/hold", {"version": "x"})) == [("invalid", "version")]
    # Whoever has not looked may act all the same.
    assert editor.post(f"{PLAN}/advance").json()["state"] == "completed"


def test_percent__in_every_state__is_what_the_flag_gives(editor: Caller) -> None:
    def percent(act: str) -> tuple[str, float]:
        plan = editor.post(f"{PLAN}/{act}").json()
        return plan["state"], plan["percent"]

    def edit(**fields: Any) -> float:
        version = editor.get(f"flags/{KEY}").json()["version"]
        answer = editor.patch(f"flags/{KEY}", {"version": version, **fields})
        assert answer.status_code == 200, answer.content
        found: float = editor.get(PLAN).json()["percent"]
        return found

    editor.put(PLAN, {"variant": "treatment", "steps": STEPS})
    assert [percent(act) for act in ("start", "hold")] == [("running", 20), ("held", 20)]
    assert edit(rollout=[{"variant": "treatment", "percent": 5}]) == 5
    assert percent("cancel") == ("cancelled", 5)
    editor.put(PLAN, {"variant": "treatment", "steps": [{"percent": 50}]})
    assert percent("start") == ("completed", 50)
    assert edit(rollout=[{"variant": "treatment", "percent": 7}, {"variant": "control", "percent": 90}]) == 7
    assert edit(defaultVariant="treatment") == 10
    assert edit(rollout=[]) == 100
