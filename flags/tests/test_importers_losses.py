"""What another product's file says that has no counterpart: it gives nobody more, and what is live stays as it was."""

import copy

import pytest
from openflagship.engine import Context

from flags.exchange.formats import convert
from flags.propagation.runtime import load_environment
from flags.tests.test_importers import FLAGSMITH, LAUNCHDARKLY, UNLEASH
from tenancy.errors import Invalid

ROUTE = "environments/production/import"
OFF = "imported switched off"


def _launchdarkly(rules=(), *, values=(True, False), segments=(), **config):
    environment = {"on": True, "offVariation": 1, "fallthrough": {"variation": 0}, "rules": list(rules), **config}
    flag = {"key": "f", "variations": [{"value": value} for value in values], "environments": {"prod": environment}}
    return {"items": [flag], "segments": list(segments)}


def _clause(**more):
    return {"attribute": "key", "op": "in", "values": ["d1"], **more}


DEVICE = {"contextKind": "device"}
IN_BIG = {"op": "segmentMatch", "values": ["big"]}
BIG = {"key": "big", "unbounded": True, "included": []}


@pytest.mark.parametrize("kind", ["launchdarkly", "unleash", "flagsmith", "growthbook", "flagship"])
def test_environment__that_the_file_does_not_have__is_refused_and_nothing_changes(editor, make_flag, kind):
    make_flag("search", enabled=True)
    data = {
        "launchdarkly": LAUNCHDARKLY,
        "unleash": UNLEASH,
        "flagsmith": FLAGSMITH,
        "growthbook": {"features": {"search": {"defaultValue": True}}},
        "flagship": editor.get("environments/production/export").json(),
    }[kind]

    answer = editor.post(ROUTE, {"format": kind, "data": data, "sourceEnvironment": "prodution"})

    (problem,) = answer.json()["errors"]
    assert (answer.status_code, problem["code"], problem["attr"]) == (400, "unknown_environment", "sourceEnvironment")
    assert editor.get("flags/search").json()["version"] == 1


@pytest.mark.parametrize(
    ("kind", "data"),
    [
        ("launchdarkly", {"items": [*LAUNCHDARKLY["items"], {**_launchdarkly()["items"][0], "key": "search"}]}),
        ("unleash", {**UNLEASH, "featureEnvironments": [
            *({**row, "featureName": "banner"} for row in UNLEASH["featureEnvironments"][:1]),
            {"featureName": "search", "environment": "test", "enabled": False},
        ]}),
    ],
    ids=["launchdarkly", "unleash"],
)  # fmt: skip
def test_flag__without_a_configuration_in_that_environment__is_left_out_with_a_note(editor, make_flag, kind, data):
    """Public report Unleash#2186: an import switched flags off."""
    make_flag("search", enabled=True)

    report = editor.post(ROUTE, {"format": kind, "data": data, "sourceEnvironment": "production"}).json()

    assert editor.get("flags/search").json()["enabled"] is True
    assert any(note["key"] == "search" and "left out" in note["detail"] for note in report["notes"])


def test_dry_run__shows_what_differs_and_the_share_of_users_who_move(editor, make_flag):
    make_flag("a", enabled=True)
    data = editor.get("environments/production/export").json()
    data["flags"][0]["allocation"] = [[0, 2500, "treatment"]]

    report = editor.post(ROUTE, {"data": data, "dryRun": True}).json()

    (change,) = report["changes"]
    assert (change["key"], change["movedPercent"], change["basis"]) == ("a", 25.0, "everyone")
    assert [one["path"] for one in change["changes"]] == ["allocation"]
    assert editor.get("flags/a").json()["version"] == 1


def test_keep_existing__leaves_alone_what_is_there(editor, make_flag):
    make_flag("checkout", enabled=True)
    editor.post("segments", {"key": "beta", "included": ["zoe"]})
    body = {"format": "launchdarkly", "data": LAUNCHDARKLY, "sourceEnvironment": "production", "keepExisting": True}

    report = editor.post(ROUTE, body).json()

    assert (sorted(report["kept"]), report["updated"]) == (["flag checkout", "segment beta"], [])
    assert editor.get("flags/checkout").json()["version"] == 1
    assert editor.get("segments/beta").json()["included"] == ["zoe"]


