"""Evaluations by the hour: counted once, bounded, folded into days, and small."""

import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime, timedelta

import pytest
from django.db import DatabaseError, connection, transaction
from openflagship.engine import Answer

from analytics.models import FlagUsage, FlagUsageHours, FlagUsageMonth, UnknownFlag, UsageSource
from analytics.usage import folding, reading, retention, tally
from analytics.usage.batches import API, SDK, Counted, Source, UsageBatch

NOON = datetime(2026, 5, 4, 12, 30, tzinfo=UTC)
CHECKOUT = Source(1, SDK, "checkout-service", "python/0.1.0")
WEB = Source(1, API, "web")


def batch(name, flags, *, at=NOON, unknown=None):
    return UsageBatch(name, at, flags, unknown or {}, environment_id=1)


def on(source=CHECKOUT, key="new-checkout", variant="treatment", reason="ROLLOUT"):
    return Counted(source, key, variant, reason)


@pytest.mark.django_db
def test_fold__same_batch_twice__counts_once_and_adds_up_with_others():
    assert folding.fold(batch("a", {on(): 5, on(WEB): 2}))
    assert not folding.fold(batch("a", {on(): 5, on(WEB): 2}))
    folding.fold(batch("b", {on(): 1}, at=NOON + timedelta(minutes=10)))
    folding.fold(batch("c", {on(): 7}, at=NOON + timedelta(hours=11)))
    # One that comes late does not make the flag look asked for earlier.
    folding.fold(batch("d", {on(): 1}, at=NOON - timedelta(hours=12)))

    found = reading.usage(1, "new-checkout", NOON - timedelta(days=1), NOON + timedelta(days=1))
    assert [(row.since.hour, row.source, row.evaluations) for row in found] == [
        (0, CHECKOUT, 1),
        (12, WEB, 2),
        (12, CHECKOUT, 6),
        (23, CHECKOUT, 7),
    ]
    assert reading.last_uses([1], ["new-checkout", "other"]) == {
        "new-checkout": reading.LastUse(NOON + timedelta(hours=11), CHECKOUT)
    }
    assert [use.source for use in reading.uses_by_source(1, "new-checkout")] == [CHECKOUT, WEB]


@pytest.mark.django_db
def test_fold__callers_that_invent_names__are_bounded(monkeypatch):
    monkeypatch.setattr(folding, "MOST_SOURCES", 2)
    monkeypatch.setattr(folding, "MOST_UNKNOWN_FLAGS", 3)
    invented = [Source(1, API, f"service-{number}") for number in range(5)]

    folding.fold(batch("a", {on(source): 1 for source in invented}))
    folding.fold(batch("b", {}, unknown={(invented[0], "typo"): 9, (invented[0], "old"): 5}))
    folding.fold(batch("c", {}, unknown={(invented[0], f"made-up-{number}"): 1 for number in range(5)}))

    # The rest shares one source without a name, and nothing is lost.
    assert sorted(UsageSource.objects.values_list("service", flat=True)) == ["", "service-0", "service-1"]
    found = reading.usage(1, "new-checkout", NOON, NOON + timedelta(hours=1))
    assert sorted(row.evaluations for row in found) == [1, 1, 3]
    kept = {unknown.flag_key: unknown.evaluations for unknown in reading.unknown_flags(1)}
    assert len(kept) == 3
    assert (kept["typo"], kept["old"]) == (9, 5)


