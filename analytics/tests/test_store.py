"""Storing a batch: once per id and environment, in the partition of its week, flagged, never rewritten."""

from datetime import timedelta
from uuid import UUID, uuid4

import pytest
from django.db import InternalError, ProgrammingError, connection, transaction

from analytics.event_records import Batch, event_id_of
from analytics.models import Conversion, DeadLetter, Exposure
from analytics.services import store_events
from analytics.stores import store
from analytics.stores.postgres import partitions
from analytics.stores.postgres.partitions import Week
from analytics.tests.conftest import NOON, conversion, exposure, week_partition_of
from tenancy.models import Environment


def _partition_of(row: Exposure | Conversion) -> str:
    table = row._meta.db_table
    column = partitions.TABLES[table]
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT tableoid::regclass FROM {table} WHERE {column} = %s", [getattr(row, column)])
        return str(cursor.fetchone()[0])


def test_exposure__stored__every_field_comes_back(environment: Environment) -> None:
    event = exposure(environment.pk, "alice", "treatment", attributes='{"plan": "pro"}', rule_id="r1", user_agent="x/1")
    store().write(Batch(exposures=[event]))
    row = Exposure.objects.get()
    assert row.evaluation_id == event.evaluation_id
    assert (row.flag_key, row.unit_id, row.variant, row.reason) == ("new-checkout", "alice", "treatment", "SPLIT")
    assert (row.rule_id, row.experiment, row.config_version, row.source) == ("r1", "checkout-test", 1, "api")
    assert (row.occurred_at, row.received_at) == (NOON, NOON)
    assert (row.user_agent, row.attributes, row.is_bot) == ("x/1", {"plan": "pro"}, False)


def test_conversion__stored__every_field_comes_back(environment: Environment) -> None:
    event = conversion(environment.pk, "alice", NOON, value=12.5, properties='{"items": 2}')
    store().write(Batch(conversions=[event]))
    row = Conversion.objects.get()
    assert (row.event_id, row.unit_id, row.event_name) == (event.event_id, "alice", "purchase")
    assert (row.value, row.properties, row.occurred_at, row.is_bot) == (12.5, {"items": 2}, NOON, False)


def test_same_id__twice_in_a_batch_and_again__is_one_row(environment: Environment) -> None:
    event = exposure(environment.pk, "alice", "treatment")
    bought = conversion(environment.pk, "alice", NOON)
    assert store().write(Batch([event, event], [bought, bought])).exposures == 1
    again = store().write(Batch([event], [bought]))
    assert (again.exposures, again.conversions) == (0, 0)
    assert (Exposure.objects.count(), Conversion.objects.count()) == (1, 1)


def test_same_id__in_another_environment__is_a_row_of_its_own(
    environment: Environment, other_environment: Environment
) -> None:
    event_id = uuid4()
    for owner in (environment, other_environment):
        store().write(Batch(exposures=[exposure(owner.pk, "alice", "control", evaluation_id=event_id)]))
    assert Exposure.objects.filter(evaluation_id=event_id).count() == 2


def test_partition__uuid7__is_its_weeks(environment: Environment) -> None:
    event = exposure(environment.pk, "alice", "control")
    store().write(Batch(exposures=[event]))
    assert _partition_of(Exposure.objects.get()) == week_partition_of(event.evaluation_id)


@pytest.mark.parametrize(
    "event_id",
    [
        UUID("e677d220-0000-4000-8000-000000000000"),
        UUID("00000000-0000-7000-8000-000000000000"),
        UUID("ffffffff-ffff-7fff-bfff-ffffffffffff"),
    ],
    ids=["version 4", "1970", "far future"],
)
def test_partition__id_of_no_covered_week__is_the_default(environment: Environment, event_id: UUID) -> None:
    store().write(Batch(exposures=[exposure(environment.pk, "alice", "control", evaluation_id=event_id)]))
    assert _partition_of(Exposure.objects.get()) == "exposures_default"


def test_partition__id_that_its_sender_chose__is_one_of_its_own(environment: Environment) -> None:
    event = conversion(environment.pk, "alice", NOON, event_id=event_id_of("order-7", "purchase", "alice"))
    store().write(Batch(conversions=[event]))
    assert _partition_of(Conversion.objects.get()) == "conversions_chosen"
    (dropped,) = store().drop_before({environment.pk: NOON + timedelta(days=1)}, dry_run=False)
    assert (dropped.table, dropped.rows) == ("conversions_chosen", 1)


def test_partition__made_after_rows_of_its_week_came__takes_them_over(environment: Environment) -> None:
    week = Week(Week.now().number + 5)
    ahead = exposure(environment.pk, "alice", "control", at=week.start + timedelta(days=1))
    store().write(Batch(exposures=[ahead]))
    assert _partition_of(Exposure.objects.get()) == "exposures_default"
    assert partitions.create("exposures", week)
    assert _partition_of(Exposure.objects.get()) == week.name("exposures")
    assert not partitions.create("exposures", week)


def test_create_ahead__again__makes_nothing(db: None) -> None:
    made = partitions.create_ahead()
    assert len(made) <= 6
    assert partitions.create_ahead() == []
    weeks = [week.number for week in partitions.existing("exposures")]
    assert {Week.now().number, Week.now().number + partitions.FUTURE_WEEKS} <= set(weeks)


@pytest.mark.parametrize("unit_id", ["bot-7", "Crawler:main", "synthetic_check"])
def test_unit_of_a_bot__is_flagged(environment: Environment, unit_id: str) -> None:
    store().write(Batch([exposure(environment.pk, unit_id, "control")], [conversion(environment.pk, unit_id, NOON)]))
    assert Exposure.objects.get().is_bot
    assert Conversion.objects.get().is_bot


def test_user_agent_of_a_bot__is_flagged(environment: Environment) -> None:
    agent = "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)"
    store().write(Batch(exposures=[exposure(environment.pk, "alice", "control", user_agent=agent)]))
    assert Exposure.objects.get().is_bot


@pytest.mark.parametrize("statement", ["UPDATE exposures SET variant = 'x'", "DELETE FROM exposures"])
def test_rewriting__without_leave__is_refused(environment: Environment, statement: str) -> None:
    store().write(Batch(exposures=[exposure(environment.pk, "alice", "control")]))
    with pytest.raises((InternalError, ProgrammingError), match="append-only"), transaction.atomic():
        connection.cursor().execute(statement)
    assert Exposure.objects.get().variant == "control"


@pytest.mark.parametrize("value", [9.1e12, float("nan"), float("-inf")])
def test_value__that_cannot_be_summed__is_set_aside(environment: Environment, value: float) -> None:
    events = [conversion(environment.pk, "alice", NOON, value=value), conversion(environment.pk, "bob", NOON)]
    assert store_events(Batch(conversions=events)).conversions == 1
    assert DeadLetter.objects.get().kind == "conversion"


def test_poison__in_a_batch__is_set_aside_alone(environment: Environment) -> None:
    events = [exposure(environment.pk, f"user-{number}", "control") for number in range(20)]
    events[7] = exposure(environment.pk, "user-7\x00", "control")
    events[13] = exposure(environment.pk, "user-13", "control", attributes='{"broken')
    stored = store_events(Batch(events, [conversion(environment.pk, "user-1", NOON)]))
    assert (stored.exposures, stored.conversions) == (18, 1)
    assert Exposure.objects.count() == 18
    assert {letter.environment_id for letter in DeadLetter.objects.all()} == {environment.pk}
    assert sorted(letter.kind for letter in DeadLetter.objects.all()) == ["exposure", "exposure"]
