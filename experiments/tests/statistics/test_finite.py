"""NaN and infinity are refused by every method: a NaN in a sum of squares must not come out as a variance of 0."""

import copy
import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from experiments.tests.statistics_adapter import ADAPTER

CONTRACT = Path(__file__).resolve().parents[3] / "sdk" / "contract"
CASES = json.loads((CONTRACT / "cases" / "statistics.json").read_text())["cases"]
# The first case of each method; events have no figure to spoil but a value, which the ingest refuses.
FIRST = {case["method"]: case["inputs"] for case in reversed(CASES) if case["method"] != "analyze_events"}
# Infinitely late bounds and complete information are what these mean.
MAY_BE_INFINITE = {("gs_crossing", "z_bounds")}


def _spoilt(value: Any, bad: float) -> Iterator[Any]:
    """Copies of a value with one number replaced, each at another place."""
    if isinstance(value, bool) or value is None or isinstance(value, str):
        return
    if isinstance(value, (int, float)):
        yield bad
        return
    places = range(min(2, len(value))) if isinstance(value, list) else value
    for place in places:
        for inner in _spoilt(value[place], bad):
            changed = copy.copy(value)
            changed[place] = inner
            yield changed


@pytest.mark.parametrize("bad", [math.nan, math.inf], ids=str)
@pytest.mark.parametrize("method", sorted(FIRST))
def test_number__that_is_none__is_refused(method: str, bad: float) -> None:
    tried = 0
    for name, value in FIRST[method].items():
        if bad == math.inf and (method, name) in MAY_BE_INFINITE:
            continue
        for spoilt in _spoilt(value, bad):
            tried += 1
            with pytest.raises((ValueError, TypeError)):
                ADAPTER[method](**{**FIRST[method], name: spoilt})
    assert tried
