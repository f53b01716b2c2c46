"""A rule's tree of conditions and several names in bucketBy, through every door that a flag has."""

from typing import Any

import pytest

from flags import services
from flags.admin.flag.form import fields_of, rules_of
from flags.admin.flag.sentences import describe, describe_sent
from flags.admin.flag.snippets import sample_attributes
from flags.admin.flag.tryout.trace import readable
from flags.documents import flag_document
from flags.models import FlagConfig
from flags.selectors import segment_users
from tenancy.errors import Invalid
from tenancy.testing import ALICE

US = {"attribute": "country", "operator": "equals", "value": "US"}
PRO = {"attribute": "plan", "operator": "equals", "value": "pro"}
IN_BETA = {"operator": "in_segment", "value": ["beta"]}
TREE: dict[str, Any] = {"all": [US, {"any": [PRO, {"not": IN_BETA}]}]}
UNITS = ["deviceId", "userId"]
RULE = {"priority": 10, "name": "", "variant": "treatment", "conditions": TREE}


@pytest.fixture
def beta(environment):
    payload = {"key": "beta", "included": ["bea"]}
    return services.create_segment(actor=ALICE, environment=environment, payload=payload)[0]


@pytest.fixture
def rich(make_flag, beta):
    return make_flag("rich", rules=[RULE], bucketBy=UNITS, rollout=[{"variant": "treatment", "percent": 30}])


def problems(response) -> list[tuple[str, str]]:
    assert response.status_code == 400, response.content
    return [(problem["attr"], problem["code"]) for problem in response.json()["errors"]]


def test_tree_and_list__read_and_sent_back_over_http__are_the_same(editor, beta):
    body = editor.post("flags", {"key": "rich", "rules": [RULE], "bucketBy": UNITS}).json()

    assert (body["rules"][0]["conditions"], body["bucketBy"]) == (TREE, UNITS)
    assert editor.post("flags", body).status_code == 200
    assert editor.put("flags/rich", body).json()["bucketBy"] == UNITS
    assert editor.patch("flags/rich", {"bucketBy": ["deviceId"], "version": 2}).json()["bucketBy"] == "deviceId"


def test_tree_and_list__rolled_back_copied_exported_and_imported__are_the_same(editor, environment, staging, rich):
    wanted = {**flag_document(rich), "version": 0}
    changed = editor.patch(
        "flags/rich", {"bucketBy": "userId", "rules": [], "version": 1}, environment="production"
    ).json()
    paths = [
        change["path"]
        for change in editor.get("flags/rich/versions", environment="production").json()["results"][0]["changes"]
    ]
    assert paths == ["bucketBy", "rules"]
    assert changed["rules"] == []

    back = services.rollback_flag(actor=ALICE, environment=environment, key="rich", version=1)
    assert {**flag_document(back), "version": 0} == wanted
    copied = services.copy_flag(actor=ALICE, source=environment, target=staging, key="rich")
    (rule,) = flag_document(copied)["rules"]
    assert (rule["conditions"], copied.bucket_by) == (TREE, UNITS)

    exported = editor.get("environments/production/export").json()
    editor.patch("flags/rich", {"bucketBy": "[odd", "rules": [], "version": back.version}, environment="production")
    assert FlagConfig.objects.get(pk=rich.pk).bucket_by == "[odd", "a name is what it is"
    assert editor.post("environments/production/import", {"data": exported}).json()["updated"] == ["flag rich"]
    again = FlagConfig.objects.get(pk=rich.pk)
    assert {**flag_document(again), "version": 0} == wanted


@pytest.mark.parametrize(
    ("conditions", "found"),
    [
        ({"all": [US], "any": [PRO]}, ("rules[0].conditions", "ambiguous")),
        ({"any": [US, {"not": {**PRO, "operator": "resembles"}}]},
         ("rules[0].conditions.any[1].not.operator", "unknown_operator")),
        ({"not": [US]}, ("rules[0].conditions.not", "wrong_type")),
        ({"any": US}, ("rules[0].conditions.any", "wrong_type")),
        ({"not": {"not": {"not": {"not": {"not": {"not": US}}}}}},
         ("rules[0].conditions.not.not.not.not.not", "too_deep")),
        ({"any": [{"attribute": "id", "operator": "matches", "value": "("}]},
         ("rules[0].conditions.any[0].value", "malformed_value")),
        ("country is US", ("rules[0].conditions", "wrong_type")),
        ({}, ("rules[0].conditions.operator", "required")),
    ],
)  # fmt: skip
def test_tree__malformed__is_refused_at_its_place(editor, conditions, found):
    assert problems(editor.post("flags", {"key": "a", "rules": [{**RULE, "conditions": conditions}]})) == [found]


