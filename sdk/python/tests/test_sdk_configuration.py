"""What a client applies, in which order, and when it calls its answers stale."""

from __future__ import annotations

import hashlib
import hmac
import json
from typing import Any

import pytest
from documents import snapshot
from openflagship.client.following.announcements import MOST_WAITING
from openflagship.client.following.configuration import (
    Configuration,
    ResyncNeededError,
    SnapshotError,
    check_signature,
    parse_snapshot,
)
from openflagship.client.transport.sse import ServerEvent
from openflagship.engine import CompiledEnvironment, Context
from sdk_fixtures import treatment


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def configuration(clock: Clock) -> Configuration:
    made = Configuration(120.0, clock=clock)
    made.replace(CompiledEnvironment.from_document(snapshot(treatment())), '"7"')
    return made


def event(version: int | None, flag: dict[str, Any], kind: str = "flag_updated") -> ServerEvent:
    return ServerEvent(kind, json.dumps(flag), None if version is None else str(version))


def value(configuration: Configuration, key: str = "asked") -> Any:
    return configuration.environment.evaluate(key, Context("user-1")).value


def test_apply__events_after_the_version__are_one_new_environment(configuration: Configuration) -> None:
    heard: list[frozenset[str] | None] = []
    configuration.announcer.listen(lambda keys, _environment: heard.append(keys))
    changed = configuration.apply([event(8, treatment(enabled=False)), event(9, treatment("other"))])

    assert changed
    assert (configuration.version, value(configuration), value(configuration, "other")) == (9, False, True)
    assert heard == []
    configuration.announcer.deliver()
    assert heard == [frozenset({"asked", "other"})]


def test_apply__events_that_were_had__change_nothing(configuration: Configuration) -> None:
    before = configuration.environment

    assert not configuration.apply([event(7, treatment(enabled=False)), event(3, treatment(enabled=False))])
    assert configuration.environment is before


def test_apply__a_deleted_flag__is_gone(configuration: Configuration) -> None:
    configuration.apply([event(8, {"key": "asked", "deleted": True}, "flag_archived")])

    assert configuration.environment.evaluate("asked", Context("user-1")).error_code == "FLAG_NOT_FOUND"


def test_apply__a_segment__is_seen_by_the_flags_that_ask_for_it(configuration: Configuration) -> None:
    rule = {"id": "r", "priority": 1, "conditions": [{"operator": "in_segment", "value": ["beta"]}]}
    configuration.apply([event(8, treatment(allocation=[], rules=[{**rule, "variant": "treatment"}]))])
    before = value(configuration)
    configuration.apply([event(9, {"key": "beta", "included": ["user-1"]}, "segment_updated")])

    assert (before, value(configuration)) == (False, True)


def test_apply__a_kill_ahead_of_its_turn__is_obeyed_and_not_undone(
    configuration: Configuration,
) -> None:
    kill = treatment(killSwitchVariant="control")
    configuration.apply([event(None, kill, "kill_switch")])
    after_kill = (configuration.version, value(configuration))
    configuration.apply([event(8, treatment(name="edited before the kill"))])
    between = (configuration.version, value(configuration))
    configuration.apply([event(9, kill, "kill_switch")])
    killed = (configuration.version, value(configuration))
    configuration.apply([event(10, treatment(), "kill_switch")])

    assert after_kill == (7, False)
    assert between == (8, False)
    assert killed == (9, False)
    assert (configuration.version, value(configuration)) == (10, True)


@pytest.mark.parametrize("data", ["no json", "[]", '{"no": "key"}', '{"key": 7}'])
def test_apply__an_event_that_cannot_be_read__asks_for_the_whole(configuration: Configuration, data: str) -> None:
    with pytest.raises(ResyncNeededError):
        configuration.apply([ServerEvent("flag_updated", data, "8")])
    assert value(configuration) is True


@pytest.mark.parametrize("data", ["{}", "no json", ""])
def test_apply__an_event_of_a_kind_not_known__is_passed_over_and_its_id_noted(
    configuration: Configuration, data: str
) -> None:
    passed_on: list[ServerEvent] = []
    configuration.tap = lambda events: passed_on.extend(events or [])
    configuration.apply([ServerEvent("moon_phase", data, "8"), ServerEvent("moon_phase", data, "full")])

    assert (configuration.version, value(configuration)) == (8, True)
    assert [event.id for event in passed_on] == ["8"]


