"""The share of users a change moves, exact by interval arithmetic, and what a sample adds."""

from __future__ import annotations

from typing import Any

import pytest
from documents import condition, environment, experiment, flag, rule
from openflagship.engine import Context, Impact, bucket, impact

USERS = [Context(f"user-{number}") for number in range(20_000)]


def moves(found: Impact) -> dict[tuple[str | None, str | None], float]:
    return {(move.before, move.after): move.share for move in found.moves}


def rollout(*ranges: list[Any], **changes: Any) -> dict[str, Any]:
    return flag(allocation=list(ranges), **changes)


def test_impact__rollout_that_grows__moves_the_difference() -> None:
    found = impact(rollout([0, 2500, "treatment"]), rollout([0, 5000, "treatment"]))
    assert (found.basis, found.changed, moves(found)) == ("everyone", 0.25, {("control", "treatment"): 0.25})
    assert found.before == {"control": 0.75, "treatment": 0.25}
    assert found.after == {"control": 0.5, "treatment": 0.5}


def test_impact__same_flag__moves_nobody() -> None:
    found = impact(rollout([100, 2500, "treatment"]), rollout([100, 2500, "treatment"]))
    assert (found.changed, found.moves, found.sample) == (0.0, (), None)


def test_impact__new_salt__reshuffles_independently() -> None:
    found = impact(rollout([0, 5000, "treatment"]), rollout([0, 5000, "treatment"], salt="again"))
    assert moves(found) == {("control", "treatment"): 0.25, ("treatment", "control"): 0.25}
    by_device = impact(rollout([0, 5000, "treatment"]), rollout([0, 5000, "treatment"], bucketBy="deviceId"))
    assert by_device.changed == 0.5


@pytest.mark.parametrize(
    ("after", "expected"),
    [
        (rollout([0, 5000, "treatment"], enabled=False), {("treatment", "control"): 0.5}),
        (rollout([0, 5000, "treatment"], killSwitchVariant="treatment"), {("control", "treatment"): 0.5}),
        (flag(defaultVariant="treatment"), {("control", "treatment"): 0.5}),
    ],
)
def test_impact__off_killed_or_default__is_exact(after: Any, expected: Any) -> None:
    assert moves(impact(rollout([0, 5000, "treatment"]), after)) == expected


def test_impact__experiment__is_the_product_with_its_layer() -> None:
    split = [[0, 5000, "control"], [5000, 10_000, "treatment"]]
    before = rollout(*split, experiment=experiment(ranges=[[0, 2000]]))
    grown = rollout(*split, experiment=experiment(ranges=[[0, 2000], [6000, 7000]]))
    assert moves(impact(before, grown)) == {("control", "treatment"): 0.05}
    moved = rollout(*split, experiment=experiment(ranges=[[0, 2000]], layer={"salt": "layer:other"}))
    # In before and not after: 0.2 x 0.8 of the layer buckets, half of them treated; and the other way round.
    assert moves(impact(before, moved)) == pytest.approx(
        {("control", "treatment"): 0.08, ("treatment", "control"): 0.08}
    )
    ended = rollout(*split)
    assert moves(impact(before, ended)) == {("control", "treatment"): 0.4}


def test_impact__experiment_sharing_the_flags_hash__counts_the_very_same_buckets() -> None:
    split = [[0, 5000, "control"], [5000, 10_000, "treatment"]]
    before = rollout(*split, experiment=experiment(ranges=[[0, 2000]], layer={"salt": "asked"}))
    assert impact(before, flag()).changed == 0.0, "every participant has control: that is why such a salt is refused"


def test_impact__exact_share__is_what_many_users_see() -> None:
    before = rollout([0, 3000, "treatment"], experiment=experiment(ranges=[[1000, 4500]]))
    after = rollout([500, 4000, "treatment"], experiment=experiment(ranges=[[2000, 7000]]))
    found = impact(before, after, USERS)
    assert found.sample is not None
    assert found.sample.size == len(USERS)
    for pair, share in moves(found).items():
        assert found.sample.pairs[pair] / len(USERS) == pytest.approx(share, abs=0.012)
    assert found.sample.changed / len(USERS) == pytest.approx(found.changed, abs=0.012)


def test_impact__change_in_rules__is_told_by_the_sample() -> None:
    before = rollout([0, 5000, "treatment"])
    after = rollout([0, 5000, "treatment"], rules=[rule([condition("plan", "equals", "pro")])])
    contexts = [Context(f"u{number}", {"plan": "pro" if number % 2 else "free"}) for number in range(1000)]
    found = impact(before, after, contexts)
    affected = sum(bucket("asked", f"u{number}") >= 5000 for number in range(1, 1000, 2))
    assert (found.basis, found.changed) == ("undecided", 0.0)
    assert found.sample is not None
    assert found.sample.pairs == {("control", "treatment"): affected}
    assert found.to_dict()["sample"] == {
        "size": 1000,
        "changed": affected,
        "moves": [{"from": "control", "to": "treatment", "contexts": affected}],
    }


def test_impact__between_environments__sees_salts_and_missing_flags() -> None:
    before = environment(rollout([0, 5000, "treatment"]))
    gone = before.replace(8, flags={"asked": None})
    assert moves(impact(before, gone, key="asked")) == {("control", None): 0.5, ("treatment", None): 0.5}
    assert impact(gone, gone, key="asked").to_dict() == {
        "basis": "everyone",
        "changed": 0.0,
        "moves": [],
        "before": [{"variant": None, "share": 1.0}],
        "after": [{"variant": None, "share": 1.0}],
    }
    salted = environment(rollout([0, 5000, "treatment"]), environment={"salt": "e"})
    assert impact(before, salted, key="asked").changed == 0.5
    off = environment(rollout([0, 5000, "treatment"], rules=[rule([])], enabled=False))
    assert impact(before, off, key="asked").basis == "everyone", "who is off asks no attributes"


def test_impact__mixed_or_missing_arguments__are_refused() -> None:
    with pytest.raises(ValueError, match="by its key"):
        impact(environment(flag()), environment(flag()))
    with pytest.raises(ValueError, match="not one of each"):
        impact(environment(flag()), flag())
    assert impact({}, flag()).before == {None: 1.0}