@pytest.mark.parametrize(
    ("data", "is_off"),
    [
        (_launchdarkly([{"variation": 1, "clauses": [_clause(**DEVICE)]}]), True),
        (_launchdarkly([{"variation": 0, "clauses": [_clause(**DEVICE)]}]), False),
        (_launchdarkly([{"variation": 1, "clauses": [_clause(**DEVICE)]}], fallthrough={"variation": 1}), False),
        (_launchdarkly([{"variation": 0, "clauses": [_clause(**DEVICE)]}], values=("x", "off", "y"),
                       fallthrough={"variation": 2}), True),
        (_launchdarkly(contextTargets=[{"values": ["d1"], "variation": 1, **DEVICE}]), True),
        (_launchdarkly(contextTargets=[{"values": ["d1"], "variation": 0, **DEVICE}]), False),
        (_launchdarkly([{"variation": 1, "clauses": [IN_BIG]}], segments=[BIG]), True),
        (_launchdarkly([{"variation": 0, "clauses": [IN_BIG]}], segments=[BIG]), False),
        (_launchdarkly([{"variation": 0, "clauses": [{**IN_BIG, "negate": True}]}], segments=[BIG],
                       fallthrough={"variation": 1}), True),
        (_launchdarkly([{"variation": 0, "clauses": [{"op": "segmentMatch", "values": ["outer"]}]}],
                       fallthrough={"variation": 1},
                       segments=[BIG, {"key": "outer", "rules": [{"clauses": [{**IN_BIG, "negate": True}]}]}]), True),
    ],
    ids=["deny", "allow", "deny before deny", "one of three", "deny a target", "allow a target", "deny a big segment",
         "allow a big segment", "not in a big segment", "not in one, through another"],
)  # fmt: skip
def test_launchdarkly__what_denied_and_cannot_be_said__switches_the_flag_off(data, is_off):
    converted, notes = convert("launchdarkly", data, environment=None)

    assert converted["flags"][0]["enabled"] is not is_off
    assert any(OFF in note["detail"] for note in notes) is is_off


def test_launchdarkly__switched_off_with_true_as_its_off_variation__lets_nobody_in():
    data = _launchdarkly([{"variation": 1, "clauses": [_clause(**DEVICE)]}], offVariation=0)

    converted, _ = convert("launchdarkly", data, environment=None)

    assert (converted["flags"][0]["enabled"], converted["flags"][0]["offVariant"]) == (False, "false")


def test_launchdarkly__instants_big_segments_and_kinds_of_rollouts__are_carried_or_noted(editor, environment):
    since = {"attribute": "joined", "op": "after", "values": [1735689600000]}
    share = {"contextKind": "org", "variations": [{"variation": 0, "weight": 100000}]}
    data = _launchdarkly([{"variation": 0, "clauses": [since]}], segments=[BIG], fallthrough={"rollout": share})

    report = editor.post(ROUTE, {"format": "launchdarkly", "data": data}).json()

    assert report["skipped"] == []
    compiled = load_environment(environment.pk)
    assert compiled.evaluate("f", Context("u", {"joined": "2025-02-01T00:00:00Z"})).reason == "RULE_MATCH"
    details = {(note["entity"], note["detail"].split(";")[0]) for note in report["notes"]}
    assert ("segment", "It is a big segment, whose members are not in the file") in details
    assert ("flag", "The rollout in the default rule deals by the context kind 'org'") in details


def test_launchdarkly__summaries_without_configurations__are_refused():
    data = copy.deepcopy(LAUNCHDARKLY)
    data["items"][0]["environments"]["production"] = {"on": True, "_summary": {}}

    with pytest.raises(Invalid, match="summary=0"):
        convert("launchdarkly", data, environment="production")


def _unleash(**dependency):
    features = [{"name": "child"}, {"name": "parent"}]
    switches = [{"featureName": row["name"], "environment": "production", "enabled": True} for row in features]
    rows = [{"feature": "child", "dependencies": [{"feature": "parent", "enabled": True, **dependency}]}]
    return {"features": features, "featureEnvironments": switches, "dependencies": rows}


