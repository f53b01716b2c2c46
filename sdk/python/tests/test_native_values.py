"""Python's own values as the engine takes them, and JSON values that nobody can change."""

from __future__ import annotations

import copy
import pickle
from datetime import date, datetime, timedelta, timezone
from decimal import Decimal
from enum import Enum
from fractions import Fraction
from typing import Any
from uuid import UUID

import pytest
from openflagship.engine import Context
from openflagship.engine.frozen import frozen, thawed
from openflagship.engine.natives import UntakenError, plain, unit_of_native


class Plan(Enum):
    PRO = "pro"


class Whole:
    def __index__(self) -> int:
        return 7


@pytest.mark.parametrize(
    ("given", "taken"),
    [
        (None, None),
        (Plan.PRO, "pro"),
        (UUID(int=42), "00000000-0000-0000-0000-00000000002a"),
        (date(2026, 3, 1), "2026-03-01T00:00:00+00:00"),
        (datetime.fromisoformat("2026-03-01T09:00"), "2026-03-01T09:00:00+00:00"),
        (datetime(1890, 1, 1, tzinfo=timezone(timedelta(seconds=1172))), "1889-12-31T23:40:28+00:00"),
        (datetime(2026, 3, 1, 9, tzinfo=timezone(timedelta(hours=1))), "2026-03-01T09:00:00+01:00"),
        (Decimal("1.5"), 1.5),
        (Decimal(3), 3),
        (Fraction(1, 4), 0.25),
        (Fraction(10**400), 10**400),
        (Whole(), 7),
        ((1, "a"), (1, "a")),
        ([Plan.PRO, Decimal(2)], ["pro", 2]),
    ],
)
def test_value__of_pythons__is_taken_exactly(given: Any, taken: Any) -> None:
    assert plain(given) == taken


@pytest.mark.parametrize("given", [object(), Decimal("sNaN"), Decimal("NaN"), {"a": 1}, [object()]])
def test_value__that_stands_for_none__is_not_taken(given: Any) -> None:
    with pytest.raises(UntakenError):
        plain(given)
    assert unit_of_native(given) is None


def test_unit__of_any_size__is_exact() -> None:
    assert [unit_of_native(given) for given in (2**53 + 1, 7, "u", True)][:3] == ["9007199254740993", "7", "u"]


def test_frozen__refuses_changes_and_is_copied_as_plain() -> None:
    value = frozen({"a": [1, {"b": 2}]})
    for change in (lambda: value.update(a=1), lambda: value["a"].append(2)):
        with pytest.raises(TypeError, match="belongs to the configuration"):
            change()
    for copied in (pickle.loads(pickle.dumps(value)), copy.copy(value), copy.deepcopy(value), thawed(value)):
        assert (copied, type(copied)) == ({"a": [1, {"b": 2}]}, dict)
    for copied in (pickle.loads(pickle.dumps(value["a"])), copy.copy(value["a"]), copy.deepcopy(value["a"])):
        assert (copied, type(copied)) == ([1, {"b": 2}], list)


def test_context__of_pythons_values__is_taken_among_what_is_read() -> None:
    given = Context("u", {"share": Decimal("0.5"), "odd": object(), "plan": "pro", "never": Plan.PRO})
    taken = given.taken("a flag", ["share", "odd", "plan", "absent"])
    assert taken.attributes == {**given.attributes, "share": 0.5}
    assert taken.user_id == "u"
    assert given.taken("a flag", ["plan", "odd"]) is given
