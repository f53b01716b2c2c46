"""Other products' export files: what they serve is served here, and what cannot be said is noted, not widened."""

import pytest
from openflagship.engine import Context

from flags.exchange.formats import convert
from flags.models import Flag
from flags.propagation.runtime import load_environment
from tenancy.errors import Invalid

LAUNCHDARKLY = {
    "items": [
        {
            "key": "checkout",
            "name": "Checkout",
            "kind": "boolean",
            "temporary": False,
            "tags": ["pay"],
            "variations": [{"value": True}, {"value": False}],
            "environments": {
                "production": {
                    "on": True,
                    "offVariation": 1,
                    "targets": [{"values": ["alice"], "variation": 0}],
                    "rules": [
                        {
                            "description": "Pro abroad",
                            "variation": 0,
                            "clauses": [
                                {"attribute": "plan", "op": "in", "values": ["pro", "team"]},
                                {"attribute": "country", "op": "startsWith", "values": ["U"], "negate": True},
                            ],
                        },
                        {"variation": 0, "clauses": [{"op": "segmentMatch", "values": ["beta"]}]},
                        {
                            "variation": 0,
                            "clauses": [{"attribute": "org", "op": "in", "values": [1], "contextKind": "org"}],
                        },
                    ],
                    "fallthrough": {
                        "rollout": {
                            "variations": [{"variation": 0, "weight": 25000}, {"variation": 1, "weight": 75000}]
                        }
                    },
                },
                "test": {"on": False, "offVariation": 1, "fallthrough": {"variation": 0}},
            },
        },
        {
            "key": "colour",
            "variations": [{"value": "red", "name": "Red one"}, {"value": "blue"}],
            "environments": {
                "production": {
                    "on": True,
                    "offVariation": 0,
                    "fallthrough": {"variation": 1},
                    "prerequisites": [{"key": "checkout", "variation": 0}],
                }
            },
        },
    ],
    "segments": [
        {
            "key": "beta",
            "included": ["bob", "carol"],
            "excluded": ["carol", "dave"],
            "rules": [
                {"clauses": [{"attribute": "version", "op": "semVerGreaterThan", "values": ["2.0.0"]}]},
                {"clauses": [], "weight": 5000},
            ],
        }
    ],
}
UNLEASH = {
    "features": [
        {"name": "search", "description": "New search", "type": "release"},
        {"name": "banner", "type": "experiment"},
        {"name": "legacy", "type": "release"},
    ],
    "featureEnvironments": [
        {"featureName": name, "environment": "production", "enabled": True} for name in ("search", "banner", "legacy")
    ],
    "featureStrategies": [
        {
            "featureName": "search",
            "environment": "production",
            "name": "flexibleRollout",
            "sortOrder": 1,
            "parameters": {"rollout": "100", "stickiness": "default"},
            "constraints": [{"contextName": "plan", "operator": "IN", "values": ["pro"]}],
        },
        {"featureName": "search", "environment": "production", "name": "userWithId", "sortOrder": 2,
         "parameters": {"userIds": "alice, bob"}},
        {"featureName": "search", "environment": "production", "name": "remoteAddress", "parameters": {"IPs": "1.2"}},
        {
            "featureName": "banner",
            "environment": "production",
            "name": "flexibleRollout",
            "parameters": {"rollout": "50", "stickiness": "userId"},
            "variants": [
                {"name": "red", "weight": 500, "payload": {"type": "string", "value": "#f00"}},
                {"name": "blue", "weight": 500},
            ],
        },
        {
            "featureName": "legacy",
            "environment": "production",
            "name": "default",
            "constraints": [
                {"contextName": "name", "operator": "STR_CONTAINS", "values": ["x.y B"], "caseInsensitive": True},
                {"contextName": "plan", "operator": "NOT_IN", "values": ["free"]},
            ],
        },
    ],
    "featureTags": [{"featureName": "search", "tagType": "simple", "tagValue": "team-a"}],
    "segments": [{"id": 1, "name": "Pros"}],
}  # fmt: skip
FLAGSMITH = {
    "feature_states": [
        {"feature": {"name": "dark_mode", "type": "STANDARD"}, "enabled": True, "feature_state_value": None},
        {"feature": {"name": "beta_only", "type": "STANDARD"}, "enabled": False, "feature_state_value": None},
        {
            "feature": {"name": "font", "type": "MULTIVARIATE"},
            "enabled": True,
            "feature_state_value": "serif",
            "multivariate_feature_state_values": [
                {"percentage_allocation": 30, "multivariate_feature_option": {"value": "mono"}}
            ],
        },
    ],
    "project": {
        "segments": [
            {
                "id": 7,
                "name": "Adults abroad",
                "rules": [
                    {
                        "type": "ALL",
                        "rules": [
                            {
                                "type": "ANY",
                                "conditions": [
                                    {"operator": "GREATER_THAN_INCLUSIVE", "property_": "age", "value": "18"}
                                ],
                            },
                            {
                                "type": "NONE",
                                "conditions": [{"operator": "EQUAL", "property_": "country", "value": "US"}],
                            },
                        ],
                    }
                ],
                "feature_states": [
                    {"feature": {"name": "beta_only"}, "enabled": True, "feature_segment": {"priority": 1}}
                ],
            },
            {
                "id": 8,
                "name": "Ten percent",
                "rules": [{"type": "ALL", "conditions": [{"operator": "PERCENTAGE_SPLIT", "value": "10"}]}],
            },
        ]
    },
    "identity_overrides": [
        {"identifier": "alice", "identity_features": [{"feature": {"name": "dark_mode"}, "enabled": False}]}
    ],
}  # fmt: skip


