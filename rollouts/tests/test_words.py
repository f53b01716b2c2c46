"""Steps in words: what a plan's form shows is what it reads again."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rollouts.planning.durations import format_duration
from rollouts.planning.plan_fields import LARGEST_MINIMUM, LONGEST, read_steps
from rollouts.planning.words import all_in_words, read_words

_AFTER = st.integers(1, int(LONGEST.total_seconds())).map(lambda seconds: format_duration(timedelta(seconds=seconds)))
_AT = st.datetimes(datetime(1970, 1, 2), datetime(2100, 12, 30), timezones=st.just(UTC)).map(  # noqa: DTZ001 - in UTC
    lambda at: at.isoformat().replace("+00:00", "Z")
)
_SHARES = st.sets(st.integers(1, 10_000), min_size=1, max_size=6).map(sorted)


@st.composite
def _plans(draw: st.DrawFn) -> list[dict[str, Any]]:
    """Steps as a plan stores them."""
    steps = []
    for number, share in enumerate(draw(_SHARES)):
        conditions = {"after": _AFTER, "approval": st.just(value=True)}
        if number:
            conditions["minimumUsers"] = st.integers(1, LARGEST_MINIMUM)
        optional = draw(st.fixed_dictionaries({}, optional=conditions))
        steps.append({"percent": share / 100, **({"approval": True} if number else {}), **optional})
    steps[0] |= draw(st.fixed_dictionaries({}, optional={"at": _AT}))
    return steps


@settings(deadline=None, database=None, max_examples=200)
@given(_plans())
def test_words__of_any_plan__are_read_back_as_its_steps(steps: list[dict[str, Any]]) -> None:
    stored, problems = read_steps(steps)
    assert not problems
    words = all_in_words(stored)
    assert read_words(words) == (stored, [])
    # Whichever way the steps are parted.
    assert read_words(words.replace("\n", ", ")) == read_words(words.replace("\n", "; ")) == (stored, [])
    assert all_in_words(read_words(words)[0]) == words


@pytest.mark.parametrize(
    ("text", "steps"),
    [
        ("10,5 % now", [{"percent": 10.5}]),
        ("10,5 % now, 33,33 % tomorrow", [{"percent": 10.5}, {"percent": 33.33, "after": "P1D"}]),
        ("10 % now,25 % after 2 days", [{"percent": 10}, {"percent": 25, "after": "P2D"}]),
        ("10 % after 1 minute 30 seconds", [{"percent": 10, "after": "PT1M30S"}]),
        ("10 % after 1 day, 12 hours and 5 minutes", [{"percent": 10, "after": "P1DT12H5M"}]),
        ("10 % at 2027-03-01 08:00 UTC with approval", [{"percent": 10, "at": "2027-03-01T08:00Z", "approval": True}]),
        ("10 % at 2027-03-01T08:00:30+0100", [{"percent": 10, "at": "2027-03-01T08:00:30+0100"}]),
        ("10 % at 2027-03-01 08:00, 25 % now", [{"percent": 10, "at": "2027-03-01T08:00Z"}, {"percent": 25}]),
    ],
)
def test_words__of_a_person__are_steps(text: str, steps: list[dict[str, Any]]) -> None:
    assert read_words(text) == (steps, [])


_NOT_UNDERSTOOD = ["10 % now, 25", "10, 25 % now", "10 % after 1 day, 25", "10 % after", "1000 % now"]
_SAID_TWICE = ["10 % after 1 day after 2 days", "10 % now tomorrow", "10 % with 5 users with 6 users"]


@pytest.mark.parametrize("text", _NOT_UNDERSTOOD + _SAID_TWICE)
def test_words__that_are_not_understood__are_refused_by_line(text: str) -> None:
    assert read_words(text)[1]
