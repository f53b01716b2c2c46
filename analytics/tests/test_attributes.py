"""Attributes beside the server's own exposures: the few that are named, made JSON by the thread that sends them."""

import json
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import OperationalError
from openflagship.ids import uuid7

from analytics.enrichment import attributes
from analytics.enrichment.attributes import WantedAttributes
from analytics.event_records import unpack
from analytics.models import EventPolicy
from analytics.pipeline import exposure_buffer
from analytics.pipeline.brokers import broker
from analytics.pipeline.brokers.base import BrokerAwayError
from analytics.pipeline.exposure_buffer import ExposureBuffer
from analytics.services import set_event_policy
from analytics.tests.conftest import ACTOR
from audit.models import Entry
from tenancy.errors import Invalid
from tenancy.models import Environment

# An environment that no policy is about.
ANOTHER = 999_001
SENT = {"country": "DE", "plan": "pro", "email": "a@example.com", "tier": 3}


@pytest.fixture
def wanted(monkeypatch: pytest.MonkeyPatch) -> WantedAttributes:
    """The test's own names, which the buffer's thread does not read again behind its back."""
    made = WantedAttributes()
    monkeypatch.setattr(made, "refresh", lambda: None)
    monkeypatch.setattr(exposure_buffer, "WANTED", made)
    return made


