"""What is read of a plan can be sent again: to the same flag, to another of its flags, into another environment."""

from collections.abc import Callable
from typing import Any

import pytest

from flags.models import FlagConfig
from rollouts.tests.conftest import KEY, events
from tenancy.models import Environment
from tenancy.testing import Caller

PLAN = f"flags/{KEY}/rollout-plan"
STEPS = [{"percent": 20}, {"percent": 100, "after": "P1D", "approval": True}]
pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("flag")]


def _codes(answer: Any) -> list[tuple[str, str | None]]:
    return [(error["code"], error["attr"]) for error in answer.json()["errors"]]


def _put_yaml(caller: Caller, path: str, text: bytes) -> Any:
    headers = {"Authorization": f"Bearer {caller.secret}", "X-Tenant-ID": caller.tenant}
    address, asked = f"/api/{path}", {"query_params": caller.query, "headers": headers}
    return caller._client.put(address, data=text, content_type="application/yaml", **asked)


@pytest.mark.parametrize(
    "content",
    [
        {"steps": STEPS},
        {"steps": [{"percent": 20, "at": "2099-03-01T09:00:00+01:00"}]},
        {"steps": [{"percent": 20, "at": "2099-03-01T08:00:00.000Z"}]},
        {"steps": [{"percent": 20, "after": "PT36H"}, {"percent": 50, "after": "P1W"}]},
        {"steps": [{"percent": 20, "approval": False, "minimumUsers": 0}, {"percent": 50.0, "approval": True}]},
        {"steps": STEPS, "flags": [{"flagKey": "second", "variant": "treatment"}]},
        {"steps": STEPS, "afterEnvironment": {"environment": "staging"}},
        {"template": "daily"},
        {"steps": STEPS, "then": "make_permanent"},
        {"steps": STEPS, "then": None, "template": None, "flags": [], "ruleId": None, "afterEnvironment": None},
    ],
    ids=["plain", "zone", "fraction", "durations", "false", "flags", "for", "template", "then", "nulls"],
)
@pytest.mark.usefixtures("staging")
def test_put__of_what_is_there__changes_nothing_however_it_is_written(
    content: dict[str, Any], editor: Caller, make_flag: Callable[..., FlagConfig]
) -> None:
    make_flag("second")
    editor.query["environment"] = "production"
    body = {"variant": "treatment", **content}
    made = editor.put(PLAN, body)
    assert made.status_code == 201, made.content
    # Twice before the start, and twice after it: a file beside the code does not know of the start.
    for _ in range(2):
        for sent in (body, editor.get(PLAN).json()):
            answer = editor.put(PLAN, sent)
            assert (answer.status_code, answer.json()) == (200, editor.get(PLAN).json())
        answer = _put_yaml(editor, PLAN, editor.get(PLAN, **{"as": "yaml"}).content)
        assert (answer.status_code, answer.json()) == (200, editor.get(PLAN).json())
        assert editor.post(f"{PLAN}/start").status_code in {200, 409}
    assert len(events("rollout_plan.saved")) == 1


def test_put__of_another_content__is_refused_with_the_act_that_leads_on(editor: Caller) -> None:
    other = {"variant": "treatment", "steps": [{"percent": 90}]}
    editor.put(PLAN, {"variant": "treatment", "steps": STEPS})
    assert _codes(editor.put(PLAN, other)) == [("required", "version")]
    said = []
    for act in ("start", "hold", "rollback"):
        editor.post(f"{PLAN}/{act}")
        refused = editor.put(PLAN, other), editor.delete(PLAN)
        assert [_codes(answer) for answer in refused] == [[("rollout_in_progress", None)]] * 2
        said += [answer.json()["errors"][0]["detail"] for answer in refused]
    assert [words.partition(KEY)[2].split(". ")[0] for words in said[::2]] == [
        "' is at work",
        "' is held",
        "' was rolled back",
    ]
    assert all("Hold it" not in words and "ancel" in words for words in said)
    editor.post(f"{PLAN}/cancel")
    assert editor.put(PLAN, other).status_code == 201


def test_put__of_what_a_further_flag_shows__is_taken(editor: Caller, make_flag: Callable[..., FlagConfig]) -> None:
    make_flag("second")
    second = "flags/second/rollout-plan"
    flags = [{"flagKey": "second", "variant": "treatment"}]
    editor.put(PLAN, {"variant": "treatment", "steps": STEPS, "flags": flags})
    read = editor.get(second).json()
    assert (read["flagKey"], [row["flagKey"] for row in read["flags"]]) == ("second", [KEY])
    assert (editor.put(second, read).status_code, editor.put(second, read).json()) == (200, read)
    assert _put_yaml(editor, second, editor.get(second, **{"as": "yaml"}).content).json() == read
    changed = editor.put(second, {**read, "steps": STEPS[:1]})
    assert (changed.status_code, changed.json()["version"], changed.json()["flagKey"]) == (200, 2, "second")
    assert _codes(editor.put(second, {**changed.json(), "flagKey": KEY})) == [("read_only", "flagKey")]


def test_import__of_a_plan_with_a_member_that_there_is_not__is_skipped_by_name(editor: Caller) -> None:
    plan = {"key": KEY, "variant": "treatment", "steps": STEPS, "afterEnviroment": {"environment": "staging"}}
    report = editor.post("environments/production/import", {"data": _document(editor, plan)}).json()
    assert [(row["key"], row["problems"][0]["attr"]) for row in report["skipped"]] == [(KEY, "afterEnviroment")]
    assert editor.get(PLAN).status_code == 404


def _document(editor: Caller, *plans: dict[str, Any]) -> dict[str, Any]:
    return {**editor.get("environments/production/export").json(), "flags": [], "rolloutPlans": list(plans)}


def test_import__of_a_plan_in_a_rule__finds_the_rule_of_the_other_environment(
    editor: Caller, staging: Environment, make_flag: Callable[..., FlagConfig]
) -> None:
    editor.query["environment"] = "production"
    rules = [{"priority": number, "conditions": [], "variant": "control"} for number in (1, 2)]
    for key in ("ruled", "along"):
        make_flag(key, rules=rules)
    path = "flags/ruled/rollout-plan"
    ids = {key: editor.get(f"flags/{key}").json()["rules"][1]["id"] for key in ("ruled", "along")}
    flags = [{"flagKey": "along", "variant": "treatment", "ruleId": ids["along"]}]
    editor.put(path, {"variant": "treatment", "steps": STEPS, "ruleId": ids["ruled"], "flags": flags})
    exported = editor.get("environments/production/export").json()
    (plan,) = exported["rolloutPlans"]
    assert (plan["rule"], plan["flags"][0]["rule"]) == ({"priority": 2}, {"priority": 2})
    for created in ("created", "unchanged"):
        report = editor.post(f"environments/{staging.key}/import", {"data": exported}).json()
        assert (report["skipped"], "rollout plan ruled" in report[created]) == ([], True)
    there = editor.get(path, environment=staging.key).json()
    here = {key: editor.get(f"flags/{key}", environment=staging.key).json()["rules"][1]["id"] for key in ids}
    assert (there["ruleId"], there["flags"][0]["ruleId"]) == (here["ruled"], here["along"])
    assert not set(here.values()) & set(ids.values())


def test_put__of_the_file_of_another_flag__is_refused_where_there_is_no_plan_yet(editor: Caller) -> None:
    content = {"variant": "treatment", "steps": STEPS}
    assert _codes(editor.put(PLAN, {"flagKey": "another", **content})) == [("read_only", "flagKey")]
    assert editor.put(PLAN, {"flagKey": KEY, **content}).status_code == 201
