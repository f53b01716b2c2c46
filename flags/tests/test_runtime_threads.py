"""A running process: hears within moments, polls when it cannot hear, starts from Redis, and survives a fork."""

import os
import time
from contextlib import contextmanager

import orjson
import pytest
from django.db import OperationalError, connection
from django.utils import timezone
from openflagship.engine import Context
from redis.exceptions import ConnectionError as RedisConnectionError

from flags import services
from flags.models import Change
from flags.propagation import cold_start_copy, publishing
from flags.propagation.listener import _with_those_behind
from flags.propagation.publishing import CHANNEL, client
from flags.propagation.runtime import RUNTIME, Runtime
from flags.versions import loading
from flags.versions.loading import load_document
from tenancy import services as tenancy
from tenancy.authentication.keyring import KEYRING
from tenancy.models import Credential
from tenancy.testing import ALICE

pytestmark = pytest.mark.django_db(transaction=True)
# Less than a poll where a test sets that to 600 s, so that what arrives was heard.
SECONDS = 90


def until(condition):
    deadline = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.005)


@pytest.fixture
def runtime(environment, make_flag):
    made = Runtime()
    yield made
    made.stop(SECONDS)


@pytest.fixture
def no_redis(settings, tmp_path, embedded_servers):
    """Point at a Redis that is away; a session in the folder returned brings it back."""
    settings.REDIS_URL = embedded_servers.redis_url(tmp_path)
    return tmp_path


@contextmanager
def _database_away(monkeypatch):
    def away(*_arguments):
        raise OperationalError("away")

    with monkeypatch.context() as outage:
        outage.setattr(loading, "current_versions", away)
        yield


def _reason(runtime, environment, key="a"):
    return runtime.environments[environment.pk].evaluate(key, Context("user-1", {})).reason


def test_start__works(runtime, environment, make_flag):
    make_flag("a")

    runtime.start()

    assert runtime.is_ready
    assert runtime.age_seconds < SECONDS
    assert runtime.environments[environment.pk].version == 1
    until(lambda: runtime.is_redis_there and runtime.is_database_there)


def test_listener__a_burst__is_applied_together(runtime, environment, make_flag, settings):
    settings.POLL_SECONDS = 600
    for number in range(3):
        make_flag(f"flag-{number}")
    runtime.start()
    until(lambda: runtime.is_redis_there)
    announced = []
    runtime.observe(lambda _pk, steps, _ahead: announced.append([step.version for step in steps]))
    changes = []
    for number in range(40):
        change = Change(
            environment=environment, version=4 + number, kind="flag_updated", entity="flag", key=f"flag-{number % 3}"
        )
        change.document, change.created_at = load_document(environment.pk)["flags"][change.key], timezone.now()
        changes.append(change)

    # Whoever applies the first of them waits until all are there.
    with runtime._applying:
        publishing.publish_changes(changes)

    until(lambda: runtime.environments[environment.pk].version == 43)
    assert [version for together in announced for version in together] == list(range(4, 44))
    assert len(announced) <= 3


def test_listener__connection_ends_behind_a_message__the_message_is_kept():
    class Ending:
        """A subscription whose connection breaks once all is read."""

        def __init__(self):
            self.connection, self.left = self, [{"type": "message", "data": b"second"}]

        def can_read(self, timeout):
            assert timeout == 0
            if not self.left:
                raise RedisConnectionError("gone")
            return True

        def get_message(self, timeout):
            assert timeout > 0
            return self.left.pop()

    assert _with_those_behind(b"first", Ending()) == [b"first", b"second"]


def test_listener__without_a_poll__hears_a_kill_and_its_release(runtime, environment, make_flag, settings):
    settings.POLL_SECONDS = 600
    make_flag("a")
    runtime.start()
    until(lambda: runtime.is_redis_there)

    services.kill_flag(actor=ALICE, environment=environment, key="a")
    until(lambda: _reason(runtime, environment) == "KILL_SWITCH")
    services.release_flag(actor=ALICE, environment=environment, key="a")
    until(lambda: _reason(runtime, environment) == "DEFAULT")


def test_listener__database_away__still_hears_a_kill(runtime, environment, make_flag, monkeypatch):
    make_flag("a")
    runtime.start()
    until(lambda: runtime.is_redis_there)
    with _database_away(monkeypatch):
        until(lambda: not runtime.is_database_there)

        services.kill_flag(actor=ALICE, environment=environment, key="a")

        until(lambda: _reason(runtime, environment) == "KILL_SWITCH")


@pytest.mark.parametrize("junk", [b"", b"{}", b"[1]", b'{"kind": "flag_updated"}', b"\xff"])
def test_listener__junk_on_the_channel__is_passed_over(runtime, environment, make_flag, settings, junk):
    settings.POLL_SECONDS = 600
    make_flag("a")
    runtime.start()
    until(lambda: runtime.is_redis_there)

    client().publish(CHANNEL, junk)
    services.kill_flag(actor=ALICE, environment=environment, key="a")

    until(lambda: _reason(runtime, environment) == "KILL_SWITCH")


def test_listener__a_step_was_lost__the_database_is_asked_at_once(
    runtime, environment, make_flag, settings, monkeypatch
):
    settings.POLL_SECONDS = 600
    make_flag("a")
    runtime.start()
    until(lambda: runtime.is_redis_there)
    with monkeypatch.context() as lossy:
        lossy.setattr(publishing, "publish_changes", lambda changes: None)
        make_flag("lost")
    client().hset(publishing.PUBLISHED, str(environment.pk), 2)

    make_flag("b")

    until(lambda: runtime.environments[environment.pk].version == 3)
    assert _reason(runtime, environment, "lost") == "DEFAULT"


