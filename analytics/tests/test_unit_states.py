"""What a batch changes, worked out beside the units met lately, however many those are."""

from collections.abc import Iterator
from unittest.mock import Mock

import pytest

from analytics.stores.postgres.unit_states import Changes, Remembered, UnitState

STATE: UnitState = ("control", 1, None, None, None)


class _Unwalkable(dict[str, UnitState]):
    def __iter__(self) -> Iterator[str]:
        raise AssertionError("All known units are walked.")


@pytest.mark.parametrize(("unit", "is_known"), [("user-1", True), ("stranger", False)])
def test_known_units__asked_for_by_a_small_batch__are_not_walked(unit: str, is_known: bool) -> None:
    remembered = Mock(spec=Remembered)
    remembered.groups.return_value = (_Unwalkable({f"user-{number}": STATE for number in range(9)}), {})
    changes = Changes(remembered, Remembered(9), {})
    changes.units = {(7, "checkout-test", 0): {unit: STATE}}
    assert changes.is_any_unit_known() is is_known
