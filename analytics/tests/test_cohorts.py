"""Rates, counts and totals rolled up from night to night are those of the whole, whatever came in between."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Any

import pytest
from pytest_django import Settings

from analytics import selectors
from analytics.event_generator import Generator, Plan, default_start
from analytics.event_records import Batch, ConversionEvent, ExposureEvent
from analytics.models import CohortPair
from analytics.selectors import Figure, Kind, Pairing, PairSummary, Period
from analytics.services import forget_user, open_phase, reclassify_bots, refresh_rollups, store_events
from analytics.stores.postgres.rollups.pairs import whole_pair_summary
from analytics.tests.conftest import ACTOR, conversion, exposure, milliseconds
from tenancy.models import Environment

ENV = 7
START = default_start(14)
DAY = timedelta(days=1)
WEEK = timedelta(days=7)
HOUR = timedelta(hours=1)
WINDOWS = (WEEK, timedelta(hours=30), timedelta(days=365))
KINDS = (Kind.CONVERTED, Kind.COUNT, Kind.TOTAL)

pytestmark = pytest.mark.django_db


def _pairing(kind: Kind, window: timedelta = WEEK, grace: timedelta = WEEK) -> Pairing:
    return Pairing(Figure(kind, "purchase"), None, window, grace)


def _refresh(until: datetime, *, window: timedelta = WEEK, env: int = ENV) -> int:
    """Return the days of one figure; those of the others are as many."""
    period = Period(env, "checkout-test", START, until)
    (days,) = {refresh_rollups(period, _pairing(kind, window)) for kind in KINDS}
    return days


def _assert_same(until: datetime, *, env: int = ENV, grace: timedelta = WEEK) -> dict[str, PairSummary]:
    """Compare with the reads that know nothing of roll-ups; return the numbers of purchases."""
    period = Period(env, "checkout-test", START, until)
    for window in WINDOWS:
        for kind in KINDS:
            pairing = _pairing(kind, window, grace)
            assert selectors.pair_summary(period, pairing) == whole_pair_summary(period, pairing)
    return selectors.pair_summary(period, _pairing(Kind.COUNT, grace=grace))


def _at(event: ExposureEvent | ConversionEvent) -> int:
    return event.received_ms


def _nights(events: list[ExposureEvent | ConversionEvent]) -> Iterator[tuple[datetime, Batch]]:
    """What arrives before each midnight."""
    events = sorted(events, key=_at)
    rest, until = iter(events), START
    waiting: list[ExposureEvent | ConversionEvent] = list(islice(rest, 1))
    while waiting:
        until += DAY
        piece: list[ExposureEvent | ConversionEvent] = []
        while waiting and _at(waiting[0]) < milliseconds(until):
            piece.append(waiting.pop())
            waiting = list(islice(rest, 1))
        yield (
            until,
            Batch(
                [event for event in piece if isinstance(event, ExposureEvent)],
                [event for event in piece if isinstance(event, ConversionEvent)],
            ),
        )


def test_nights__with_late_duplicate_crossing_and_bots_events__sum_up_to_the_whole() -> None:
    plan = Plan(
        *(ENV, 300, 2500, 4, START),
        days=8,
        late_share=0.1,
        crossover_share=0.1,
        bot_share=0.05,
        duplicate_share=0.2,
        conversion_rates=(("control", 0.4), ("treatment", 0.6)),
    )
    load = Generator(plan)
    events = [event for batch in load.batches() for event in (*batch.exposures, *batch.conversions)]
    # Some exposures arrive days after they happened, and move a unit's first day back.
    for number, event in enumerate(events):
        if number % 9 == 0 and isinstance(event, ExposureEvent):
            events[number] = ExposureEvent(**{**_fields(event), "received_ms": event.received_ms + 3 * 86_400_000})
    open_phase(environment_id=ENV, experiment="checkout-test", started_at=START)
    worked_out = []
    for until, batch in _nights(events):
        store_events(batch)
        end = min(until, START + 8 * DAY)
        _assert_same(end)
        worked_out.append([_refresh(end, window=window) for window in WINDOWS])
        assert [_refresh(end, window=window) for window in WINDOWS] == [0, 0, 0]
        found = _assert_same(end)
    truth = load.truth
    assert {variant: summary.n for variant, summary in found.items()} == truth.users
    assert {variant: summary.sum_y for variant, summary in found.items()} == truth.counts
    assert {variant: summary.late for variant, summary in found.items()} == truth.late
    assert sum(truth.late.values()) > 0
    assert truth.crossovers > 5
    assert worked_out[0] == [1, 1, 0]


def _fields(event: ExposureEvent | ConversionEvent) -> dict[str, Any]:
    return {name: getattr(event, name) for name in event.__struct_fields__}


def _ten_days(env: int = ENV) -> None:
    """Each day two new units; each buys on its first day and on the next."""
    for day in range(10):
        at = START + day * DAY + 9 * HOUR
        units = [f"user-{day}-{number}" for number in range(2)]
        store_events(
            Batch(
                [exposure(env, unit, "control", at) for unit in units],
                [conversion(env, unit, at + hours * HOUR, value=1.5) for unit in units for hours in (1, 25)],
            )
        )


def test_a_new_day__works_out_no_day_whose_window_is_over() -> None:
    _ten_days()
    assert _refresh(START + 10 * DAY) == 10
    assert _refresh(START + 10 * DAY) == 0
    at = START + 10 * DAY + HOUR
    store_events(Batch([exposure(ENV, "new", "control", at)], [conversion(ENV, "user-9-1", at)]))
    # Days 3 to 9 may still convert on day 10; day 10 itself is new.
    assert _refresh(START + 11 * DAY) == 8
    assert _assert_same(START + 11 * DAY)["control"].n == 21


def test_days__whose_units_may_still_convert__are_not_kept() -> None:
    today = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    store_events(Batch([exposure(ENV, f"user-{day}", "control", today - day * DAY) for day in range(1, 11)]))
    assert refresh_rollups(Period(ENV, "checkout-test", today - 20 * DAY, today), _pairing(Kind.TOTAL)) == 3


def test_a_late_conversion__works_out_the_days_it_may_belong_to() -> None:
    _ten_days()
    _refresh(START + 10 * DAY, window=HOUR * 30)
    store_events(Batch([], [conversion(ENV, "user-4-0", START + 4 * DAY + 20 * HOUR, value=7.0)]))
    _assert_same(START + 10 * DAY)
    assert _refresh(START + 10 * DAY, window=HOUR * 30) == 3


def test_a_late_exposure__that_moves_a_unit_to_an_earlier_day__works_out_both() -> None:
    _ten_days()
    _refresh(START + 10 * DAY)
    store_events(Batch([exposure(ENV, "user-6-0", "treatment", START + 2 * DAY)]))
    assert _assert_same(START + 10 * DAY).keys() == {"control"}
    store_events(Batch([exposure(ENV, "user-7-0", "control", START + 2 * DAY)]))
    _assert_same(START + 10 * DAY)
    assert _refresh(START + 10 * DAY) == 3


def test_a_unit__that_crosses_over_later__is_taken_off_from_then_on_without_working_out_its_day() -> None:
    _ten_days()
    _refresh(START + 10 * DAY)
    crossed_at = START + 10 * DAY + HOUR
    store_events(Batch([exposure(ENV, "user-0-0", "treatment", crossed_at)]))
    assert _assert_same(START + 10 * DAY)["control"].n == 20
    assert _assert_same(crossed_at + HOUR)["control"].n == 19
    assert _refresh(START + 10 * DAY) == 0


def test_events__received_past_the_deadline__are_late_even_if_kept_sums_know_them() -> None:
    _ten_days()
    end = START + 10 * DAY
    late = milliseconds(end + WEEK)
    store_events(Batch([], [conversion(ENV, "user-9-0", end - HOUR, value=3.0, received_ms=late)]))
    _refresh(end + 8 * DAY)
    assert _assert_same(end)["control"].late == 1
    assert _assert_same(end, grace=WEEK + HOUR)["control"].late == 0


@pytest.mark.parametrize("change", ["forget", "reclassify", "phase"])
def test_rewriting__is_seen_by_what_is_kept(environment: Environment, settings: Settings, change: str) -> None:
    env = environment.pk
    _ten_days(env)
    _refresh(START + 10 * DAY, env=env)
    before = _assert_same(START + 10 * DAY, env=env)["control"]
    if change == "forget":
        forget_user(actor=ACTOR, organization=environment.project.organization, user_id="user-3-1")
    elif change == "reclassify":
        settings.BOT_USER_IDS = "^user-3-1$"
        reclassify_bots(lambda _done, _total: None)
    else:
        open_phase(environment_id=env, experiment="checkout-test", started_at=START + 5 * DAY)
        end = START + 5 * DAY
        assert _assert_same(end, env=env)["control"].n == 10
        assert (
            selectors.pair_summary(Period(env, "checkout-test", end, end + DAY), _pairing(Kind.COUNT))["control"].n == 2
        )
        return
    after = _assert_same(START + 10 * DAY, env=env)["control"]
    assert (after.n, after.sum_y) == (before.n - 1, before.sum_y - 2)
    assert CohortPair.objects.filter(environment_id=env).count() == 10 * len(KINDS)
