"""The latest steps that Redis keeps: contiguous, bounded, enough to follow step by step while PostgreSQL is away."""

import pytest
from django.db import OperationalError

from flags import services
from flags.models import Change
from flags.propagation import cold_start_copy, publishing
from flags.propagation.publishing import PUBLISHED, client, recent_steps_key, sweep
from flags.propagation.runtime import Runtime
from flags.versions import loading
from tenancy.testing import ALICE

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def write(environment, make_flag):
    make_flag("a")

    def _write(count, **metadata):
        for number in range(count):
            services.update_flag(
                actor=ALICE,
                environment=environment,
                key="a",
                payload={"metadata": {"n": number, **metadata}},
                version=None,
            )

    return _write


@pytest.fixture
def database_away(monkeypatch):
    def away(*_arguments):
        raise OperationalError("away")

    monkeypatch.setattr(loading, "current_versions", away)


def _kept(environment):
    return [step.version for step in cold_start_copy.recent_steps(environment.pk)]


def test_recent_steps__are_the_log(environment, write):
    write(3)

    assert cold_start_copy.recent_steps(environment.pk) == loading.steps_since(environment.pk, 0)
    assert [step.version for step in cold_start_copy.steps_since(environment.pk, 2)] == [3, 4]


def test_recent_steps__asked_for_more_than_is_kept__cannot_tell(environment, write, settings):
    settings.STREAM_CATCH_UP_STEPS = 2
    write(3)

    assert _kept(environment) == [3, 4]
    assert cold_start_copy.steps_since(environment.pk, 1) is None
    assert [step.version for step in cold_start_copy.steps_since(environment.pk, 2)] == [3, 4]
    assert cold_start_copy.steps_since(environment.pk, 4) is None


def test_recent_steps__large_documents__keep_to_the_bytes(environment, write, monkeypatch):
    monkeypatch.setattr(publishing, "MOST_BYTES_OF_RECENT_STEPS", 10_000)
    write(20, padding="x" * 1_000)

    sizes = [len(content) for content in client().lrange(recent_steps_key(environment.pk), 0, -1)]
    assert 10_000 - max(sizes) < sum(sizes) < 10_000 + max(sizes)
    assert _kept(environment)[-1] == 21

    write(1, padding="x" * 20_000)
    assert _kept(environment) == []
    write(1)
    assert _kept(environment) == [23]


def test_recent_steps__redis_missed_some__begin_anew(environment, write, monkeypatch):
    write(1)
    with monkeypatch.context() as crash:
        crash.setattr(publishing, "publish_changes", lambda changes: None)
        write(2)
    client().hset(PUBLISHED, str(environment.pk), 4)

    write(2)

    assert _kept(environment) == [5, 6]


def test_recent_steps__database_was_restored_from_a_backup__are_forgotten(environment, write):
    write(3)
    Change.objects.filter(version__gt=2).delete()
    type(environment).objects.update(config_version=2)

    sweep({environment.pk: 2})

    assert _kept(environment) == []


def test_poll__database_away_and_steps_were_missed__observers_are_told_each(environment, write, database_away):
    runtime, told = Runtime(), []
    runtime._take(environment.pk, loading.load_environment(environment.pk))
    runtime.observe(lambda _environment, steps, _is_ahead: told.append(steps and [step.version for step in steps]))
    write(3)

    runtime._poller.poll()

    assert runtime.environments[environment.pk].version == 4
    assert told == [[2, 3, 4]]


def test_poll__what_redis_keeps_is_damaged__the_poller_lives(environment, write, database_away):
    runtime = Runtime()
    runtime._take(environment.pk, loading.load_environment(environment.pk))
    write(1)
    client().rpush(recent_steps_key(environment.pk), b"no step")

    runtime._poller.poll()

    assert runtime.environments[environment.pk].version == 1


def test_follow__went_back_meanwhile__fetched_steps_that_no_longer_join_on_are_left(environment, write):
    write(1)
    runtime = Runtime()
    runtime._take(environment.pk, loading.load_environment(environment.pk))
    write(3)
    steps = loading.steps_since(environment.pk, 3)

    runtime._follow(environment.pk, steps)
    assert runtime.environments[environment.pk].version == 2

    runtime._follow(environment.pk, loading.steps_since(environment.pk, 1))
    assert runtime.environments[environment.pk].version == 5