@pytest.fixture
def imported(editor, environment):
    """Import a file through the API; return the report and the environment, compiled."""

    def _import(kind, data, **options):
        body = {"format": kind, "data": data, **options}
        report = editor.post("environments/production/import", body).json()
        return report, load_environment(environment.pk)

    return _import


def _variant(compiled, key, user="nobody", **attributes):
    answer = compiled.evaluate(key, Context(user, attributes))
    return answer.variant, answer.reason


def test_launchdarkly__serves_what_it_served(imported):
    report, compiled = imported("launchdarkly", LAUNCHDARKLY, sourceEnvironment="production")

    assert report["skipped"] == []
    assert sorted(report["created"]) == ["flag checkout", "flag colour", "segment beta"]
    assert _variant(compiled, "checkout", "alice") == ("true", "TARGET_MATCH")
    assert _variant(compiled, "checkout", plan="pro", country="DE") == ("true", "RULE_MATCH")
    assert _variant(compiled, "checkout", plan="pro", country="US")[1] == "ROLLOUT"
    assert _variant(compiled, "checkout", plan="pro")[1] == "ROLLOUT"
    assert _variant(compiled, "checkout", "bob") == ("true", "RULE_MATCH")
    assert _variant(compiled, "checkout", "carol")[1] == "RULE_MATCH"
    assert _variant(compiled, "checkout", "dave", version="3.0.0")[1] == "ROLLOUT"
    assert compiled.flags["checkout"].document["allocation"] == [[0, 2500, "true"], [2500, 10000, "false"]]
    assert _variant(compiled, "colour", "alice") == ("variation-1", "DEFAULT")
    assert compiled.evaluate("colour", Context("alice", {})).value == "blue"
    assert dict(Flag.objects.values_list("key", "is_permanent")) == {"checkout": True, "colour": None}


def test_launchdarkly__what_is_lost__is_noted(imported):
    report, _ = imported("launchdarkly", LAUNCHDARKLY, sourceEnvironment="production")
    notes = [(note["entity"], note["key"], note["detail"]) for note in report["notes"]]

    assert any("context kind 'org'" in detail for _, key, detail in notes if key == "checkout")
    assert any("dealt anew" in detail for _, key, detail in notes if key == "checkout")
    assert ("segment", "beta", "Rule 2 is left out: a segment here is no percentage.") in notes


def test_launchdarkly__several_environments_and_none_named__is_refused_naming_them():
    with pytest.raises(Invalid, match="production, test"):
        convert("launchdarkly", LAUNCHDARKLY, environment=None)


def test_unleash__serves_what_it_served(imported):
    report, compiled = imported("unleash", UNLEASH)

    assert report["skipped"] == []
    assert _variant(compiled, "search", plan="pro") == ("treatment", "RULE_MATCH")
    assert _variant(compiled, "search", "bob") == ("treatment", "RULE_MATCH")
    assert _variant(compiled, "search", "eve") == ("control", "DEFAULT")
    assert _variant(compiled, "legacy", name="a X.Y b") == ("treatment", "RULE_MATCH")
    assert _variant(compiled, "legacy", name="a x-y b") == ("control", "DEFAULT")
    (rule,) = compiled.flags["banner"].document["rules"]
    assert rule["allocation"] == [[0, 2500, "red"], [2500, 5000, "blue"]]
    assert [item["value"] for item in compiled.flags["banner"].document["variants"]] == ["", "#f00", "blue"]
    kinds = {"search": "release", "banner": "experiment", "legacy": "release"}
    assert dict(Flag.objects.values_list("key", "kind")) == kinds


def test_unleash__what_cannot_be_said__is_left_out_so_that_nobody_gets_more(imported):
    report, _ = imported("unleash", UNLEASH)
    details = {note["key"]: note["detail"] for note in report["notes"]}

    assert "legacy" not in details
    assert any("remoteAddress" in note["detail"] for note in report["notes"])
    assert "matches nobody" in details["Pros"]


def test_flagsmith__serves_what_it_served(imported):
    report, compiled = imported("flagsmith", FLAGSMITH)

    assert report["skipped"] == []
    assert _variant(compiled, "dark_mode") == ("treatment", "DEFAULT")
    assert _variant(compiled, "dark_mode", "alice") == ("control", "TARGET_MATCH")
    assert _variant(compiled, "beta_only", age=20, country="DE") == ("treatment", "RULE_MATCH")
    assert _variant(compiled, "beta_only", age=20, country="US") == ("control", "DEFAULT")
    assert _variant(compiled, "beta_only", age=12) == ("control", "DEFAULT")
    font = compiled.flags["font"].document
    assert (font["allocation"], font["defaultVariant"]) == ([[0, 3000, "mono"]], "serif")
    assert any("PERCENTAGE_SPLIT" in note["detail"] for note in report["notes"])


@pytest.mark.parametrize("kind", ["launchdarkly", "unleash", "flagsmith", "growthbook"])
@pytest.mark.parametrize(
    "data",
    [{}, {"items": 7}, {"items": [7]}, {"features": {"a": 1}}, {"feature_states": "x"}, {"items": [{"key": "a"}]}],
)
def test_convert__another_file__is_refused_and_never_fails(kind, data):
    with pytest.raises(Invalid):
        convert(kind, data, environment=None)