@pytest.mark.django_db
def test_retention__hours__become_days_of_their_month_and_keep_their_sums(environment):
    source = CHECKOUT._replace(environment_id=environment.pk)
    for number, at in enumerate((NOON, NOON + timedelta(hours=3), NOON + timedelta(days=1))):
        folding.fold(batch(str(number), {on(source): 10 + number}, at=at, unknown={(source, "typo"): 1}))
    gone = on(Source(environment.pk + 1, API, "web"))
    folding.fold(batch("gone", {gone: 1}))

    retention.apply_retention(now=NOON + timedelta(days=3))
    # It came when its hours were folded already.
    folding.fold(batch("late", {on(source): 100}))
    retention.apply_retention(now=NOON + timedelta(days=4))

    assert FlagUsageHours.objects.count() == 0
    month = FlagUsageMonth.objects.get()
    assert (month.month, month.days[3], month.days[4], sum(month.days)) == (date(2026, 5, 1), 121, 12, 133)
    found = reading.usage(environment.pk, "new-checkout", NOON, NOON + timedelta(hours=1))
    assert [(row.since, row.until, row.evaluations) for row in found] == [
        (datetime(2026, 5, 4, tzinfo=UTC), datetime(2026, 5, 5, tzinfo=UTC), 121)
    ]
    assert UsageSource.objects.count() == UnknownFlag.objects.count() == 1

    retention.apply_retention(now=NOON + timedelta(days=500))
    assert not any(model.objects.exists() for model in (FlagUsage, FlagUsageMonth, UnknownFlag, UsageSource))


@pytest.mark.django_db(transaction=True)
def test_retention__while_a_batch_is_halfway__waits_for_it_and_both_go_on():
    later, unknown = NOON + timedelta(days=40), {(CHECKOUT, "typo"): 1}
    folding.fold(batch("old", {}, unknown=unknown))

    def retain():
        try:
            retention.apply_retention(now=later)
        finally:
            connection.close()

    with ThreadPoolExecutor(max_workers=1) as pool:
        with transaction.atomic(), connection.cursor() as cursor:
            sources = folding._source_ids({CHECKOUT})
            waiting = pool.submit(retain)
            deadline, waits = time.monotonic() + 60, False
            while not waits and time.monotonic() < deadline:
                cursor.execute(
                    "SELECT FROM pg_locks WHERE NOT granted AND relation = 'usage_sources'::regclass "
                    "AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
                )
                waits = cursor.rowcount > 0
            folding._fold_unknown(batch("new", {}, at=later, unknown=unknown), sources)
        waiting.result(timeout=60)

    assert waits


@pytest.mark.django_db
def test_retention__what_nothing_asks_for__goes_run_by_run(monkeypatch):
    monkeypatch.setattr(retention, "_MOST_LEFT_OVER", 2)
    folding.fold(batch("gone", {on(key=key): 1 for key in "abc"}, unknown={(CHECKOUT, key): 1 for key in "xyz"}))

    left = []
    for _ in range(2):
        retention.apply_retention(now=NOON)
        left.append([model.objects.count() for model in (FlagUsage, FlagUsageHours, UnknownFlag, UsageSource)])

    assert left == [[1, 1, 1, 1], [0, 0, 0, 0]]


@pytest.mark.django_db
def test_fold__days_that_go_on_and_batches_that_come_late__keep_every_sum():
    large = 2**31 - 1
    for number, (day, hour, evaluations) in enumerate([
        (1, 3, large), (1, 3, 1), (2, 0, 5), (1, 23, 7), (3, 4, 9), (1, 4, 11), (2, 4, 13), (8, 0, 17), (7, 0, 19),
    ]):  # fmt: skip
        folding.fold(batch(str(number), {on(): evaluations}, at=datetime(2026, 5, day, hour, tzinfo=UTC)))

    month, hours = FlagUsageMonth.objects.get(), FlagUsageHours.objects.get()
    assert {day: total for day, total in enumerate(month.days, start=1) if total} == {
        1: large + 1 + 7 + 11, 2: 5 + 13, 3: 9,
    }  # fmt: skip
    assert (hours.day, hours.hours[0], hours.hours[24], hours.large_hours) == (date(2026, 5, 8), 19, 17, None)
    found = reading.usage(1, "new-checkout", NOON - timedelta(days=9), NOON + timedelta(days=9))
    assert sum(row.evaluations for row in found) == large + 1 + 5 + 7 + 9 + 11 + 13 + 17 + 19


@pytest.mark.django_db
def test_fold__hour_of_more_than_four_bytes__is_counted_exactly():
    for number in range(3):
        folding.fold(batch(str(number), {on(): 2**31 - 1}))

    (row,) = reading.usage(1, "new-checkout", NOON, NOON + timedelta(hours=1))
    assert row.evaluations == 3 * (2**31 - 1)
    assert FlagUsageHours.objects.get().hours is None


