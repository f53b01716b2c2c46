"""The ClickHouse store on its embedded engine: what it answers, rewrites and lets go, beside PostgreSQL."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.db import OperationalError
from pytest_django import Settings

from analytics import selectors
from analytics.enrichment.enrichment import EnrichmentRules
from analytics.event_generator import Generator, Plan, default_start
from analytics.event_records import Batch
from analytics.models import BotUnit
from analytics.selectors import GRACE, Figure, Kind, Pairing
from analytics.services import (
    apply_retention,
    export_user,
    find_fast_bots,
    forget_user,
    reclassify_bots,
    set_event_policy,
    store_events,
)
from analytics.stores.base import Period, Unit
from analytics.stores.clickhouse.store import ClickHouseStore
from analytics.stores.protocols import EventStore
from analytics.testing import STORES, UseStore
from analytics.tests.conftest import ACTOR, NOON, conversion, converted, exposure, purchases
from tenancy.models import Environment

ENV = 7
START = default_start(14)
END = START + timedelta(days=14)
HOUR = timedelta(hours=1)


@pytest.fixture
def clickhouse(use_store: UseStore) -> EventStore:
    return use_store("clickhouse")


def _answers() -> list[Any]:
    """Every question, for a whole period and for part of one, with and without a window."""
    found: list[Any] = [selectors.flag_exposures(ENV, "new-checkout", START, END)]
    for since, until in ((START, END), (START + timedelta(days=3, microseconds=1500), END - timedelta(hours=7))):
        period = Period(ENV, "checkout-test", since, until)
        found += [selectors.exposure_summary(period), list(selectors.first_exposures(period))]
        for window in (timedelta(days=7), timedelta(hours=5), timedelta(days=365)):
            found += [
                converted(ENV, since, until, window=window),
                selectors.pair_summary(period, Pairing(Figure(Kind.TOTAL, "purchase"), None, window, GRACE)),
                selectors.pair_summary(period, Pairing(Figure(Kind.COUNT, "purchase"), None, window, GRACE)),
            ]
    return found


def test_both_stores__same_load__answer_alike_to_the_digit(use_store: UseStore) -> None:
    answers = []
    for kind in STORES:
        use_store(kind)
        load = Generator(Plan(environment_id=ENV, users=2500, events=12_000, seed=9, start=START, late_share=0.1))
        for batch in load.batches(size=1000):
            store_events(batch)
        answers.append(_answers())
    assert answers[0] == answers[1]
    assert answers[0][3 + 1].keys() == {"control", "treatment"}


def test_same_id_with_other_content__the_first_one_counts(any_store: EventStore) -> None:
    first = exposure(ENV, "alice", "control")
    bought = conversion(ENV, "alice", NOON + HOUR, value=10.0)
    for batch in (
        Batch([first], [bought]),
        Batch(
            [exposure(ENV, "alice", "treatment", evaluation_id=first.evaluation_id)],
            [conversion(ENV, "alice", NOON + 2 * HOUR, value=99.0, event_id=bought.event_id)],
        ),
    ):
        any_store.write(batch)
    assert purchases(ENV, NOON, NOON + 3 * HOUR) == {"control": (1, 10.0, 100.0, 1, 1)}


def test_odd_texts_and_numbers__come_back_as_they_were(clickhouse: EventStore) -> None:
    unit = 'it\'s \\ a "test"\n\t{x:Int64} \U0001f600'
    clickhouse.write(
        Batch([exposure(ENV, unit, "v'1", attributes='{"a": "b\'c"}')], [conversion(ENV, unit, NOON, value=0.1 + 0.2)])
    )
    seen, did = clickhouse.raw_events([Unit(ENV, unit)])
    assert (seen["unit_id"], seen["variant"], seen["attributes"]) == (unit, "v'1", '{"a": "b\'c"}')
    assert (did["value"], did["occurred_at"]) == (0.1 + 0.2, NOON)


def test_forgotten_user__is_gone_and_exported_before(clickhouse: EventStore, environment: Environment) -> None:
    organization = environment.project.organization
    for unit in ("alice", "bob"):
        clickhouse.write(Batch([exposure(environment.pk, unit, "control")], [conversion(environment.pk, unit, NOON)]))
    exported = list(export_user(actor=ACTOR, organization=organization, user_id="alice"))
    assert [event["table"] for event in exported] == ["exposures", "conversions"]
    erased = forget_user(actor=ACTOR, organization=organization, user_id="alice")
    assert (erased.exposures, erased.conversions) == (1, 1)
    assert list(clickhouse.raw_events([Unit(environment.pk, "alice")])) == []
    assert len(list(clickhouse.raw_events([Unit(environment.pk, "bob")]))) == 2


def test_reclassified__flags_follow_the_rules_both_ways(clickhouse: EventStore, settings: Settings) -> None:
    clickhouse.write(
        Batch(
            [
                exposure(ENV, "bot-1", "control"),
                exposure(ENV, "alice", "control", user_agent="Acme/1"),
                exposure(ENV, "carol", "control"),
            ],
            [conversion(ENV, "bot-1", NOON), conversion(ENV, "alice", NOON)],
        )
    )
    settings.BOT_USER_IDS, settings.BOT_USER_AGENTS = "^carol$", "^acme"
    assert reclassify_bots(lambda _done, _total: None) == (2, 2)
    summary = selectors.exposure_summary(Period(ENV, "checkout-test", NOON, NOON + HOUR))
    assert (dict(summary.users), summary.bots) == ({"control": 1}, 2)
    assert clickhouse.reclassify(EnrichmentRules.load(), lambda _done, _total: None) == (0, 0)


def test_unit__too_fast__is_a_bot_from_first_to_last(clickhouse: EventStore, settings: Settings) -> None:
    settings.BOT_EXPOSURES_PER_HOUR = 5
    now = datetime.now(UTC).replace(minute=30, second=0, microsecond=0)
    clickhouse.write(Batch([exposure(ENV, "scraper", "control", now) for _ in range(6)]))
    clickhouse.write(Batch([exposure(ENV, "alice", "control", now) for _ in range(5)]))
    assert [row.unit_id for row in find_fast_bots(hours=3)] == ["scraper"]
    assert BotUnit.objects.count() == 1
    clickhouse.write(Batch([exposure(ENV, "scraper", "control", now)]))
    assert selectors.flag_exposures(ENV, "new-checkout", None, None) == {"control": selectors.FlagExposures(5, 1)}


@pytest.mark.django_db(transaction=True)
def test_pseudonyms__turned_on_later__join_old_events_with_new_ones(
    clickhouse: EventStore, environment: Environment
) -> None:
    clickhouse.write(Batch([exposure(environment.pk, "alice", "control")]))
    set_event_policy(actor=ACTOR, environment=environment, retention_days=None, stores_pseudonyms=True)
    clickhouse.write(Batch([exposure(environment.pk, "alice", "control")], [conversion(environment.pk, "alice", NOON)]))
    assert list(clickhouse.raw_events([Unit(environment.pk, "alice")])) == []
    assert converted(environment.pk, NOON, NOON + HOUR) == {"control": (1, 1, 0)}


def test_retention__drops_months_and_single_environments_rows(
    clickhouse: EventStore, environment: Environment, other_environment: Environment
) -> None:
    set_event_policy(actor=ACTOR, environment=environment, retention_days=20, stores_pseudonyms=False)
    now = datetime.now(UTC)
    for days in (200, 30, 1):
        for one in (environment, other_environment):
            clickhouse.write(Batch([exposure(one.pk, f"user-{days}", "control", now - timedelta(days=days))]))
            clickhouse.write(
                Batch([exposure(one.pk, f"user-{days}", "control", now - timedelta(days=days), evaluation_id=uuid4())])
            )
    planned = apply_retention(actor=ACTOR, dry_run=True)
    assert planned
    assert len(selectors.flag_exposures(environment.pk, "new-checkout", None, None)) == 1
    apply_retention(actor=ACTOR)
    kept = {
        one.pk: selectors.flag_exposures(one.pk, "new-checkout", None, None) for one in (environment, other_environment)
    }
    assert kept == {
        environment.pk: {"control": selectors.FlagExposures(exposures=2, users=1)},
        other_environment.pk: {"control": selectors.FlagExposures(exposures=4, users=2)},
    }


def test_server_away__is_an_outage_to_the_ingest(db: None, settings: Settings) -> None:
    away = ClickHouseStore("clickhouse://127.0.0.1:9/default")
    with pytest.raises(OperationalError):
        away.write(Batch([exposure(ENV, "alice", "control")]))


@pytest.mark.parametrize("since", [NOON, NOON + HOUR], ids=["whole phase", "part of it"])
def test_left_out__bots__are_counted_all_the_same(any_store: EventStore, since: datetime) -> None:
    seen = [("ada", "control"), ("bob", "treatment"), ("bot-1", "control"), ("bot-2", "treatment")]
    at = (NOON, NOON + 2 * HOUR)
    store_events(Batch([exposure(ENV, unit, variant, moment) for unit, variant in seen for moment in at]))
    period = Period(ENV, "checkout-test", since, None, left_out=("ada", "bot-1"))
    summary = selectors.exposure_summary(period)
    assert (summary.bots, [unit.unit_id for unit in selectors.first_exposures(period)]) == (2, ["bob"])
    assert selectors.bots_first_seen(period) == {"control": 1, "treatment": 1}
