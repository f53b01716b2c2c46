"""The counts of units by day and variant of first exposure are those of the units, whoever changed them and how."""

import random
from collections import Counter
from datetime import timedelta
from importlib import import_module
from typing import Any

import pytest
from django.db import connection
from pytest_django import Settings

from analytics import selectors
from analytics.event_records import Batch, ExposureEvent
from analytics.models import CohortChange, CohortSize, ExposurePhase, FirstExposure
from analytics.selectors import Period
from analytics.services import forget_user, open_phase, reclassify_bots, store_events
from analytics.stores.postgres import reads
from analytics.tests.conftest import ACTOR, NOON, exposure
from tenancy.models import Environment

ENV = 7
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
MIDNIGHT = NOON + 12 * HOUR
END = NOON + 4 * DAY
ENDS = (END, MIDNIGHT, MIDNIGHT + DAY, NOON + DAY, NOON + 30 * HOUR, NOON + HOUR, NOON)

pytestmark = pytest.mark.django_db


def _load(env: int = ENV, seed: int = 1) -> None:
    """In batches and in any order: returning, crossing and automated units, and earlier exposures that come later."""
    rng = random.Random(seed)
    events: list[ExposureEvent] = []
    for number in range(300):
        unit = "bot-1" if number % 50 == 0 else f"user-{rng.randrange(60)}"
        variant = rng.choice("ab") if rng.random() < 0.1 else "ab"[len(unit) % 2]
        agent = "Googlebot/2.1" if rng.random() < 0.1 else None
        events.append(exposure(env, unit, variant, NOON + rng.randrange(80) * HOUR, user_agent=agent))
    for start in range(0, len(events), 37):
        store_events(Batch(exposures=events[start : start + 37]))


def _by_counts_and_by_units(env: int, since: Any = NOON) -> list[tuple[Any, Any]]:
    """Summaries up to several ends, each as it is answered and as the units themselves say."""
    ends = [end for end in ENDS if end > since]
    counted = [selectors.exposure_summary(Period(env, "checkout-test", since, end)) for end in ends]
    ExposurePhase.objects.filter(environment_id=env).update(is_counted=False)
    if not ExposurePhase.objects.filter(environment_id=env).exists():
        # Some phase after all of this, of an older release: then counts are not asked.
        ExposurePhase.objects.create(environment_id=env, experiment="checkout-test", started_at=END + DAY)
    return list(
        zip(
            counted,
            [selectors.exposure_summary(Period(env, "checkout-test", since, end)) for end in ends],
            strict=True,
        )
    )


def _assert_exact(env: int = ENV, since: Any = NOON) -> None:
    for counted, single in _by_counts_and_by_units(env, since):
        assert counted == single


def _held() -> bool:
    """Whether the counts are the table's own, and every day's hold."""
    with connection.cursor() as cursor:
        cursor.execute(
            """SELECT environment_id, experiment, phase, (first_at AT TIME ZONE 'UTC')::date, variant, count(*)
            FROM first_exposures WHERE first_at IS NOT NULL GROUP BY 1, 2, 3, 4, 5"""
        )
        truth = sorted(cursor.fetchall())
    fields = ("environment_id", "experiment", "phase", "day")
    counts = sorted(CohortSize.objects.exclude(units=0).values_list(*fields, "variant", "units"))
    steps: Counter[Any] = Counter()
    for *day, changes in CohortSize.objects.values_list(*fields, "changes"):
        steps[tuple(day)] += changes
    for *day, changes in CohortChange.objects.values_list(*fields, "changes"):
        steps[tuple(day)] -= changes
    return counts == truth and not any(steps.values())


@pytest.mark.parametrize("seed", range(3))
def test_counts__after_events_in_any_order__are_the_units(seed: int) -> None:
    _load(seed=seed)
    assert _held()
    _assert_exact()


def test_days_that_hold__are_not_counted_again() -> None:
    _load()
    before = selectors.exposure_summary(Period(ENV, "checkout-test", NOON, END))
    FirstExposure.objects.filter(crossed_at=None, bot_at=None).delete()
    assert selectors.exposure_summary(Period(ENV, "checkout-test", NOON, END)) == before


@pytest.mark.parametrize("started_at", [NOON, NOON + 30 * HOUR, MIDNIGHT + DAY])
def test_a_phase__opened_over_events__is_counted_and_so_is_the_one_before(started_at: Any) -> None:
    _load()
    open_phase(environment_id=ENV, experiment="checkout-test", started_at=started_at)
    assert _held()
    _load(seed=2)
    assert _held()
    _assert_exact(since=started_at)


@pytest.mark.parametrize("change", ["forget", "reclassify"])
def test_counts__after_a_rewrite__are_the_units(environment: Environment, settings: Settings, change: str) -> None:
    _load(environment.pk)
    if change == "forget":
        forget_user(actor=ACTOR, organization=environment.project.organization, user_id="user-7")
    else:
        settings.BOT_USER_IDS = "^user-7$"
        reclassify_bots(lambda _done, _total: None)
    assert _held()
    _assert_exact(environment.pk)


def test_a_day__an_older_release_added_to__is_counted_unit_by_unit() -> None:
    _load()
    _as_the_former_release_adds("late", NOON + DAY)
    assert not _held()
    _assert_exact()
    summary = selectors.exposure_summary(Period(ENV, "checkout-test", NOON, NOON + DAY + HOUR))
    assert "stranger" in summary.users
    # And goes on being, however many steps are counted from then on.
    ExposurePhase.objects.all().delete()
    _load(seed=5)
    _assert_exact()