@pytest.mark.parametrize(
    ("names", "found"),
    [
        ([], ("bucketBy", "wrong_type")),
        (["a", "b", "c", "d"], ("bucketBy", "wrong_type")),
        (["a", "a"], ("bucketBy", "wrong_type")),
        (["a", ""], ("bucketBy[1]", "blank")),
        (["a", 5], ("bucketBy[1]", "invalid")),
        (["a", "b" * 101], ("bucketBy[1]", "max_length")),
        ({"a": 1}, ("bucketBy", "invalid")),
    ],
)
def test_list__no_one_to_three_distinct_names__is_refused(editor, names, found):
    assert problems(editor.post("flags", {"key": "a", "bucketBy": names})) == [found]


def test_list__with_an_experiment__is_refused(environment, make_flag, editor):
    listed, single = make_flag("listed", bucketBy=UNITS), make_flag("single")
    section = {
        "id": "exp", "status": "running", "controlVariant": "control", "ranges": [[0, 10_000]],
        "layer": {"key": None, "salt": "layer:exp"},
    }  # fmt: skip
    with pytest.raises(Invalid) as refused:
        services.set_experiment(actor=ALICE, environment=environment, key="listed", section=section)
    assert [(problem.attr, problem.code) for problem in refused.value.problems] == [
        ("flagKey", "one_unit_for_experiments")
    ]
    assert listed.bucket_by == UNITS

    running = services.set_experiment(actor=ALICE, environment=environment, key=single.flag.key, section=section)
    sent = {"bucketBy": UNITS, "version": running.version}
    assert problems(editor.patch("flags/single", sent)) == [("bucketBy", "one_unit_for_experiments")]
    assert problems(editor.post("flags/single/impact", {"config": sent})) == [("bucketBy", "one_unit_for_experiments")]


def test_preview_and_impact__tree_and_list__say_what_decided(viewer, rich):
    asked = {"flagKey": "rich", "userId": "bea", "attributes": {"country": "US", "plan": "free", "deviceId": "d-1"}}
    body = viewer.post("flags/evaluate/preview", asked).json()
    unit = next(step for step in body["trace"] if step["step"] == "unit")
    rule = next(step for step in body["trace"] if step["step"] == "rule")

    assert (unit["attribute"], unit["unit"], body["unit"]) == ("deviceId", "d-1", "d-1")
    assert (rule["matched"], rule["conditions"][1]["any"][1]["matched"]) == (False, False)
    lines = [line.text for line in readable(body["trace"])]
    assert "Bucketed by deviceId, the first there of deviceId, userId: d-1." in lines
    assert "Any of these holds:" in lines

    raised = [{"variant": "treatment", "percent": 50}]
    impact = viewer.post("flags/rich/impact", {"config": {"rollout": raised}}).json()
    assert (impact["basis"], impact["changed"]) == ("undecided", 0.2)


def test_tree__is_described_and_searched(environment, beta, rich, editor):
    (sentence, *_) = describe(flag_document(rich))

    assert sentence == ("If country is US and (plan is pro or not (user is in segment beta)): treatment.")
    assert segment_users(beta) == ["flag rich, rule 10"]
    assert editor.delete("segments/beta").status_code == 409
    assert sample_attributes(list(rich.rules.all())) == {"plan": "pro", "country": "US"}


def nested(depth: int) -> dict[str, Any]:
    return {"not": nested(depth - 1)} if depth else US


@pytest.mark.parametrize(
    ("sent", "sentence"),
    [
        ({"any": [US, {"not": PRO}]}, "If country is US or not (plan is pro): treatment."),
        ([US, {"any": [PRO]}], "If country is US and plan is pro: treatment."),
        ({"any": 5}, "never: treatment."),
        (None, "always: treatment."),
        ("x", "If … is …: treatment."),
        ({"not": None}, "If not (always): treatment."),
    ],
)
def test_form__whatever_was_sent__is_shown_and_said(sent, sentence):
    document = {"rules": [{"variant": "treatment", "conditions": sent}], "bucketBy": sent}

    assert [describe_sent(rule) for rule in rules_of(document)] == [sentence]
    assert len(fields_of(document, None)["units"]) == 3
    assert rules_of({"rules": [{"conditions": nested(200)}]})