@pytest.fixture
def published(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    found: list[bytes] = []
    monkeypatch.setattr(broker(), "append", lambda packed, **_: found.extend(packed))
    return found


@pytest.fixture
def exposures() -> Iterator[ExposureBuffer]:
    made = ExposureBuffer(capacity=5000, flush_seconds=0.02)
    yield made
    made.close(timeout=0.1)


def _add(exposures: ExposureBuffer, sent: Any, *, experiment: str | None = "e1") -> None:
    names = ("new-checkout", "alice", "treatment", "EXPERIMENT", None, experiment)
    exposures.add(1, uuid7(), *names, 7, 1_700_000_000_000, "api", None, sent)


def _kept(published: list[bytes]) -> list[Any]:
    return [event.attributes for packed in published for event in unpack(packed).exposures]


def _text(found: WantedAttributes, sent: Any, experiment: str | None = None) -> Any:
    text = found.text_of(ANOTHER, experiment, sent)
    return None if text is None else json.loads(text)


def test_attributes__nothing_chosen__are_the_contracts_own_coarse_ones(wanted: WantedAttributes) -> None:
    assert _text(wanted, SENT) == {"country": "DE", "plan": "pro"}
    assert _text(wanted, {"email": "a@example.com"}) is None


def test_attributes__an_experiment_names__come_beside_its_environments(environment: Environment) -> None:
    found = WantedAttributes()
    found.also_from(lambda: {(ANOTHER, "e1"): ["tier"], (environment.pk, "e2"): ["tier"]})
    set_event_policy(
        actor=ACTOR, environment=environment, retention_days=None, stores_pseudonyms=False, exposure_attributes=[]
    )
    found.read()
    assert _text(found, SENT, "e1") == {"country": "DE", "plan": "pro", "tier": 3}
    assert _text(found, SENT, "another") == {"country": "DE", "plan": "pro"}
    assert found.text_of(environment.pk, "e2", SENT) == '{"tier":3}'
    assert found.text_of(environment.pk, None, SENT) is None


@pytest.mark.parametrize(
    "value",
    [None, {"nested": 1}, "x" * 257, "zero\x00", float("nan"), [1] * 21, [["nested"]], 2**70, "\ud800"],
    ids=str,
)
def test_attribute__that_could_not_be_stored__is_left_out(wanted: WantedAttributes, value: Any) -> None:
    assert wanted.text_of(1, None, {"country": value}) is None


@pytest.mark.parametrize("value", ["", "DE", 0, 1.5, False, ["a", 1], 2**60])
def test_attribute__that_conditions_see__is_kept(wanted: WantedAttributes, value: Any) -> None:
    assert _text(wanted, {"country": value}) == {"country": value}


def test_buffer__context_with_attributes__sends_the_named_ones(
    wanted: WantedAttributes, published: list[bytes], exposures: ExposureBuffer
) -> None:
    for sent in (SENT, {}, {"email": "a@example.com"}, None):
        _add(exposures, sent)
    assert exposures.flush(timeout=90)
    assert _kept(published) == ['{"country":"DE","plan":"pro"}', None, None, None]


@pytest.fixture
def waiting(wanted: WantedAttributes) -> ExposureBuffer:
    """Its thread never starts, as if Redis kept it waiting; the names were asked for."""
    wanted.was_read = True
    made = ExposureBuffer()
    made._thread, made._capacity = threading.Thread(), 5000
    return made


def _waiting(exposures: ExposureBuffer) -> list[Any]:
    return [row[exposure_buffer._ATTRIBUTES] for row in exposures._queue]


def test_buffer__thread_kept_waiting__holds_few_whole_contexts(waiting: ExposureBuffer) -> None:
    for _ in range(500):
        _add(waiting, dict(SENT))
    held = _waiting(waiting)
    assert sum(isinstance(kept, dict) for kept in held) == exposure_buffer._MOST_WAITING_CONTEXTS
    assert set(held[exposure_buffer._MOST_WAITING_CONTEXTS :]) == {'{"country":"DE","plan":"pro"}'}


def test_buffer__redis_away__sends_what_it_held_once_it_is_back(
    wanted: WantedAttributes, exposures: ExposureBuffer, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted.was_read = True
    is_away, found = threading.Event(), []

    def append(packed: Any, **_: Any) -> None:
        if is_away.is_set():
            raise BrokerAwayError("gone")
        found.extend(packed)

    monkeypatch.setattr(broker(), "append", append)
    is_away.set()
    for _ in range(3000):
        _add(exposures, dict(SENT))
    is_away.clear()
    assert exposures.flush(timeout=60)
    assert _kept(found) == ['{"country":"DE","plan":"pro"}'] * 3000


def test_buffer__many_wait__the_longest_texts_are_let_go(
    waiting: ExposureBuffer, monkeypatch: pytest.MonkeyPatch
) -> None:
    long = {"country": ["x" * 200] * 5}
    monkeypatch.setattr(exposure_buffer, "_WAITING_TEXT_BUDGET", 1_100_000)
    for _ in range(900):
        _add(waiting, dict(long))
    for _ in range(300):
        _add(waiting, dict(long))
        _add(waiting, dict(SENT))
    held = _waiting(waiting)
    assert None not in held[:900]
    assert set(held[1200::2]) == {None}
    assert None not in held[901::2]


def test_buffer__all_flags_of_one_request__hold_one_context(waiting: ExposureBuffer) -> None:
    sent = dict(SENT)
    for _ in range(300):
        _add(waiting, sent)
    assert {id(kept) for kept in _waiting(waiting)} == {id(sent)}


def test_buffer__names_not_asked_for_yet__keeps_none_beyond_the_few(
    wanted: WantedAttributes, waiting: ExposureBuffer
) -> None:
    wanted.was_read = False
    for _ in range(exposure_buffer._MOST_WAITING_CONTEXTS + 3):
        _add(waiting, dict(SENT))
    assert [kept is None for kept in _waiting(waiting)] == [False] * exposure_buffer._MOST_WAITING_CONTEXTS + [True] * 3
    assert waiting._wake.is_set()


def test_names__postgresql_away__are_those_known_before(monkeypatch: pytest.MonkeyPatch, db: None) -> None:
    found = WantedAttributes()
    found.also_from(lambda: {(ANOTHER, "e1"): ["tier"]})
    found.read()

    def away() -> None:
        raise OperationalError("gone")

    monkeypatch.setattr(found, "read", away)
    monkeypatch.setattr(attributes.connection, "close", lambda: None)
    found.refresh(force=True)
    assert _text(found, SENT, "e1") == {"country": "DE", "plan": "pro", "tier": 3}


def test_names__are_read_again_after_a_while_and_not_before(monkeypatch: pytest.MonkeyPatch) -> None:
    found, reads, clock = WantedAttributes(), [], [1000.0]
    monkeypatch.setattr(found, "read", lambda: reads.append(clock[0]))
    monkeypatch.setattr(attributes.time, "monotonic", lambda: clock[0])
    monkeypatch.setattr(attributes.connection, "close", lambda: None)
    for moment in (1000.0, 1000.0 + attributes.REFRESH_SECONDS / 2, 1000.0 + attributes.REFRESH_SECONDS):
        clock[0] = moment
        found.refresh()
    assert reads == [1000.0, 1000.0 + attributes.REFRESH_SECONDS]


@pytest.mark.parametrize("names", [["userId"], [""], ["x" * 101], [str(number) for number in range(21)]])
def test_policy__names_nobody_should_keep__are_refused(environment: Environment, names: list[str]) -> None:
    with pytest.raises(Invalid):
        set_event_policy(
            actor=ACTOR,
            environment=environment,
            retention_days=None,
            stores_pseudonyms=False,
            exposure_attributes=names,
        )
    assert not Entry.objects.filter(action="events.policy_changed").exists()


def test_policy_command__changes_what_it_is_told_and_says_the_rest(environment: Environment, capsys: Any) -> None:
    path = f"{environment.project.organization.slug}/{environment.project.key}/{environment.key}"
    call_command("events", "policy", path, "--attributes", "country, tier", "--retention-days", "30")
    call_command("events", "policy", path)
    said = capsys.readouterr().out.splitlines()
    assert said[3:] == [
        "Raw events: 30 days",
        "Users: by their ids",
        "Attributes of the server's exposures: country, tier",
    ]
    call_command("events", "policy", path, "--attributes", "none", "--pseudonyms")
    policy = EventPolicy.objects.get()
    assert (policy.exposure_attributes, policy.retention_days, policy.pseudonym_key is not None) == ([], 30, True)
    call_command("events", "policy", path, "--attributes", "default", "--retention-days", "0")
    policy.refresh_from_db()
    assert (policy.exposure_attributes, policy.retention_days, policy.pseudonym_key is not None) == (None, None, True)
    with pytest.raises(CommandError, match="There is no environment"):
        call_command("events", "policy", "nowhere")
