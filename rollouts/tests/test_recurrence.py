from datetime import UTC, datetime

import pytest

from rollouts.planning.durations import format_duration, parse_duration
from rollouts.planning.recurrence import is_cron, next_due


@pytest.mark.parametrize(
    ("after", "due"),
    [
        # The clock goes from 02:00 to 03:00: half past two is due as it goes on, and once.
        ("2027-03-27T12:00", ["2027-03-28T01:00", "2027-03-29T00:30"]),
        # The clock shows half past two twice: it is due the first time alone.
        ("2027-10-30T12:00", ["2027-10-31T00:30", "2027-11-01T01:30"]),
    ],
    ids=["forward", "back"],
)
def test_next_due__daylight_saving__is_due_once_a_day(after: str, due: list[str]) -> None:
    moment, found = datetime.fromisoformat(after).replace(tzinfo=UTC), []
    for _ in due:
        following = next_due("30 2 * * *", "Europe/Berlin", moment)
        assert following is not None
        moment = following
        found.append(moment.strftime("%Y-%m-%dT%H:%M"))
    assert found == due


def test_next_due__eight_oclock_in_a_zone__follows_its_clock() -> None:
    winter = next_due("0 8 * * 1-5", "America/New_York", datetime(2027, 1, 4, tzinfo=UTC))
    summer = next_due("0 8 * * 1-5", "America/New_York", datetime(2027, 7, 5, tzinfo=UTC))
    assert winter == datetime(2027, 1, 4, 13, tzinfo=UTC)
    assert summer == datetime(2027, 7, 5, 12, tzinfo=UTC)


def test_next_due__day_that_never_comes__is_none() -> None:
    assert next_due("0 0 30 2 *", "UTC", datetime(2027, 1, 1, tzinfo=UTC)) is None
    assert not is_cron("* * * * * *")
    assert not is_cron("61 * * * *")


@pytest.mark.parametrize("text", ["P1D", "PT1H", "P1DT12H", "PT1H30M", "PT0S"])
def test_duration__of_iso_8601__is_read_and_written(text: str) -> None:
    duration = parse_duration(text)
    assert duration is not None
    assert format_duration(duration) == text


@pytest.mark.parametrize("text", ["", "P", "PT", "1D", "P1M", "P1Y", "PT1H ", "p1d"])
def test_duration__without_fixed_length_or_form__is_none(text: str) -> None:
    assert parse_duration(text) is None