def test_apply__an_earlier_snapshot_from_the_stream__is_taken(configuration: Configuration) -> None:
    document = snapshot(treatment(enabled=False), version=3)
    configuration.apply([ServerEvent("snapshot", json.dumps(document), "3")])

    assert (configuration.version, value(configuration)) == (3, False)


def test_replace__an_earlier_snapshot_that_was_fetched__is_passed_over(configuration: Configuration) -> None:
    configuration.replace(CompiledEnvironment.from_document(snapshot(version=6)))

    assert configuration.version == 7


def test_staleness__no_word_for_the_limit__is_marked_until_the_next_word(
    configuration: Configuration, clock: Clock
) -> None:
    clock.now += 119
    assert not configuration.check_staleness()
    clock.now += 2
    assert configuration.check_staleness()
    stale = configuration.environment.evaluate("asked", Context("user-1"))
    configuration.confirm()
    fresh = configuration.environment.evaluate("asked", Context("user-1"))

    assert (stale.stale, stale.value, fresh.stale) == (True, True, False)


def test_listener__that_raises__does_not_stop_the_others(
    configuration: Configuration, caplog: pytest.LogCaptureFixture
) -> None:
    heard: list[int] = []

    def fail(_keys: frozenset[str] | None, _environment: CompiledEnvironment) -> None:
        raise ZeroDivisionError

    configuration.announcer.listen(fail)
    configuration.announcer.listen(lambda _keys, environment: heard.append(environment.version))
    configuration.apply([event(8, treatment(enabled=False))])
    configuration.announcer.deliver()

    assert value(configuration) is False
    assert heard == [8]
    assert "listener" in caplog.text


def test_announcer__that_nobody_runs__keeps_a_bounded_number_and_loses_no_flag(configuration: Configuration) -> None:
    heard: list[tuple[frozenset[str] | None, int]] = []
    states: list[str] = []
    configuration.announcer.listen(lambda keys, environment: heard.append((keys, environment.version)))
    configuration.announcer.listen_to_connection(states.append)
    configuration.announcer.connection_is("streaming")
    configuration.announcer.connection_is("refused")
    for version in range(8, 8 + MOST_WAITING + 10):
        configuration.announcer.changed(frozenset({f"flag-{version}"}), configuration.environment)
    configuration.announcer.deliver()

    assert len(heard) <= MOST_WAITING
    assert heard[0] == (None, 7)
    assert states == ["refused"]


@pytest.mark.parametrize(("sender_age", "is_stale"), [(0, False), (119, False), (121, True)])
def test_staleness__a_sender_that_hears_nothing_itself__counts_from_its_own_silence(
    configuration: Configuration, clock: Clock, sender_age: float, is_stale: bool
) -> None:
    configuration.confirm(sender_age)
    assert configuration.environment.stale is is_stale
    clock.now += 2
    configuration.check_staleness()

    assert configuration.environment.stale is (sender_age >= 119)
    assert configuration.age_seconds == sender_age + 2
    configuration.confirm()
    assert not configuration.environment.stale


@pytest.mark.parametrize("body", [b"", b"[]", b'{"version": 1}', b'{"contract": 99, "version": 1}', b"[" * 100_000])
def test_parse_snapshot__what_is_none__is_refused(body: bytes) -> None:
    with pytest.raises(SnapshotError):
        parse_snapshot(body)


def test_check_signature__the_bodys_hmac__passes_and_nothing_else() -> None:
    body = b'{"version": 1}'
    good = "sha256=" + hmac.new(b"secret", body, hashlib.sha256).hexdigest()
    check_signature(body, "secret", good)
    check_signature(body, "secret", "sha256=that of a newer secret", good)
    for signature, secret in ((good, "other"), ("", "secret"), (good[:-1] + "é", "secret"), ("sha256=", "secret")):
        with pytest.raises(SnapshotError):
            check_signature(body, secret, signature)