def test_keyring__a_credential_is_revoked__is_refused_before_the_next_poll(runtime, environment, key, settings):
    settings.POLL_SECONDS = 600
    caller = key()
    runtime.start()
    until(lambda: runtime.is_redis_there)
    assert KEYRING.find(caller.secret)
    tenancy.revoke_credential(actor=ALICE, credential=Credential.objects.get())

    until(lambda: KEYRING.find(caller.secret) is None)


def test_poll__redis_away_comes_and_goes__changes_arrive_all_along(
    runtime, environment, make_flag, no_redis, embedded_servers
):
    make_flag("a")
    runtime.start()
    assert not runtime.is_redis_there

    services.kill_flag(actor=ALICE, environment=environment, key="a")
    until(lambda: _reason(runtime, environment) == "KILL_SWITCH")

    with embedded_servers.session(no_redis, fsync=False, with_postgres=False):
        until(lambda: runtime.is_redis_there)
        services.release_flag(actor=ALICE, environment=environment, key="a")
        until(lambda: _reason(runtime, environment) == "DEFAULT")
        until(lambda: cold_start_copy.load().documents.get(environment.pk, {}).get("version") == 3)

    until(lambda: not runtime.is_redis_there)
    services.kill_flag(actor=ALICE, environment=environment, key="a")
    until(lambda: _reason(runtime, environment) == "KILL_SWITCH")


def test_start__database_away__serves_from_the_cold_start_copy(runtime, environment, make_flag, key, monkeypatch):
    make_flag("a")
    services.kill_flag(actor=ALICE, environment=environment, key="a")
    caller = key()
    runtime.refresh()
    runtime._poller.poll()
    revision = KEYRING.revision
    KEYRING.restore(-1, [])

    with _database_away(monkeypatch):
        runtime = Runtime()
        runtime.start()
        try:
            assert runtime.is_ready
            assert _reason(runtime, environment) == "KILL_SWITCH"
            assert KEYRING.find(caller.secret).environment_id == environment.pk
            assert KEYRING.revision == revision
        finally:
            runtime.stop(SECONDS)


def test_start__cold_start_copy_is_behind__a_kill_is_obeyed_all_the_same(runtime, environment, make_flag, monkeypatch):
    make_flag("a")
    runtime.refresh()
    runtime._poller.poll()
    client().hset(publishing.cold_start_copy_key(environment.pk), "@version", 0)
    services.kill_flag(actor=ALICE, environment=environment, key="a")

    with _database_away(monkeypatch):
        cold = Runtime()
        cold.start()
        cold.stop(SECONDS)

    assert _reason(cold, environment) == "KILL_SWITCH"


def test_poll__a_kill_was_missed_and_the_database_is_away__is_taken_from_redis(
    runtime, environment, make_flag, monkeypatch
):
    make_flag("a")
    make_flag("b")
    runtime.refresh()
    runtime._poller.poll()
    services.update_flag(actor=ALICE, environment=environment, key="b", payload={"enabled": False}, version=None)
    services.kill_flag(actor=ALICE, environment=environment, key="a")

    with _database_away(monkeypatch):
        runtime._poller.poll()

    assert runtime.environments[environment.pk].version == 4
    assert _reason(runtime, environment) == "KILL_SWITCH"
    assert _reason(runtime, environment, "b") == "DISABLED"


def test_poll__the_copy_is_behind_too__the_kill_is_obeyed_and_the_rest_follows(
    runtime, environment, make_flag, monkeypatch
):
    make_flag("a")
    runtime.refresh()
    runtime._poller.poll()
    services.update_flag(actor=ALICE, environment=environment, key="a", payload={"enabled": False}, version=None)
    services.kill_flag(actor=ALICE, environment=environment, key="a")
    client().delete(publishing.cold_start_copy_key(environment.pk), publishing.recent_steps_key(environment.pk))

    with _database_away(monkeypatch):
        runtime._poller.poll()
    assert runtime.environments[environment.pk].version == 1
    assert _reason(runtime, environment) == "KILL_SWITCH"

    runtime.refresh()
    assert runtime.environments[environment.pk].version == 3
    assert _reason(runtime, environment) == "KILL_SWITCH"


def test_start__both_away__is_not_ready_until_one_returns(runtime, environment, make_flag, no_redis, monkeypatch):
    make_flag("a")
    with _database_away(monkeypatch):
        runtime.start()
        assert not runtime.is_ready

    until(lambda: runtime.is_ready)
    assert runtime.environments[environment.pk].version == 1


def test_fork__after_start__the_child_serves_and_hears_for_itself(environment, make_flag):
    make_flag("a")
    RUNTIME.start()
    until(lambda: RUNTIME.is_redis_there)
    heard, tell = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            until(lambda: RUNTIME._listener._thread.is_alive() and RUNTIME._pid == os.getpid())
            os.write(tell, orjson.dumps(_reason(RUNTIME, environment)) + b"\n")
            until(lambda: _reason(RUNTIME, environment) == "KILL_SWITCH")
            os.write(tell, b"killed\n")
        finally:
            os._exit(0)
    try:
        os.close(tell)
        with os.fdopen(heard) as lines:
            assert orjson.loads(lines.readline()) == "DEFAULT"
            services.kill_flag(actor=ALICE, environment=environment, key="a")
            assert lines.readline() == "killed\n"
        connection.close()
        assert services.release_flag(actor=ALICE, environment=environment, key="a").version == 3
    finally:
        os.waitpid(child, 0)
        RUNTIME.stop(SECONDS)
