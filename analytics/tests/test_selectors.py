"""Aggregates: a unit counts once, by its first exposure; its events count after that, in time, once per id."""

from dataclasses import asdict
from datetime import datetime, timedelta
from typing import Any

import pytest

from analytics import selectors
from analytics.event_records import Batch, ConversionEvent, ExposureEvent
from analytics.services import store_events
from analytics.tests.conftest import NOON, conversion, converted, exposure, purchases

ENV = 7
END = NOON + timedelta(days=3)
DAY = timedelta(days=1)
HOUR = timedelta(hours=1)

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("any_store")]


def _store(*events: ExposureEvent | ConversionEvent) -> None:
    store_events(
        Batch(
            [event for event in events if isinstance(event, ExposureEvent)],
            [event for event in events if isinstance(event, ConversionEvent)],
        )
    )


def _seen(unit: str, variant: str, at: datetime = NOON, **changes: Any) -> ExposureEvent:
    return exposure(ENV, unit, variant, at, **changes)


def _did(unit: str, at: datetime, **changes: Any) -> ConversionEvent:
    return conversion(ENV, unit, at, **changes)


PERIOD = selectors.Period(ENV, "checkout-test", NOON, END)


def _summary() -> selectors.ExposureSummary:
    return selectors.exposure_summary(PERIOD)


def _binary(window: timedelta = 7 * DAY) -> dict[str, tuple[int, int, int]]:
    return converted(ENV, NOON, END, window=window)


def test_units__seen_often__count_once_on_the_day_of_first_exposure() -> None:
    _store(
        *(_seen("alice", "control", NOON + hours * HOUR) for hours in (30, 0, 5)),
        _seen("bob", "treatment", NOON + 13 * HOUR),
        _seen("carol", "treatment", NOON + 11 * HOUR),
    )
    summary = _summary()
    assert summary.users == {"control": 1, "treatment": 2}
    assert summary.daily == [
        (NOON.date(), {"control": 1, "treatment": 1}),
        ((NOON + DAY).date(), {"treatment": 1}),
    ]


def test_unit__two_variants_at_the_same_instant__the_one_that_sorts_first_is_its_first() -> None:
    for unit, variants in {"alice": ("treatment", "control", "treatment"), "bob": ("control-b", "control")}.items():
        _store(*(_seen(unit, variant) for variant in variants))
    _store(_seen("carol", "control", NOON + HOUR), _seen("carol", "treatment"), _seen("dora", "control-b"))
    summary = _summary()
    assert (summary.users, summary.crossovers) == ({"control-b": 1}, 3)
    assert summary.crossovers_by_first_variant == {"control": 2, "treatment": 1}
    found = selectors.first_exposures(PERIOD)
    assert [(row.unit_id, row.variant, row.first_at == NOON) for row in found] == [
        ("alice", "control", True),
        ("bob", "control", True),
        ("carol", "treatment", True),
        ("dora", "control-b", True),
    ]


def test_exposures__outside_the_period_or_experiment_or_environment__are_not_there() -> None:
    _store(
        _seen("early", "control", NOON - timedelta(milliseconds=1)),
        _seen("first", "control", NOON),
        _seen("last", "control", END - timedelta(milliseconds=1)),
        _seen("late", "control", END),
        _seen("elsewhere", "control", experiment="other"),
        _seen("outside", "control", experiment=None),
        exposure(ENV + 1, "neighbour", "control"),
    )
    assert _summary().users == {"control": 2}


def test_crossover__is_out_of_users_and_reported_by_first_variant() -> None:
    _store(
        _seen("alice", "control", NOON + HOUR),
        _seen("alice", "treatment", NOON),
        _seen("bob", "control"),
        _did("alice", NOON + 2 * HOUR),
    )
    summary = _summary()
    assert summary.users == {"control": 1}
    assert (summary.crossovers, summary.crossovers_by_first_variant) == (1, {"treatment": 1})
    assert _binary() == {"control": (1, 0, 0)}


