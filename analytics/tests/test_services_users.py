"""Pseudonyms, erasure and export: what is stored of one person, and what is not."""

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from analytics import selectors
from analytics.event_records import Batch, pack
from analytics.models import Conversion, DeadLetter, Exposure, FirstExposure, FlagExposureHour
from analytics.pipeline.brokers import broker
from analytics.services import forget_user, open_phase, set_event_policy, store_events
from analytics.stores import store
from analytics.testing import empty_stream
from analytics.tests.conftest import ACTOR, NOON, conversion, converted, exposure
from audit.chain import verify
from audit.models import Entry
from tenancy.errors import Conflict
from tenancy.models import Environment

END = NOON + timedelta(days=1)
HOUR = timedelta(hours=1)


def _meet(environment: Environment, *units: str) -> None:
    for unit in units:
        store_events(
            Batch(
                [exposure(environment.pk, unit, "control"), exposure(environment.pk, unit, "control", NOON + HOUR)],
                [conversion(environment.pk, unit, NOON + HOUR)],
            )
        )


def _figures(environment: Environment) -> tuple[Any, ...]:
    binary = converted(environment.pk, NOON, END)
    flag = selectors.flag_exposures(environment.pk, "new-checkout", None, None)
    return *binary["control"][:2], flag["control"].exposures, flag["control"].users


def _set(environment: Environment, **changes: Any) -> None:
    set_event_policy(
        actor=ACTOR, environment=environment, **{"retention_days": None, "stores_pseudonyms": False, **changes}
    )


def test_pseudonyms__from_the_start__join_like_ids_and_show_none(environment: Environment) -> None:
    _set(environment, stores_pseudonyms=True)
    _meet(environment, "alice", "bob")
    assert _figures(environment) == (2, 2, 4, 2)
    stored = {row.unit_id for row in [*Exposure.objects.all(), *Conversion.objects.all(), *FirstExposure.objects.all()]}
    assert len(stored) == 2
    assert all(len(unit) == 64 for unit in stored)


def test_pseudonyms__turned_on_later__join_old_events_with_new_ones(environment: Environment) -> None:
    _meet(environment, "alice", "bob")
    _set(environment, stores_pseudonyms=True)
    _meet(environment, "alice", "carol")
    assert _figures(environment) == (3, 3, 8, 3)
    assert not Exposure.objects.filter(unit_id="alice").exists()


def test_pseudonyms__differ_between_environments(environment: Environment, other_environment: Environment) -> None:
    for one in (environment, other_environment):
        _set(one, stores_pseudonyms=True)
        _meet(one, "alice")
    assert Exposure.objects.values("unit_id").distinct().count() == 2


def test_pseudonyms__turned_off_again__is_refused(environment: Environment) -> None:
    _set(environment, stores_pseudonyms=True)
    with pytest.raises(Conflict):
        _set(environment)


def test_policy__changed__is_audited_without_the_key(environment: Environment) -> None:
    _set(environment, stores_pseudonyms=True, retention_days=30)
    entry = Entry.objects.get(action="events.policy_changed")
    assert entry.after == {"retentionDays": 30, "pseudonyms": True, "exposureAttributes": None}


@pytest.mark.parametrize("stores_pseudonyms", [False, True])
def test_forgotten_user__is_nowhere_and_the_others_are_as_before(
    environment: Environment, other_environment: Environment, stores_pseudonyms: bool
) -> None:
    _set(environment, stores_pseudonyms=stores_pseudonyms)
    _meet(environment, "bob")
    without = _figures(environment)
    _meet(environment, "alice")
    _meet(other_environment, "alice")
    DeadLetter.objects.create(
        environment_id=environment.pk,
        kind="exposure",
        reason="r",
        payload=pack(Batch([exposure(environment.pk, "alice", "x")])),
    )
    erased = forget_user(actor=ACTOR, organization=environment.project.organization, user_id="alice")
    assert (erased.exposures, erased.conversions) == (2, 1)
    assert _figures(environment) == without
    assert DeadLetter.objects.count() == 0
    assert Exposure.objects.filter(environment_id=environment.pk).count() == 2
    assert FirstExposure.objects.filter(environment_id=environment.pk).count() == 1
    assert sum(row.exposures for row in FlagExposureHour.objects.filter(environment_id=environment.pk)) == 2
    # Another tenant's user of the same name is somebody else.
    assert _figures(other_environment) == (1, 1, 2, 1)


def test_forgotten_user__leaves_a_sound_audit_chain_without_the_id(environment: Environment) -> None:
    _meet(environment, "alice")
    forget_user(actor=ACTOR, organization=environment.project.organization, user_id="alice")
    entry = Entry.objects.get(action="user.forgotten")
    assert "alice" not in json.dumps([entry.entity_key, entry.after, entry.before])
    assert entry.after == {"exposures": 2, "conversions": 1, "deadLetters": 0}
    assert not verify(environment.project.organization_id).broken


def test_forgotten_user__seen_again__counts_as_new(environment: Environment) -> None:
    open_phase(environment_id=environment.pk, experiment="checkout-test", started_at=NOON)
    _meet(environment, "alice", "bob")
    forget_user(actor=ACTOR, organization=environment.project.organization, user_id="alice")
    _meet(environment, "alice")
    assert _figures(environment) == (2, 2, 4, 2)


def test_command__exports_then_erases(environment: Environment, tmp_path: Path) -> None:
    _meet(environment, "alice", "bob")
    file = tmp_path / "alice.jsonl"
    call_command("forget_user", "--organization=acme", "--user-id=alice", f"--export={file}")
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    assert [line["table"] for line in lines] == ["exposures", "exposures", "conversions"]
    assert {line["unit_id"] for line in lines} == {"alice"}
    assert not Exposure.objects.filter(unit_id="alice").exists()
    assert Entry.objects.filter(action__in=["user.exported", "user.forgotten"]).count() == 2


def test_command__events_still_on_their_way__is_refused(environment: Environment) -> None:
    broker().append([pack(Batch([exposure(environment.pk, "alice", "control")]))])
    with pytest.raises(CommandError, match="still not stored"):
        call_command("forget_user", "--organization=acme", "--user-id=alice", "--wait-seconds=0")
    empty_stream()


def test_command__organization_that_is_not_there__is_refused(db: None) -> None:
    with pytest.raises(CommandError):
        call_command("forget_user", "--organization=nobody", "--user-id=alice")


def test_hmac_in_postgresql__is_the_one_in_python(environment: Environment) -> None:
    _meet(environment, "älice \U0001f600")
    store().make_pseudonymous(environment.pk, b"k" * 32)
    from analytics.enrichment.enrichment import pseudonym  # noqa: PLC0415 - this test alone

    assert Exposure.objects.values_list("unit_id", flat=True).distinct().get() == pseudonym(
        b"k" * 32, "älice \U0001f600"
    )