@pytest.mark.django_db
def test_usage__of_ten_thousand_flags__stays_under_fifty_megabytes():
    """A hundredth of it: 100 flags of three variants. `benchmarks.usage` measures the whole on the disk."""
    flags = {
        on(key=f"team-checkout-flag-{number:03}", variant=variant): 12_345
        for number in range(100)
        for variant in ("control", "treatment", "other")
    }
    for day in range(1, 5):
        folding.fold(batch(str(day), flags, at=datetime(2026, 5, day, tzinfo=UTC)))
    with connection.cursor() as cursor:
        # The bytes of live rows twice, since half of each page is free, and once of their entries in each index.
        cursor.execute("""
            SELECT sum(2 * (pg_column_size(each.*) + 4) + 24) FROM flag_usage_hours AS each
            UNION ALL SELECT sum(2 * (pg_column_size(each.*) + 4) + 24) FROM flag_usage_months AS each
            UNION ALL SELECT sum(3 * (pg_column_size(each.*) + 4) + 24) FROM flag_usage AS each
        """)
        took = sum(size for (size,) in cursor.fetchall())
        cursor.execute(
            "SELECT count(*) FROM pg_class WHERE relname LIKE 'flag_usage%' AND 'fillfactor=50' = ANY(reloptions)"
        )
        (with_room,) = cursor.fetchone()

    assert FlagUsageHours.objects.count() == FlagUsageMonth.objects.count() == 300
    assert sum(FlagUsageMonth.objects.first().days) == 2 * 12_345
    assert with_room == 3
    assert took * 100 < 50_000_000


def answer_of(variant="treatment", reason="ROLLOUT", error_code=None):
    return Answer(True, variant, reason, None, None, error_code, None, 3, False, "SPLIT", True)


@pytest.mark.django_db
def test_tally__store_away__waits_and_counts_each_once(monkeypatch):
    counting = tally.UsageTally()
    answer = answer_of()

    def count(times):
        for _ in range(times):
            try:
                counting.counted[API][1]["web"][id(answer)][0] += 1
            except KeyError:
                counting.begin(WEB, "new-checkout", answer)

    count(3)
    counting.begin(WEB, "typo\0", answer_of(None, "ERROR", "FLAG_NOT_FOUND"))
    counting.begin(WEB, "broken", answer_of(None, "ERROR", "GENERAL"))
    plain = folding.fold

    def is_lost_after_the_commit(one):
        plain(one)
        raise DatabaseError("the answer to COMMIT never came")

    monkeypatch.setattr(tally, "fold", is_lost_after_the_commit)
    with pytest.raises(DatabaseError):
        counting.flush()
    count(2)
    monkeypatch.setattr(tally, "fold", plain)
    counting.flush()
    counting.flush()

    assert counting.by_reason() == {"ROLLOUT": 5, "ERROR": 2}
    today = {row.usage.flag_key: sum(row.hours) for row in FlagUsageHours.objects.select_related("usage")}
    assert today == {"new-checkout": 5, "broken": 1}
    assert [(row.flag_key, row.evaluations) for row in UnknownFlag.objects.all()] == [("typo\ufffd", 1)]


def test_tally__many_sources__share_one_without_a_name_and_leave_when_quiet(monkeypatch):
    monkeypatch.setattr(tally, "_MOST_SOURCES", 2)
    stored = []
    monkeypatch.setattr(tally, "fold", stored.append)
    counting = tally.UsageTally()
    answer = answer_of()
    for number in range(4):
        counting.begin(Source(1, API, f"service-{number}"), "a", answer)
    held = counting.numbers_of(Source(1, API, "service-0"))
    counting.flush()
    counting.flush()
    # An evaluation that began before counts all the same.
    held[id(answer)] = [1, "a", answer]
    counting.flush()

    assert [{counted.source.service: count for counted, count in one.flags.items()} for one in stored] == [
        {"service-0": 1, "service-1": 1, "": 2},
        {"service-0": 1},
    ]
