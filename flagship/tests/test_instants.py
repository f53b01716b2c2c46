"""Instants that the API takes have a zone. One without is refused, because it could be meant in any."""

from collections.abc import Iterator
from typing import Any

import pytest
from drf_spectacular.generators import SchemaGenerator
from rest_framework import serializers

from tenancy.api.documents import checked
from tenancy.api.serializers import InstantField
from tenancy.errors import Invalid
from tenancy.testing import Caller

NAIVE = "2099-03-01T08:00:00"


class _Sent(serializers.Serializer[Any]):
    at = InstantField()


def _named(document: Any) -> Iterator[str]:
    """The components that a part of the OpenAPI document refers to, without those that are only shown."""
    if isinstance(document, dict) and not document.get("readOnly"):
        for name, value in document.items():
            if name == "$ref":
                yield value.rpartition("/")[2]
            else:
                yield from _named(value)
    elif isinstance(document, list):
        for item in document:
            yield from _named(item)


def _sent_fields() -> Iterator[tuple[str, serializers.Field[Any, Any, Any, Any]]]:
    """Each field of each serializer that a request's body is made of."""
    generator = SchemaGenerator()
    document = generator.get_schema(request=None, public=True)
    parts = document["components"]["schemas"]
    bodies = [operation.get("requestBody") for path in document["paths"].values() for operation in path.values()]
    waiting, seen = list(_named(bodies)), set()
    while waiting:
        name = waiting.pop()
        if name not in seen:
            seen.add(name)
            waiting += _named(parts[name])
    for component in generator.registry._components.values():
        made = component.object
        made = made() if isinstance(made, type) and issubclass(made, serializers.Serializer) else made
        if component.name.removeprefix("Patched") in seen | {name.removeprefix("Patched") for name in seen}:
            for name, field in getattr(made, "fields", {}).items():
                yield f"{component.name}.{name}", field


def test_instants__that_a_body_may_hold__are_of_the_one_field(db: None) -> None:
    instants = [(name, field) for name, field in _sent_fields() if isinstance(field, serializers.DateTimeField)]
    taken = {name for name, field in instants if not field.read_only}

    assert {"ScheduledChange.at", "RolloutStep.at", "Freeze.since", "NewCredential.expiresAt"} <= taken
    assert not {name for name, field in instants if not (field.read_only or isinstance(field, InstantField))}


@pytest.mark.parametrize(
    "text", [NAIVE, "2099-03-01 08:00", "2099-03-01", "tomorrow", 5, {}, "9999-12-31T23:59:59-12:00"]
)
def test_instant__without_a_zone_or_none_at_all__is_refused(text: Any) -> None:
    with pytest.raises(Invalid) as refusal:
        checked(_Sent, {"at": text})
    assert [problem.attr for problem in refusal.value.problems] == ["at"]


def test_instant__with_any_zone__is_the_same_in_utc() -> None:
    found = [checked(_Sent, {"at": text})["at"] for text in ("2099-03-01T08:00:00Z", "2099-03-01T09:00:00+01:00")]
    assert [each.isoformat() for each in found] == ["2099-03-01T08:00:00+00:00"] * 2


@pytest.mark.django_db
def test_instant__beside_a_zone_of_its_own__is_refused_all_the_same(
    make_flag: Any, editor: Caller, owner: Caller
) -> None:
    make_flag("k", rollout=[{"variant": "treatment", "percent": 10}])
    change = {"resource": {"type": "flag", "key": "k"}, "patch": {"enabled": False}, "baseVersion": 1}
    plan = {"variant": "treatment", "steps": [{"percent": 20, "at": NAIVE}]}
    freeze = {"name": "Winter", "since": NAIVE, "until": NAIVE, "zone": "Europe/Berlin"}
    experiment = {"name": "E", "flagKey": "k", "startsAt": NAIVE, "endsAt": NAIVE}
    answers = [
        editor.post("scheduled-changes", {**change, "at": NAIVE, "zone": "Europe/Berlin"}),
        editor.put("flags/k/rollout-plan", plan),
        editor.post("experiments", experiment),
        owner.post("freezes", freeze),
        owner.post("credentials", {"kind": "manage", "name": "n", "expiresAt": NAIVE}),
        editor.post("flags/evaluate/preview", {"flagKey": "k", "at": NAIVE}),
    ]

    assert [answer.status_code for answer in answers] == [400] * len(answers)
    found = [(error["attr"], error["code"]) for answer in answers for error in answer.json()["errors"]]
    names = ("at", "steps[0].at", "startsAt", "endsAt", "since", "until", "expiresAt", "at")
    assert found == [(name, "invalid") for name in names]
    assert all("with its zone" in error["detail"] for answer in answers for error in answer.json()["errors"])
