"""What a change of shares does to whom, and a flag's configuration in words."""

import pytest

from flags.admin.effects import effects
from flags.admin.flag.sentences import describe, describe_condition


def document(**changes):
    return {
        "key": "f", "type": "boolean",
        "variants": [{"key": "control", "value": False}, {"key": "treatment", "value": True}],
        "enabled": True, "defaultVariant": "control", "offVariant": "control", "killSwitchVariant": None,
        "bucketBy": "userId", "salt": "f", "prerequisites": [], "targets": [], "rules": [], "experiment": None,
        "allocation": [[0, 2500, "treatment"]], "metadata": {}, "version": 1, **changes,
    }  # fmt: skip


def test_effects__share_raised__are_exact_for_all_users():
    (effect,) = effects(document(), document(allocation=[[0, 2810, "treatment"]]))

    assert (effect.group, effect.moved) == ("all users", 0.031)
    assert [(move.before, move.after, move.share) for move in effect.moves] == [("control", "treatment", 0.031)]


def test_effects__rule_share_changed__speak_of_whom_the_rule_applies_to():
    rule = {"id": "r", "priority": 1, "name": "US", "conditions": [{"attribute": "c", "operator": "exists"}]}
    before = document(rules=[{**rule, "allocation": [[0, 1000, "treatment"]]}])
    after = document(rules=[{**rule, "allocation": [[0, 3000, "treatment"]]}])

    (effect,) = effects(before, after)

    assert effect.group == "users whom US applies to"
    assert [(move.before, move.after, move.share) for move in effect.moves] == [("the next step", "treatment", 0.2)]


@pytest.mark.parametrize("asleep", [{"enabled": False}, {"killSwitchVariant": "treatment"}])
def test_effects__rule_share_changed_of_a_flag_off_or_killed__are_none(asleep):
    rule = {"id": "r", "priority": 1, "name": "US", "conditions": [{"attribute": "c", "operator": "exists"}]}
    before = document(rules=[{**rule, "allocation": [[0, 1000, "treatment"]]}], **asleep)
    after = document(rules=[{**rule, "allocation": [[0, 3000, "treatment"]]}], **asleep)

    assert effects(before, after) == []


def test_effects__nothing_changed__are_none():
    assert effects(document(), document()) == []


def test_describe__says_each_step_in_its_order():
    rules = [
        {"id": "r", "priority": 1, "name": "", "variant": "treatment",
         "conditions": [{"attribute": "plan", "operator": "in", "value": ["pro", "team"]}]},
    ]  # fmt: skip
    targets = [{"variant": "treatment", "userIds": ["alice"]}]

    assert describe(document(rules=rules, targets=targets)) == [
        "alice always gets treatment.",
        "If plan is one of pro or team: treatment.",
        "Default rollout: 25 % get treatment.",
        "Otherwise: control.",
    ]
    assert describe(document(enabled=False)) == ["The flag is off: everybody gets control."]


def test_describe_condition__long_text_or_list__has_its_beginning():
    condition = {"attribute": "id", "operator": "equals", "value": "x" * 10_000}
    asked = {"attribute": "id", "operator": "in", "value": [f"u{number}" for number in range(1_012)]}

    assert describe_condition(condition) == f"id is {'x' * 80}…"
    assert describe_condition(asked) == "id is one of u0, u1, u2, u3, u4, u5, u6, u7, u8, u9 or 1,002 more"


def test_describe_condition__half_typed__still_reads():
    assert describe_condition({"operator": "", "value": None}) == "… …"