def test_second_variant__after_the_end__is_no_crossover() -> None:
    _store(_seen("alice", "control"), _seen("alice", "treatment", END))
    assert _summary().users == {"control": 1}


def test_bots__are_out_and_counted() -> None:
    _store(
        _seen("bot-1", "control"),
        _seen("bot-1", "control", NOON + HOUR),
        _seen("alice", "control"),
        _seen("alice", "control", NOON + HOUR, user_agent="Googlebot"),
        _did("bot-1", NOON + HOUR),
    )
    summary = _summary()
    assert (summary.users, summary.bots) == ({"control": 1}, 1)
    assert _binary()["control"] == (1, 0, 0)


def test_first_exposures__are_one_row_a_unit() -> None:
    _store(_seen("bob", "treatment", NOON + HOUR), _seen("alice", "control"), _seen("alice", "treatment", NOON + HOUR))
    assert [asdict(row) for row in selectors.first_exposures(PERIOD)] == [
        {"unit_id": "alice", "variant": "control", "first_at": NOON, "is_crossover": True},
        {"unit_id": "bob", "variant": "treatment", "first_at": NOON + HOUR, "is_crossover": False},
    ]


@pytest.mark.parametrize(
    ("offset", "counts"),
    [
        (-timedelta(milliseconds=1), False),
        (timedelta(0), True),
        (7 * DAY - timedelta(milliseconds=1), True),
        (7 * DAY, False),
    ],
    ids=["before exposure", "at exposure", "last moment of the window", "window over"],
)
def test_conversion__counts__from_exposure_to_the_end_of_its_window(offset: timedelta, counts: bool) -> None:
    _store(_seen("alice", "control", NOON + HOUR), _did("alice", NOON + HOUR + offset))
    assert _binary()["control"] == (1, int(counts), 0)


@pytest.mark.parametrize(
    ("occurred", "received", "conversions", "late"),
    [
        (END + 7 * DAY - HOUR, END + 7 * DAY - HOUR, 1, 0),
        (END + 7 * DAY, END + 7 * DAY, 0, 1),
        (NOON + HOUR, END + 7 * DAY, 0, 1),
    ],
    ids=["in time", "occurred after the deadline", "received after the deadline"],
)
def test_conversion__past_seven_days_after_the_end__is_late(
    occurred: datetime, received: datetime, conversions: int, late: int
) -> None:
    _store(_seen("alice", "control"), _did("alice", occurred, received_ms=round(received.timestamp() * 1000)))
    assert _binary(window=365 * DAY)["control"] == (1, conversions, late)


def test_conversions__of_one_unit__convert_it_once() -> None:
    _store(_seen("alice", "control"), _did("alice", NOON + HOUR), _did("alice", NOON + 2 * HOUR))
    _store(_did("alice", NOON + HOUR, event_name="visit"), _did("nobody", NOON + HOUR))
    assert _binary() == {"control": (1, 1, 0)}


def test_events__stored_in_any_order__give_the_same_summaries() -> None:
    events = [
        _seen("alice", "control", NOON + HOUR),
        _did("alice", NOON + 2 * HOUR, value=3.0),
        _seen("alice", "control", NOON),
        _seen("bob", "treatment", NOON),
    ]
    answers = []
    for shift, order in enumerate((events, events[::-1])):
        moved = [type(event)(**{**_fields(event), "environment_id": ENV + shift}) for event in order]
        for event in moved:
            _store(event)
        answers.append(purchases(ENV + shift, NOON, END))
    assert answers[0] == answers[1]


def _fields(event: ExposureEvent | ConversionEvent) -> dict[str, Any]:
    return {name: getattr(event, name) for name in event.__struct_fields__}


def test_values__are_summed_per_unit_before_they_are_squared() -> None:
    _store(
        *(_seen(unit, "control") for unit in ("alice", "bob", "carol")),
        _did("alice", NOON + HOUR, value=2.0),
        _did("alice", NOON + 2 * HOUR, value=3.0),
        _did("bob", NOON + HOUR, value=None),
    )
    assert purchases(ENV, NOON, END)["control"] == pytest.approx((3, 5.0, 25.0, 3, 5))