@pytest.mark.parametrize(
    ("dependency", "prerequisites"),
    [
        ({}, [{"flagKey": "parent", "variants": ["treatment"]}]),
        ({"enabled": False}, None),
        ({"feature": "elsewhere"}, None),
        ({"variants": ["treatment"]}, [{"flagKey": "parent", "variants": ["treatment"]}]),
        ({"variants": ["beta"]}, None),
    ],
    ids=["on", "off", "in no file", "a variant", "a variant in no file"],
)
def test_unleash__dependency__is_a_prerequisite_or_switches_the_flag_off(editor, dependency, prerequisites):
    report = editor.post(ROUTE, {"format": "unleash", "data": _unleash(**dependency)}).json()

    assert report["skipped"] == []
    child = editor.get("flags/child").json()
    assert child["enabled"] is (prerequisites is not None)
    assert child["prerequisites"] == (prerequisites or [])
    assert any(OFF in note["detail"] for note in report["notes"]) is (prerequisites is None)


def test_unleash__state_export_of_an_older_release__serves_what_it_served(editor, environment):
    data = {
        "version": 4,
        "features": [{"name": "search", "variants": [
            {"name": "a", "weight": 1000, "overrides": [{"contextName": "userId", "values": ["zoe"]}]},
        ]}],
        "featureEnvironments": [{"featureName": "search", "environment": "production", "enabled": True}],
        "featureStrategies": [{"id": "s1", "featureName": "search", "environment": "production",
                               "strategyName": "flexibleRollout", "parameters": {"rollout": "100"},
                               "constraints": []}],
        "segments": [{"id": 1, "name": "Pros", "constraints": [
            {"contextName": "plan", "operator": "IN", "values": ["pro"]}]}],
        "featureStrategySegments": [{"featureStrategyId": "s1", "segmentId": 1}],
    }  # fmt: skip

    report = editor.post(ROUTE, {"format": "unleash", "data": data}).json()

    assert report["skipped"] == []
    compiled = load_environment(environment.pk)
    assert compiled.evaluate("search", Context("u", {"plan": "pro"})).variant == "a"
    assert compiled.evaluate("search", Context("u", {"plan": "free"})).variant == "disabled"
    assert any("overrides" in note["detail"] for note in report["notes"])


def test_flagsmith__text_traits_percentages_and_empty_segments__give_nobody_more(editor, environment):
    def segment(number, name, condition, override):
        rules = [{"type": "ALL", "conditions": [condition]}]
        return {"id": number, "name": name, "rules": rules, "feature_states": [override]}

    off = {"feature": {"name": "menu"}, "enabled": False}
    halves = [{"percentage_allocation": 100, "multivariate_feature_option": {"value": "mono"}}]
    data = {
        "name": "Production",
        "feature_states": [
            {"feature": {"name": "menu"}, "enabled": True},
            {"feature": {"name": "font"}, "enabled": True, "feature_state_value": "serif"},
        ],
        "project": {"segments": [
            segment(1, "Zip", {"operator": "EQUAL", "property_": "zip", "value": "04109"}, off),
            segment(2, "Level", {"operator": "EQUAL", "property_": "level", "value": "7"},
                    {"feature": {"name": "font"}, "enabled": True, "feature_state_value": "serif",
                     "multivariate_feature_state_values": halves}),
            segment(3, "Some", {"operator": "PERCENTAGE_SPLIT", "value": "10"}, {**off, "feature": {"name": "other"}}),
        ]},
    }  # fmt: skip
    data["feature_states"].append({"feature": {"name": "other"}, "enabled": True})

    report = editor.post(ROUTE, {"format": "flagsmith", "data": data, "sourceEnvironment": "Production"}).json()

    assert report["skipped"] == []
    compiled = load_environment(environment.pk)
    for level in (7, "7"):
        assert compiled.evaluate("font", Context("u", {"level": level})).value == "mono"
    assert compiled.evaluate("font", Context("u", {"level": 8})).value == "serif"
    assert compiled.evaluate("menu", Context("u", {"zip": "04109"})).value is False
    assert compiled.evaluate("other", Context("u", {})).value is False
    assert any(note["key"] == "other" and OFF in note["detail"] for note in report["notes"])
