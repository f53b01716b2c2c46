"""What the ingest keeps up equals what the raw events say, in whatever order and number of batches they came."""

import random
from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from analytics import selectors
from analytics.event_records import Batch, ExposureEvent
from analytics.models import FirstExposure
from analytics.selectors import Period
from analytics.services import open_phase, store_events
from analytics.stores import store
from analytics.stores.postgres import reads
from analytics.tests.conftest import NOON, exposure

ENV = 7
HOUR = timedelta(hours=1)
END = NOON + 60 * HOUR
RESTART = NOON + 24 * HOUR

pytestmark = pytest.mark.django_db


def _random_events(seed: int, count: int = 600) -> list[ExposureEvent]:
    """Few units and few instants, so that ties, crossovers, bots and repeats are all common."""
    rng = random.Random(seed)
    events = []
    for _ in range(count):
        unit = rng.choice(["bot-1", "bot-2", *(f"user-{number}" for number in range(60))])
        agent = "Googlebot/2.1" if rng.random() < 0.1 else None
        variant = rng.choice("ab") if rng.random() < 0.05 else "ab"[len(unit) % 2]
        at = NOON + rng.randrange(50) * HOUR
        events.append(
            exposure(ENV, unit, variant, at, user_agent=agent, experiment=rng.choice(["checkout-test", "other", None]))
        )
    return events


def _store_in_batches(events: list[ExposureEvent], rng: random.Random) -> None:
    """Shuffled, in batches of any size, a tenth of them twice."""
    sent = [*events, *rng.sample(events, len(events) // 10)]
    rng.shuffle(sent)
    while sent:
        size = rng.randrange(1, 120)
        store_events(Batch(exposures=sent[:size]))
        sent = sent[size:]


def _summaries(since: datetime, until: datetime) -> list[Any]:
    return [
        selectors.exposure_summary(Period(ENV, "checkout-test", since, until)),
        list(selectors.first_exposures(Period(ENV, "checkout-test", since, until))),
    ]


@pytest.fixture
def from_raw(monkeypatch: pytest.MonkeyPatch) -> Any:
    def use() -> None:
        monkeypatch.setattr(reads, "source_of", lambda _parameters: reads._RAW)

    return use


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("hours", [60, 30, 1])
def test_first_exposures__kept_up__equal_the_raw_events(seed: int, hours: int, from_raw: Any) -> None:
    _store_in_batches(_random_events(seed), random.Random(seed))
    assert FirstExposure.objects.exists()
    kept = _summaries(NOON, NOON + hours * HOUR)
    from_raw()
    assert kept == _summaries(NOON, NOON + hours * HOUR)


@pytest.mark.parametrize("opened", ["before", "between", "after"])
def test_phases__opened_any_time__each_equals_the_raw_events_of_its_time(opened: str, from_raw: Any) -> None:
    events = _random_events(11)
    half = len(events) // 2
    rng = random.Random(3)
    if opened == "before":
        open_phase(environment_id=ENV, experiment="checkout-test", started_at=RESTART)
    _store_in_batches(events[:half], rng)
    if opened == "between":
        open_phase(environment_id=ENV, experiment="checkout-test", started_at=RESTART)
    _store_in_batches(events[half:], rng)
    if opened == "after":
        open_phase(environment_id=ENV, experiment="checkout-test", started_at=RESTART)
    periods = [(NOON, RESTART), (RESTART, END), (RESTART, RESTART + HOUR), (NOON + HOUR, END)]
    kept = [_summaries(*period) for period in periods]
    from_raw()
    assert kept == [_summaries(*period) for period in periods]


@pytest.mark.parametrize("microseconds", [0, 1, 400, 500, 999])
def test_phase__that_starts_between_two_milliseconds__keeps_its_units(microseconds: int, from_raw: Any) -> None:
    started_at = RESTART + timedelta(microseconds=microseconds)
    store_events(Batch(exposures=[exposure(ENV, "early", "a", RESTART - timedelta(milliseconds=1))]))
    open_phase(environment_id=ENV, experiment="checkout-test", started_at=started_at)
    for number, offset in enumerate((-1, 0, 1, 5000)):
        seen = exposure(ENV, f"user-{number}", "a", RESTART + timedelta(milliseconds=offset))
        store_events(Batch(exposures=[seen, exposure(ENV, "early", "a", RESTART + HOUR)]))
    kept = _summaries(started_at, END)
    stored = FirstExposure.objects.values_list("phase", flat=True).distinct().count()
    from_raw()
    assert kept == _summaries(started_at, END)
    assert stored == 2


def test_phase__opened_twice__changes_nothing() -> None:
    _store_in_batches(_random_events(5), random.Random(5))
    for _ in range(2):
        open_phase(environment_id=ENV, experiment="checkout-test", started_at=RESTART)
    before = list(FirstExposure.objects.order_by("pk").values_list())
    open_phase(environment_id=ENV, experiment="checkout-test", started_at=RESTART)
    assert list(FirstExposure.objects.order_by("pk").values_list()) == before


def test_whole_phase__does_not_read_the_raw_events() -> None:
    _store_in_batches(_random_events(2), random.Random(2))
    open_phase(environment_id=ENV, experiment="checkout-test", started_at=NOON)
    with CaptureQueriesContext(connection) as queries:
        selectors.exposure_summary(Period(ENV, "checkout-test", NOON, END))
    assert not any("FROM exposures" in query["sql"] for query in queries.captured_queries)


@pytest.mark.parametrize("hours_ago", [0, 5, 49, 100])
def test_flag_exposures__from_hourly_counts__are_exact(hours_ago: int) -> None:
    events = _random_events(8)
    _store_in_batches(events, random.Random(8))
    since = NOON + 49 * HOUR - hours_ago * HOUR
    seen = [
        event
        for event in events
        if datetime.fromtimestamp(event.occurred_ms / 1000, UTC) >= since
        and event.user_agent is None
        and not event.unit_id.startswith("bot-")
    ]
    exposures = Counter(event.variant for event in seen)
    users = Counter(variant for variant, _ in {(event.variant, event.unit_id) for event in seen})
    expected = {variant: selectors.FlagExposures(exposures[variant], users[variant]) for variant in sorted(exposures)}
    assert selectors.flag_exposures(ENV, "new-checkout", since + timedelta(minutes=59), None) == expected
    assert store().flag_exposures(ENV, "new-checkout", since, END) == expected


def test_repeated_ids_with_other_content__leave_no_trace(from_raw: Any) -> None:
    first = exposure(ENV, "alice", "control", NOON + HOUR)
    same_batch = exposure(ENV, "bob", "control")
    store_events(Batch(exposures=[first, same_batch, _copy(same_batch, variant="treatment")]))
    for changes in ({"variant": "treatment"}, {"unit_id": "eve"}, {"occurred_ms": first.occurred_ms - 1000}):
        store_events(Batch(exposures=[_copy(first, **changes), exposure(ENV, "carol", "control")]))
    store_events(Batch(exposures=[first]))
    kept = _summaries(NOON, END)
    flag = selectors.flag_exposures(ENV, "new-checkout", None, None)
    assert flag == store().flag_exposures(ENV, "new-checkout", NOON, END)
    from_raw()
    assert kept == _summaries(NOON, END)
    assert sum(kept[0].users.values()) == 3


def _copy(event: ExposureEvent, **changes: Any) -> ExposureEvent:
    return msgspec.structs.replace(event, **changes)