def test_flag_exposures__count_exposures_and_unique_units() -> None:
    _store(
        *(_seen("alice", "control", NOON + hours * HOUR, experiment=None) for hours in range(3)),
        _seen("bob", "treatment"),
        _seen("bot-1", "treatment"),
        _seen("carol", "treatment", flag_key="other"),
    )
    assert selectors.flag_exposures(ENV, "new-checkout", NOON, None) == {
        "control": selectors.FlagExposures(exposures=3, users=1),
        "treatment": selectors.FlagExposures(exposures=1, users=1),
    }


def test_converted_units__of_a_flag_seen_in_one_hour_of_many__are_all_of_its_users() -> None:
    def converted(since: datetime, until: datetime) -> tuple[int, int]:
        window = timedelta(days=1)
        return selectors.converted_units(ENV, "new-checkout", since, until, event_name="purchase", window=window)

    assert converted(NOON - 9 * HOUR, NOON + 9 * HOUR) == (0, 0)
    last = NOON + HOUR - timedelta(milliseconds=1)
    _store(_seen("alice", "control"), _seen("bob", "control", last), _seen("bot-1", "control", NOON + 5 * HOUR))

    assert converted(NOON - 9 * HOUR, NOON + 9 * HOUR) == (2, 0)
    # A window that begins or ends within the hour cuts it.
    assert converted(NOON + timedelta(minutes=1), NOON + 9 * HOUR) == (1, 0)
    assert converted(NOON - 9 * HOUR, last) == (1, 0)


def test_recent_units__are_the_latest_first_with_the_variant_seen_last() -> None:
    _store(
        _seen("alice", "control"),
        _seen("alice", "treatment", NOON + 2 * HOUR),
        _seen("bob", "control", NOON + HOUR),
        _seen("carol", "control", NOON - HOUR),
        _seen("bot-1", "control", NOON + HOUR),
    )
    found = selectors.recent_units(ENV, "new-checkout", NOON + timedelta(minutes=40), limit=10)
    assert found == [("alice", "treatment"), ("bob", "control")]
    assert selectors.recent_units(ENV, "new-checkout", NOON, limit=1) == [("alice", "treatment")]


def test_recent_attributes__are_those_of_each_units_last_exposure_that_kept_any() -> None:
    _store(
        _seen("alice", "control", attributes='{"plan": "free"}'),
        _seen("alice", "control", NOON + HOUR, attributes='{"plan": "pro"}'),
        _seen("alice", "control", NOON + 2 * HOUR),
        _seen("bob", "control", NOON - 2 * HOUR, attributes='{"plan": "pro"}'),
        _seen("carol", "control", flag_key="other", attributes='{"plan": "pro"}'),
        _seen("bot-1", "control", attributes='{"plan": "pro"}'),
    )

    def carried(most_exposures: int) -> dict[str, Any]:
        return selectors.recent_attributes(ENV, "new-checkout", NOON, most_exposures=most_exposures)

    assert carried(100) == {"alice": {"plan": "pro"}}
    assert carried(1) == {}


def test_last_exposures__are_full_hours_of_flags_that_had_one() -> None:
    _store(_seen("alice", "control", NOON + timedelta(minutes=20)), _seen("bob", "control", NOON - HOUR))
    _store(exposure(ENV + 1, "carol", "control", NOON - HOUR, flag_key="old"))
    keys = ["new-checkout", "old", "never-seen"]
    assert selectors.last_exposures([ENV], keys) == {"new-checkout": (NOON, ENV)}
    assert selectors.last_exposures([ENV + 1, ENV], keys) == {
        "new-checkout": (NOON, ENV),
        "old": (NOON - HOUR, ENV + 1),
    }
    assert selectors.last_exposures([ENV], []) == {}
