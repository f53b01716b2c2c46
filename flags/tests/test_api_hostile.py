"""What a caller may send to hurt is refused by name, and nothing that is stored can stop the log from travelling."""

import json

import pytest

from flags import services
from flags.models import Change, Flag
from flags.services import version_log
from tenancy.errors import Invalid
from tenancy.testing import ALICE

FLAG = {"key": "a", "type": "json", "variants": [{"key": "on", "value": {}}, {"key": "off", "value": {}}]}
DEEP_CONDITION: dict = {"attribute": "n", "operator": "equals", "value": 1}
for _ in range(200):
    DEEP_CONDITION = {"not": DEEP_CONDITION}


def _problem(response):
    (problem,) = response.json()["errors"]
    return response.status_code, problem["attr"], problem["code"]


def _with_value(value):
    return {**FLAG, "variants": [{"key": "on", "value": value}, {"key": "off", "value": {}}]}


def _rule(**condition):
    return {"priority": 1, "variant": "on", "conditions": [{"attribute": "n", "operator": "equals", **condition}]}


@pytest.mark.parametrize("number", [2**63, -(2**63) - 1, 1e21, -1.5e300])
@pytest.mark.parametrize(
    ("body", "attr"),
    [
        (lambda number: _with_value({"n": [number]}), "variants[0].value.n[0]"),
        (lambda number: {**FLAG, "metadata": {"n": number}}, "metadata.n"),
        (lambda number: {**FLAG, "rules": [_rule(value=number)]}, "rules[0].conditions[0].value"),
    ],
)
def test_flag__number_that_no_64_bits_hold__is_refused_by_name(editor, environment, body, attr, number):
    # The database keeps it as an integer of any length, which no process could then read from the log: one such flag
    # would hold back every later change of its environment, a kill switch too.
    assert _problem(editor.post("flags", json.dumps(body(number)).encode())) == (400, attr, "out_of_range")
    assert not Flag.objects.exists()


@pytest.mark.parametrize("number", [2**63 - 1, -(2**63), 0.1, 1e18])
def test_flag__number_that_64_bits_hold__comes_back_as_it_went(editor, environment, number):
    assert editor.post("flags", _with_value(number)).status_code == 201
    assert editor.get("flags/a").json()["variants"][0]["value"] == number


def test_segment__number_that_no_64_bits_hold__is_refused_by_name(editor, environment):
    tree = {"attribute": "n", "operator": "equals", "value": 1e30}

    assert _problem(editor.post("segments", {"key": "s", "conditions": tree})) == (
        400, "conditions.value", "out_of_range",
    )  # fmt: skip


def test_import__number_that_no_64_bits_hold__skips_that_flag_alone(admin, environment):
    export = admin.get("environments/production/export").json()
    sent = {"data": {**export, "flags": [{**_with_value(1e30), "key": "huge"}, {**FLAG, "key": "fine"}]}}
    report = admin.post("environments/production/import", sent).json()

    assert report["created"] == ["flag fine"]
    assert [(item["key"], item["problems"][0]["code"]) for item in report["skipped"]] == [("huge", "out_of_range")]


@pytest.mark.parametrize(
    ("path", "body", "attr"),
    [
        ("flags", _with_value([DEEP_CONDITION]), "variants"),
        ("flags", {**FLAG, "rules": [{"priority": 1, "variant": "on", "conditions": [DEEP_CONDITION]}]}, "rules"),
        ("segments", {"key": "s", "conditions": DEEP_CONDITION}, "conditions"),
        ("environments/production/import", {"data": {"flags": [DEEP_CONDITION]}}, "data"),
        ("flags/evaluate/preview", {"flagKey": "a", "attributes": {"n": DEEP_CONDITION}}, "attributes"),
    ],
)
def test_body__nested_without_end__is_refused_by_name(admin, environment, path, body, attr):
    assert _problem(admin.post(path, body)) == (400, attr, "too_deep")


@pytest.mark.parametrize(
    ("part", "attr", "code"),
    [
        # A misspelt name must not make a rule that matches everybody.
        (
            {"rules": [{"priority": 1, "variant": "on", "condition": [{"attribute": "n"}]}]},
            "rules[0].condition",
            "unknown_field",
        ),
        (
            {"rules": [{"priority": 1, "rollout": [{"variant": "on", "percentage": 5, "percent": 5}]}]},
            "rules[0].rollout[0].percentage",
            "unknown_field",
        ),
        (
            {"prerequisites": [{"flagKey": "b", "variants": ["on"], "not": True}]},
            "prerequisites[0].not",
            "unknown_field",
        ),
        ({"targets": [{"variant": "on", "userIds": ["u"], "segment": "s"}]}, "targets[0].segment", "unknown_field"),
        ({"rollout": [{"variant": "on", "percent": True}]}, "rollout[0].percent", "invalid"),
        ({"rollout": [{"variant": "on", "percent": "50"}]}, "rollout[0].percent", "invalid"),
        ({"enabled": "true"}, "enabled", "invalid"),
        ({"rules": {}}, "rules", "not_a_list"),
        ({"enabled": 1}, "enabled", "invalid"),
        ({"description": "x" * 10_001}, "description", "max_length"),
    ],
)
def test_flag__part_that_is_not_what_it_seems__is_refused_by_name(editor, environment, part, attr, code):
    assert _problem(editor.post("flags", {**FLAG, **part})) == (400, attr, code)
    assert not Flag.objects.exists()


@pytest.mark.parametrize("percent", [True, "5"])
def test_layer__holdout_that_is_no_number__is_refused_by_name(editor, environment, percent):
    sent = {"key": "l", "holdoutPercent": percent}

    assert _problem(editor.post("layers", sent)) == (400, "holdoutPercent", "invalid")


def test_append__what_cannot_be_published__never_commits(environment, make_flag):
    # Whatever service forgets to look, such as an experiment's audience.
    make_flag("a")
    section = {"id": "e", "audience": {"attribute": "n", "operator": "equals", "value": 1e30}}
    with pytest.raises(Invalid) as refused:
        services.set_experiment(actor=ALICE, environment=environment, key="a", section=section)

    assert refused.value.problems[0].attr == "experiment.audience.value"
    assert Change.objects.count() == 1


@pytest.mark.django_db(transaction=True)
def test_append__publishing_fails__leaves_the_change_committed(environment, make_flag, monkeypatch):
    def fail(_change):
        raise TypeError("whatever")

    monkeypatch.setattr(version_log.publishing, "publish_changes", fail)
    make_flag("a")

    assert Change.objects.count() == 1


def test_body__compressed_where_only_events_may_be__is_said_to_be(editor, environment):
    answer = editor.post("flags", b"\x1f\x8b", headers={"Content-Encoding": "gzip"})

    assert _problem(answer) == (400, None, "parse_error")
    assert "compressed ('gzip')" in answer.json()["errors"][0]["detail"]
    assert editor.post("flags", FLAG, headers={"Content-Encoding": "identity"}).status_code == 201


def test_caller__without_a_key__learns_what_to_send(db, client):
    answer = client.post("/api/flags/evaluate", "{}", content_type="application/json")

    assert _problem(answer) == (401, None, "not_authenticated")
    assert "Authorization: Bearer" in answer.json()["errors"][0]["detail"]
    assert answer.headers["WWW-Authenticate"]


def test_caller__with_another_content_type__learns_which(editor, environment):
    answer = editor.post("flags", b"key=a", headers={"Content-Type": "application/x-www-form-urlencoded"})

    assert _problem(answer) == (415, None, "unsupported_media_type")
    assert "Content-Type: application/json" in answer.json()["errors"][0]["detail"]
