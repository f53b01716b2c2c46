"""Retention: raw events go by partition or by environment, what was counted from them stays."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from django.core.management import call_command

from analytics import selectors, tasks
from analytics.event_records import Batch
from analytics.models import EventPolicy, Exposure, FlagExposureHour
from analytics.selectors import Period
from analytics.services import apply_retention, forget_user, set_event_policy, store_events
from analytics.stores.postgres import partitions
from analytics.tests.conftest import ACTOR, conversion, exposure
from audit.models import Entry
from tenancy.errors import Invalid
from tenancy.models import Environment

NOW = datetime.now(UTC)


def _at(days: int) -> datetime:
    return NOW.replace(hour=11, minute=20, second=0, microsecond=0) - timedelta(days=days)


def _meet(environment: Environment, *days: int) -> None:
    for day in days:
        store_events(
            Batch(
                [exposure(environment.pk, f"user-{day}", "control", _at(day))],
                [conversion(environment.pk, f"user-{day}", _at(day))],
            )
        )


def _kept(environment: Environment) -> set[str]:
    return set(Exposure.objects.filter(environment_id=environment.pk).values_list("unit_id", flat=True))


def test_old_partitions__are_dropped_and_counts_stay(environment: Environment) -> None:
    _meet(environment, 150, 120, 30, 1)
    before = selectors.flag_exposures(environment.pk, "new-checkout", None, None)
    weeks = len(partitions.existing("exposures"))
    dropped = apply_retention(actor=ACTOR)
    assert _kept(environment) == {"user-30", "user-1"}
    assert len(partitions.existing("exposures")) == weeks - 2
    assert {step.whose for step in dropped} == {"all"}
    assert selectors.flag_exposures(environment.pk, "new-checkout", None, None) == before
    assert selectors.exposure_summary(Period(environment.pk, "checkout-test", _at(200), NOW)).users == {"control": 4}
    assert apply_retention(actor=ACTOR) == []


@pytest.mark.parametrize("days", [0, 1, 7, 36_501, -5])
def test_policy__fewer_days_than_an_analysis_needs__is_refused(environment: Environment, days: int) -> None:
    with pytest.raises(Invalid, match="8 to 36,500 days") as refused:
        set_event_policy(actor=ACTOR, environment=environment, retention_days=days, stores_pseudonyms=False)

    assert refused.value.problems[0].attr == "retentionDays"
    assert not EventPolicy.objects.filter(environment=environment).exists()


def test_hours_beyond_retention__become_days(environment: Environment) -> None:
    _meet(environment, 120, 1)
    apply_retention(actor=ACTOR)
    hours = sorted(row.hour for row in FlagExposureHour.objects.all())
    assert hours == [_at(120).replace(hour=0, minute=0), _at(1).replace(minute=0)]
    found = selectors.flag_exposures(environment.pk, "new-checkout", _at(120), None)
    assert found["control"] == selectors.FlagExposures(exposures=2, users=2)


def test_hours_of_an_environment_that_keeps_more__stay_while_its_events_do(environment: Environment) -> None:
    set_event_policy(actor=ACTOR, environment=environment, retention_days=365, stores_pseudonyms=False)
    _meet(environment, 120)
    apply_retention(actor=ACTOR)
    assert selectors.flag_exposures(environment.pk, "new-checkout", _at(121), None)["control"].exposures == 1
    forget_user(actor=ACTOR, organization=environment.project.organization, user_id="user-120")
    assert selectors.flag_exposures(environment.pk, "new-checkout", _at(121), None) == {}


def test_environment__that_keeps_less__loses_its_own_rows_alone(
    environment: Environment, other_environment: Environment
) -> None:
    set_event_policy(actor=ACTOR, environment=environment, retention_days=20, stores_pseudonyms=False)
    for one in (environment, other_environment):
        _meet(one, 60, 30, 10)
    apply_retention(actor=ACTOR)
    assert _kept(environment) == {"user-10"}
    assert _kept(other_environment) == {"user-60", "user-30", "user-10"}


def test_environment__that_keeps_more__holds_everybodys_partitions_but_not_their_rows(
    environment: Environment, other_environment: Environment
) -> None:
    set_event_policy(actor=ACTOR, environment=environment, retention_days=365, stores_pseudonyms=False)
    for one in (environment, other_environment):
        _meet(one, 120, 1)
    apply_retention(actor=ACTOR)
    assert _kept(environment) == {"user-120", "user-1"}
    assert _kept(other_environment) == {"user-1"}


def test_ids_that_are_no_uuid7__go_by_when_they_happened(environment: Environment) -> None:
    for days in (120, 1):
        old = exposure(
            environment.pk,
            f"user-{days}",
            "control",
            _at(days),
            evaluation_id=UUID(f"e677d220-0000-4000-8000-{days:012}"),
        )
        store_events(Batch([old]))
    apply_retention(actor=ACTOR)
    assert _kept(environment) == {"user-1"}


def test_dry_run__says_what_would_go_and_lets_nothing_go(
    environment: Environment, capsys: pytest.CaptureFixture[str]
) -> None:
    _meet(environment, 120, 1)
    call_command("events", "retention", "--dry-run")
    assert "exposures_from_" in capsys.readouterr().out
    assert len(_kept(environment)) == 2
    assert not EventPolicy.objects.exists()
    assert not Entry.objects.filter(action="events.retention_applied").exists()


def test_tasks__make_partitions_and_let_old_ones_go(environment: Environment) -> None:
    _meet(environment, 120)
    tasks.make_partitions()
    assert tasks.make_partitions() == []
    assert any("exposures" in step for step in tasks.apply_retention())
    assert Entry.objects.get(action="events.retention_applied").actor_kind == "system"
    assert tasks.find_fast_bots() == 0
