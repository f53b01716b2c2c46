"""Models are written back with every field named, and read again to equal ones."""

from __future__ import annotations

from documents import condition, experiment, flag, rule
from openflagship.engine import decode_flag, decode_segment, encode_flag, encode_segment

TREE = {"any": [{"not": condition("age", "less_than", 18)}, {"operator": "in_segment", "value": ["staff"]}]}
FULL = flag(
    defaultVariant="control",
    offVariant="treatment",
    killSwitchVariant=None,
    bucketBy="deviceId",
    salt="spring",
    prerequisites=[{"flagKey": "other", "variants": ["on", "off"]}],
    targets=[{"variant": "treatment", "userIds": ["ann", "bob"]}],
    rules=[
        rule([TREE], 1, name="Adults"),
        rule([condition("plan", "in", ["pro"])], 2, name="", allocation=[[0, 2500, "treatment"]]),
    ],
    experiment=experiment(audience={"all": [condition("country", "equals", "DE")]}),
    allocation=[[0, 5000, "control"], [5000, 10_000, "treatment"]],
    metadata={"owner": "web", "risk": 3},
    version=4,
)


def test_encode_flag__full_flag__is_the_document_it_came_from() -> None:
    assert encode_flag(decode_flag(FULL)) == FULL


def test_encode_flag__minimal_flag__names_every_default() -> None:
    minimal = {"key": "asked", "type": "boolean", "variants": FULL["variants"]}
    encoded = encode_flag(decode_flag(minimal))
    assert encoded.keys() == FULL.keys()
    assert decode_flag(encoded) == decode_flag(minimal)


def test_encode_segment__any__sorts_its_user_ids() -> None:
    segment = {"key": "beta", "included": ["b", "a"], "excluded": [], "conditions": TREE}
    assert encode_segment(decode_segment(segment)) == {**segment, "included": ["a", "b"]}
    assert encode_segment(decode_segment({"key": "beta"}))["conditions"] is None