def test_a_day__that_an_older_release_alone_knows__is_counted_unit_by_unit() -> None:
    _as_the_former_release_adds("first", NOON)
    _as_the_former_release_adds("second", NOON + 2 * DAY)
    assert selectors.exposure_summary(Period(ENV, "checkout-test", NOON, END)).users == {"stranger": 2}
    assert selectors.exposure_summary(Period(ENV, "checkout-test", NOON, NOON + 2 * DAY)).users == {"stranger": 1}


def test_a_phase__that_an_older_release_opened__is_counted_unit_by_unit() -> None:
    place = {"environment_id": ENV, "experiment": "checkout-test"}
    ExposurePhase.objects.create(**place, started_at=NOON)
    FirstExposure.objects.create(**place, phase=NOON, unit_id="eve", variant="a", first_at=NOON)
    store_events(Batch(exposures=[exposure(ENV, "alice", "a", NOON)]))
    assert selectors.exposure_summary(Period(ENV, "checkout-test", NOON, END)).users == {"a": 2}


def _as_the_former_release_adds(unit: str, at: Any) -> None:
    """It steps how often a day changed, and knows nothing of the counts."""
    place = {"environment_id": ENV, "experiment": "checkout-test", "phase": reads.FIRST_PHASE}
    FirstExposure.objects.create(**place, unit_id=unit, variant="stranger", first_at=at)
    known, _ = CohortChange.objects.get_or_create(**place, day=at.date(), defaults={"changes": 0})
    known.changes += 1
    known.save()


def test_migration__counts_what_is_there_so_that_it_holds() -> None:
    migration = import_module("analytics.migrations.0011_count_cohorts")
    open_phase(environment_id=ENV, experiment="checkout-test", started_at=NOON)
    for day in range(2):
        units = [("alice", "a"), ("bob", "b"), ("bob", "a"), ("carol", "b"), ("bot-1", "a")]
        events = [exposure(ENV, f"{unit}-{day}", variant, NOON + day * DAY) for unit, variant in units]
        store_events(Batch(exposures=events))
    # Units from before the changes of their days were counted at all.
    CohortChange.objects.filter(day=NOON.date()).delete()
    CohortSize.objects.all().delete()
    ExposurePhase.objects.update(is_counted=False)
    with connection.cursor() as cursor:
        cursor.execute(migration.MARK)
        cursor.execute(migration.COUNT)
    assert ExposurePhase.objects.get().is_counted
    assert _held()
    _load(seed=2)
    assert _held()
    _assert_exact()


def _bots() -> dict[str, int]:
    return selectors.bots_first_seen(Period(ENV, "checkout-test", NOON, END))


def _bot(unit: str, variant: str, at: Any) -> None:
    store_events(Batch(exposures=[exposure(ENV, f"bot-{unit}", variant, at)]))


def test_bots__count_by_the_variant_they_saw_first_in_any_order() -> None:
    for variant, at in (("b", NOON + HOUR), ("a", NOON + 2 * HOUR), ("c", NOON), ("b", NOON), ("d", NOON)):
        _bot("1", variant, at)
    _bot("2", "a", NOON)
    store_events(Batch(exposures=[exposure(ENV, "bot-3", variant, NOON) for variant in "dbc"]))
    assert _bots() == {"a": 1, "b": 2}
    # Which the raw events need not tell.
    assert set(FirstExposure.objects.values_list("bot_variant", "bot_variant_at")) == {("a", NOON), ("b", NOON)}


@pytest.mark.parametrize("kept", [{"bot_variant": None, "bot_variant_at": None}, {"bot_at": NOON}])
def test_bots__stored_by_an_older_release__have_their_variant_looked_up(kept: dict[str, Any]) -> None:
    _bot("1", "b", NOON + HOUR)
    # Past the table: this exposure changes nothing in it.
    store_events(Batch(exposures=[exposure(ENV, "bot-1", "a", NOON)]))
    FirstExposure.objects.update(bot_at=NOON, bot_variant="z", bot_variant_at=NOON + HOUR)
    FirstExposure.objects.update(**kept)
    assert _bots() == {"a": 1}
    # A later or an equal one does not make a guess of it; an earlier one knows.
    _bot("1", "c", NOON + 2 * HOUR)
    _bot("1", "b", NOON)
    assert _bots() == {"a": 1}
    _bot("1", "c", NOON)
    _bot("1", "d", NOON - HOUR)
    assert selectors.bots_first_seen(Period(ENV, "checkout-test", NOON - DAY, END)) == {"d": 1}


def test_bots__found_later__count_by_what_they_saw_first(environment: Environment, settings: Settings) -> None:
    for variant, at in (("b", NOON + HOUR), ("a", NOON + 2 * HOUR)):
        store_events(Batch(exposures=[exposure(environment.pk, "crawler", variant, at)]))
    settings.BOT_USER_IDS = "^crawler$"
    reclassify_bots(lambda _done, _total: None)
    assert selectors.bots_first_seen(Period(environment.pk, "checkout-test", NOON, END)) == {"b": 1}
    started_at = NOON + 2 * HOUR
    open_phase(environment_id=environment.pk, experiment="checkout-test", started_at=started_at)
    assert selectors.bots_first_seen(Period(environment.pk, "checkout-test", NOON, started_at)) == {"b": 1}
    assert selectors.bots_first_seen(Period(environment.pk, "checkout-test", started_at, END)) == {"a": 1}
    known = FirstExposure.objects.order_by("phase").values_list("bot_variant", "bot_variant_at")
    assert list(known) == [("b", NOON + HOUR), ("a", started_at)]
