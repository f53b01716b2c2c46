"""The pure rules: who may publish, what a content is, what clashes, when a freeze holds."""

from datetime import UTC, datetime, timedelta

import pytest

from approvals.admin.acts import _without
from approvals.models import ChangeRequest
from approvals.rules.content import Part, hash_of
from approvals.rules.publishing import APPROVED, OBJECTED, Ask, Request, Standing, may_publish
from approvals.rules.rebasing import clashes
from approvals.rules.windows import Window, holds_until, next_start
from approvals.services.trials import clashes_of

PRODUCTION = frozenset({"production"})


def why(request, **options):
    return [missing.why for missing in may_publish(request, **options)]


def approval(name, content="c", **options):
    return Standing(name, APPROVED, content, may_approve=PRODUCTION, **options)


@pytest.mark.parametrize(
    ("ask", "standing", "found"),
    [
        (Ask("production", 1), [], ["approvals_missing"]),
        (Ask("production", 1), [approval("carl")], []),
        (Ask("production", 1), [approval("carl", "other")], ["approvals_missing"]),
        (Ask("production", 2), [approval("carl")], ["approvals_missing"]),
        (Ask("production", 2), [approval("carl"), approval("dora")], []),
        (Ask("production", 1), [approval("ann", is_author=True)], ["approvals_missing"]),
        (Ask("production", 1, own_approval=True), [approval("ann", is_author=True)], []),
        (Ask("production", 1), [Standing("bob", APPROVED, "c")], ["approvals_missing"]),
        (Ask("staging", 1), [approval("carl")], ["approvals_missing"]),
        (Ask("production", 1), [approval("carl"), Standing("bob", OBJECTED, "old")], ["objected"]),
        (Ask("production", 1), [approval("carl"), Standing("bob", OBJECTED, "c", is_objection_valid=False)], []),
        (Ask("production", 0, checks=frozenset({"ci"})), [approval("carl")], ["check_missing"]),
        (Ask("production", 0, checks=frozenset({"ci"})), [approval("ci", is_check=True)], []),
        (Ask("production", 1, checks=frozenset({"ci"})), [approval("ci", is_check=True)], ["approvals_missing"]),
    ],
)
def test_may_publish__verdicts__are_counted_as_the_policy_says(ask, standing, found):
    assert why(Request(True, "c", [ask], standing)) == found


def test_may_publish__emergency__needs_no_approvals_and_overrules_no_objection():
    ask = Ask("production", 2, checks=frozenset({"ci"}))
    assert why(Request(True, "c", [ask]), is_emergency=True) == []
    assert why(Request(True, "c", [ask], [Standing("bob", OBJECTED, "c")]), is_emergency=True) == ["objected"]
    assert why(Request(False, "c"), is_emergency=True) == ["not_open"]


def test_hash__same_change_made_twice__is_the_same_whatever_ids_and_versions_it_got():
    def part(rule_id, version, salt="s", percent=10, **more):
        after = {"version": version, "salt": salt, "rules": [{"id": rule_id, "percent": percent}]}
        before = {"version": 1, "salt": "a", "rules": []}
        return Part("production", "flag", "a", before, after, {}, {"name": "A"}, **more)

    assert hash_of([part("1", 2)]) == hash_of([part("2", 9)])
    assert hash_of([part("1", 2)]) != hash_of([part("1", 2, percent=11)])
    assert hash_of([part("1", 2)]) != hash_of([part("1", 2, "t")])
    assert hash_of([part("1", 2, is_salt_dealt=True)]) == hash_of([part("2", 9, "t", is_salt_dealt=True)])


def test_clashes__same_field_to_another_value__is_one_and_other_fields_are_none():
    base, patch = {"enabled": True, "rollout": 10, "version": 1}, {"rollout": 50}
    touched = set(patch)

    assert clashes(base, {**base, "enabled": False, "version": 2}, patch, touched=touched) == []
    assert clashes(base, {**base, "rollout": 50}, patch, touched=touched) == []
    (found,) = clashes(base, {**base, "rollout": 20}, patch, touched=touched)
    assert (found.field, found.base, found.theirs, found.mine) == ("rollout", 10, 20, 50)
    assert [clash.field for clash in clashes(base, {**base, "enabled": False}, {}, touched=None)] == ["enabled"]
    assert [clash.field for clash in clashes(None, base, patch, touched=touched)] == ["*"]


def flag_change(action="update", **patch):
    return {"resource": {"type": "flag", "key": "a"}, "action": action, "patch": patch, "baseVersion": 1}


@pytest.mark.parametrize(
    ("changes", "found"),
    [
        ([flag_change(name="A"), flag_change(rollout=50)], [(1, "rollout", 50)]),
        ([flag_change(rollout=40), flag_change(name="A"), flag_change(rollout=50)], [(2, "rollout", 50)]),
        ([flag_change(rollout=40), flag_change(rollout=20)], []),
        ([flag_change(name="A"), flag_change("rollback", version=1)], [(1, "rollout", None)]),
        ([flag_change(name="A"), flag_change(enabled=False)], []),
    ],
    ids=["second", "last", "same", "whole", "none"],
)
def test_clashes__several_changes_of_one_thing__are_those_of_all_fields_that_they_set(changes, found):
    base = {"rollout": 10, "enabled": True, "version": 1}
    there = [base] * len(changes), [{**base, "rollout": 20, "version": 2}] * len(changes)
    clashing = clashes_of(changes, *there)

    assert [(clash["change"], clash["field"], clash["mine"]) for clash in clashing] == found
    if found:
        left = _without(ChangeRequest(changes=[*changes, flag_change(enabled=False)]), clashing)
        assert all("rollout" not in change["patch"] and change["action"] == "update" for change in left)


def at(text):
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


WEEKEND = Window(at("2026-01-01"), None, "0 18 * * 5", timedelta(hours=62), "Europe/Berlin")


@pytest.mark.parametrize(
    ("window", "now", "until"),
    [
        (Window(at("2026-01-01"), at("2026-01-02")), "2026-01-01T12:00", "2026-01-02"),
        (Window(at("2026-01-01"), at("2026-01-02")), "2026-01-02", None),
        (WEEKEND, "2026-06-05T15:59", None),
        (WEEKEND, "2026-06-05T16:00", "2026-06-08T06:00"),
        # In winter 18:00 in Berlin is an hour later by UTC.
        (WEEKEND, "2026-12-04T16:30", None),
        (WEEKEND, "2026-12-04T17:00", "2026-12-07T07:00"),
        # Clocks go back in this weekend: it lasts as long, by the clock until an hour earlier.
        (WEEKEND, "2026-10-25T12:00", "2026-10-26T06:00"),
        # 02:30 does not exist on this day, and it holds all the same.
        (
            Window(at("2026-01-01"), None, "30 2 * * *", timedelta(hours=1), "Europe/Berlin"),
            "2026-03-29T01:30",
            "2026-03-29T02:00",
        ),
    ],
    ids=str,
)
def test_window__each_instant__holds_as_the_zone_says(window, now, until):
    assert holds_until(window, at(now)) == (at(until) if until else None)


def test_window__next_start__is_the_next_on_the_clock_of_the_zone():
    assert next_start(WEEKEND, at("2026-10-24")) == at("2026-10-30T17:00")
