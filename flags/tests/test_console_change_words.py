"""History, audit and conflicts tell a change in sentences; the data is folded below them."""

import pytest
from django.urls import reverse

from audit.models import Entry
from audit.services import diff
from flags import services
from tenancy.console_kit.changes import label_of, sentences
from tenancy.testing import ALICE

RULE = {
    "id": "a",
    "priority": 1,
    "name": "Pro",
    "variant": "on",
    "conditions": [{"attribute": "plan", "operator": "equals", "value": "pro"}],
}


@pytest.mark.parametrize(
    ("field", "before", "after", "said"),
    [
        ("enabled", False, True, ["Switched on."]),
        ("killSwitchVariant", None, "off", ["Killed: everybody gets off."]),
        (
            "rollout",
            [{"variant": "on", "percent": 25}],
            [{"variant": "on", "percent": 60}],
            ["Default rollout: 60 % on, was 25 % on."],
        ),
        ("allocation", [], [[0, 2500, "on"]], ["Default rollout: 25 % on, was nobody."]),
        ("rules", [], [RULE], ["Rule added “Pro”: If plan is pro: on."]),
        ("rules", [RULE], [], ["Rule removed “Pro”: If plan is pro: on."]),
        (
            "rules",
            [RULE],
            [{**RULE, "variant": "off"}],
            ["Rule “Pro”: If plan is pro: off. It was: If plan is pro: on."],
        ),
        ("rules", [RULE, {**RULE, "id": "b"}], [{**RULE, "id": "b"}, RULE], ["The rules are in another order."]),
        ("targets", [], [{"variant": "on", "userIds": ["ann"]}], ["Single users: ann now get their variant always."]),
        (
            "prerequisites",
            [],
            [{"flagKey": "base", "variants": ["on"]}],
            ["Prerequisites: base gives on. They were: none."],
        ),
        ("variants", [], [{"key": "on", "value": True}], ["Variant on added, with the value yes."]),
        ("audience", None, {"all": RULE["conditions"]}, ["Audience: plan is pro. It was: everybody."]),
        ("tags", ["pay"], ["pay", "till"], ["Tags: adds till."]),
        ("defaultVariant", "off", "on", ["Default variant: “on”, was “off”."]),
        ("description", "x", "", ["Description: removed, was “x”."]),
        ("rules", [{"what": 1}], [{"an": "old release"}], ["Rules: 1 entry, was 1 entry."]),
        ("version", 1, 2, []),
    ],
)
def test_change__is_told_in_sentences(field, before, after, said):
    assert sentences([{"path": field, "before": before, "after": after}]) == said


def test_label__of_a_path__is_in_words():
    assert label_of("analysis.plannedUsers") == "Analysis, planned users"


def test_every_change_of_a_flag__is_told_without_json(console_owner, acme):
    payload = {
        "key": "pay",
        "rules": [{key: value for key, value in RULE.items() if key != "id"} | {"variant": "treatment"}],
    }
    config, _ = services.create_flag(actor=ALICE, environment=acme.staging, payload=payload)
    change = {"enabled": True, "rollout": [{"variant": "treatment", "percent": 25}], "rules": [], "tags": ["till"]}
    services.update_flag(actor=ALICE, environment=acme.staging, key="pay", payload=change, version=1)
    entry = Entry.objects.get(action="flag.updated")

    shown = [
        console_owner.get(address).text.split('class="fs-words"')[1].split("</ul>")[0]
        for address in (
            reverse("admin:audit_entry_change", args=[entry.pk]),
            reverse("admin:flags_flagconfig_history", args=[config.pk]),
        )
    ]

    for text in shown:
        for said in (
            "Switched on.",
            "Default rollout: 25 % treatment, was nobody.",
            "Rule removed “Pro”: If plan is pro",
        ):
            assert said in text
        assert "{" not in text
    listed = console_owner.get(reverse("admin:audit_entry_changelist")).text
    assert "Switched on." in listed
    assert list(diff(entry.before, entry.after))
