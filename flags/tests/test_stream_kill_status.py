"""The kill status: who applied it and when, who is late, who was not heard; from acknowledgements on every way."""

import socket
import subprocess
import time
from itertools import count
from unittest.mock import Mock

import pytest

from flags import services
from flags.models import Change
from flags.propagation import acknowledgements, kill_status, poller
from flags.propagation.acknowledgements import (
    GONE_AFTER_MS,
    GOODBYE,
    OWN_SDK,
    STREAM_ENDED,
    Acknowledgements,
    Report,
    dead_neighbours,
    forget,
    record,
    services_key,
)
from flags.propagation.kill_status import percentile
from flags.propagation.poller import Poller
from flags.propagation.publishing import read_hash
from flags.propagation.runtime import RUNTIME
from flags.selectors import get_config
from flags.testing.streams import eventually
from tenancy.testing import ALICE

pytestmark = pytest.mark.django_db(transaction=True)
NOW = object()


@pytest.fixture
def config(environment, make_flag):
    return make_flag("a")


@pytest.fixture
def kill(environment, config):
    def _kill():
        services.kill_flag(actor=ALICE, environment=environment, key="a", reason="it burns")
        return Change.objects.latest("version")

    return _kill


def _milliseconds(change, after):
    return int(change.created_at.timestamp() * 1000) + after


def _status(environment):
    return kill_status.kill_status(get_config(environment, "a"))


def _told(environment, instance, version, at):
    record(environment.pk, [Report(instance, "test/1", version, at)])


def test_board__nothing_killed_yet__shows_who_is_connected(environment, config):
    _told(environment, "svc-1", 1, int(time.time() * 1000))

    status = _status(environment)

    assert (status.config_version, status.at, status.p50_ms) == (None, None, None)
    assert [(service.instance, service.version, service.status) for service in status.services] == [
        ("svc-1", 1, "applied")
    ]


def test_board__services_apply_a_kill__each_with_the_time_it_took(environment, kill, monkeypatch):
    # However slow this machine is, who has not applied it yet is not late here.
    monkeypatch.setattr(kill_status, "LATE_AFTER_MS", 600_000)
    for number in range(10):
        _told(environment, f"svc-{number}", 1, int(time.time() * 1000))
    change = kill()
    for number in range(9):
        _told(environment, f"svc-{number}", change.version, _milliseconds(change, 10 * (number + 1)))

    status = _status(environment)

    assert (status.flag_key, status.kill_switch_variant, status.reason) == ("a", "control", "it burns")
    assert status.config_version == 2
    assert {service.instance: service.took_ms for service in status.services} == {
        **{f"svc-{number}": 10 * (number + 1) for number in range(9)},
        "svc-9": None,
    }
    assert (status.applied, status.waiting, status.is_complete) == (9, 1, False)
    assert (status.p50_ms, status.p99_ms) == (50, 90)
    assert status.services[0].instance == "svc-9"


def test_board__acknowledged_later_versions__keep_the_time_of_the_kill(environment, kill):
    _told(environment, "svc-1", 1, int(time.time() * 1000))
    change = kill()
    _told(environment, "svc-1", 2, _milliseconds(change, 40))
    _told(environment, "svc-1", 9, _milliseconds(change, 5_000))
    _told(environment, "svc-1", 2, _milliseconds(change, 6_000))

    (service,) = _status(environment).services

    assert (service.version, service.took_ms, service.status) == (9, 40, "applied")


def test_board__slow_silent_and_gone_services__are_told_apart(environment, kill):
    now = int(time.time() * 1000)
    _told(environment, "slow", 1, now)
    _told(environment, "gone", 1, now - 120_000)
    _told(environment, "forgotten", 1, now - 2 * 86_400_000)
    change = kill()
    _told(environment, "slow", 2, _milliseconds(change, 2_500))
    _told(environment, "later", 2, _milliseconds(change, 3_000))

    status = _status(environment)

    assert {service.instance: (service.status, service.took_ms) for service in status.services} == {
        "slow": ("late", 2_500),
        "gone": ("not_heard", None),
        "later": ("applied", None),
    }
    assert (status.applied, status.late, status.not_heard, status.is_complete) == (2, 1, 1, True)


def test_board__release__is_followed_like_a_kill(environment, kill):
    kill()
    _told(environment, "svc-1", 2, int(time.time() * 1000))
    services.release_flag(actor=ALICE, environment=environment, key="a")
    change = Change.objects.latest("version")
    _told(environment, "svc-1", 3, _milliseconds(change, 7))

    status = _status(environment)

    assert (status.kill_switch_variant, status.config_version) == (None, 3)
    assert status.services[0].took_ms == 7


def test_board__redis_away__says_so(environment, kill, settings, tmp_path):
    kill()
    settings.REDIS_URL = f"unix://{tmp_path}/nobody.sock"

    status = _status(environment)

    assert (status.is_available, status.is_complete, status.services) == (False, False, ())


@pytest.mark.parametrize(("values", "p50", "p99"), [([], None, None), ([7], 7, 7), (list(range(1, 101)), 50, 99)])
def test_percentile__nearest_rank(values, p50, p99):
    assert (percentile(values, 50), percentile(values, 99)) == (p50, p99)


def test_board__our_own_processes__report_themselves(environment, config, kill):
    RUNTIME.start()
    try:
        eventually(lambda: RUNTIME.is_redis_there)
        eventually(lambda: _status(environment).services)
        kill()

        (service,) = eventually(lambda: [found for found in _status(environment).services if found.took_ms is not None])

        assert service.instance == RUNTIME.instance
        assert (service.sdk, service.version) == ("flagship", 2)
    finally:
        RUNTIME.stop()


def test_kill_status__over_http__works(environment, kill, viewer, outsider):
    _told(environment, "svc-1", 1, int(time.time() * 1000))
    change = kill()
    _told(environment, "svc-1", 2, _milliseconds(change, 12))

    body = viewer.get("flags/a/kill/status").json()

    assert {name: body[name] for name in ("flagKey", "configVersion", "applied", "p50Ms", "isComplete")} == {
        "flagKey": "a",
        "configVersion": 2,
        "applied": 1,
        "p50Ms": 12,
        "isComplete": True,
    }
    assert body["services"][0]["tookMs"] == 12
    assert outsider.get("flags/a/kill/status").status_code == 404


def test_acknowledge__over_http__reaches_the_board(environment, config, key):
    caller = key()

    response = caller.post("stream/ack", {"instance": "pod-1", "version": 1, "sdk": "py/1"})

    assert (response.status_code, response.json()) == (202, {"instance": "pod-1", "version": 1})
    (service,) = _status(environment).services
    assert (service.instance, service.sdk, service.version) == ("pod-1", "py/1", 1)
    assert key("client").post("stream/ack", {"instance": "pod-1", "version": 1}).status_code == 403


@pytest.mark.parametrize(
    "body",
    [
        [],
        {},
        {"instance": "", "version": 1},
        {"instance": "x" * 101, "version": 1},
        {"instance": "pod-1", "version": "1"},
        {"instance": "pod-1", "version": True},
        {"instance": "pod-1", "version": -1},
        {"instance": "pod-1", "version": 2**53},
        {"instance": "pod-1", "version": 1, "sdk": 3},
        {"instance": "pod-1", "version": 1, "goodbye": "yes"},
    ],
)
def test_acknowledge__bad_input__is_400(config, key, body):
    assert key().post("stream/ack", body).status_code == 400


def _names(environment):
    return [service.instance for service in _status(environment).services]


def test_board__goodbye__takes_a_service_off_for_good_until_it_comes_again(environment, config, key):
    now = int(time.time() * 1000)
    for name in ("stays", "ends"):
        _told(environment, name, 1, now - 1_000)
    said = key().post("stream/ack", {"instance": "ends", "version": 1, "goodbye": True})
    assert said.status_code == 202
    assert _names(environment) == ["stays"]
    _told(environment, "ends", 1, now - 500)
    assert _names(environment) == ["stays"], "a report from before the goodbye, written after it"
    _told(environment, "ends", 1, int(time.time() * 1000) + 1_000)

    assert sorted(_names(environment)) == ["ends", "stays"]


@pytest.mark.parametrize(("ended_ago", "is_there"), [(1_000, True), (GONE_AFTER_MS + 1_000, False)])
def test_board__stream_ended__leaves_after_a_minute(environment, config, ended_ago, is_there):
    now = int(time.time() * 1000)
    _told(environment, "svc-1", 1, now - ended_ago - 10)
    record(environment.pk, [Report("svc-1", "", -1, now - ended_ago, ending=STREAM_ENDED)])
    record(environment.pk, [Report("never-seen", "", -1, now, ending=STREAM_ENDED)])

    assert _names(environment) == ["svc-1"] * is_there


def test_board__a_process_of_ours_is_silent__is_not_complete_until_it_confirms_or_has_ended(environment, kill):
    """It may still serve, by what it heard last: cut off from Redis, it answers all the same."""
    long_ago = int(time.time() * 1000) - 80_000
    host = socket.gethostname()
    cut_off, killed = "web@elsewhere:17", f"web@{host}:{_pid_of_nobody()}"
    for instance in (cut_off, killed, "client"):
        sdk = "test/1" if instance == "client" else OWN_SDK
        record(environment.pk, [Report(instance, sdk, 1, long_ago)])
    kill()
    assert (_status(environment).is_complete, _status(environment).not_heard) == (False, 3)

    assert dead_neighbours(environment.pk, host) == [killed]
    forget([environment.pk], [killed])
    assert not _status(environment).is_complete
    forget([environment.pk], [cut_off])
    assert _status(environment).is_complete  # a client that is silent is gone


def test_tidying__process_of_another_container_under_this_hosts_name__stays_while_it_reports(environment, kill):
    host = socket.gethostname()
    elsewhere = f"web@{host}:{_pid_of_nobody()}"
    record(environment.pk, [Report(elsewhere, OWN_SDK, 1, int(time.time() * 1000) - 50_000)])
    assert dead_neighbours(environment.pk, host) == []


def test_tidying__killed_process__leaves_every_board_and_one_is_asked(environment, monkeypatch):
    killed = f"web@{socket.gethostname()}:{_pid_of_nobody()}"
    environments = {environment.pk + 1: None, environment.pk: None}
    for pk in environments:
        record(pk, [Report(killed, OWN_SDK, 1, int(time.time() * 1000) - 80_000)])
    asked = []
    monkeypatch.setattr(poller, "dead_neighbours", lambda pk, host: asked.append(pk) or dead_neighbours(pk, host))
    Poller(Mock(environments=environments))._tidy()
    assert asked == [min(environments)]
    assert [killed.encode() in read_hash(services_key(pk)) for pk in environments] == [False, False]


def test_board__a_service_whose_clock_is_hours_ahead__is_not_taken_for_alive_for_hours(environment, kill):
    _told(environment, "ahead", 1, int(time.time() * 1000) + 7_200_000)
    (service,) = _status(environment).services
    assert service.seen_at.timestamp() < time.time() + 60


def _pid_of_nobody():
    ended = subprocess.Popen(["true"])
    ended.wait()
    return ended.pid


def test_reports__that_say_the_same_again__are_written_once_and_others_in_their_order(environment, monkeypatch):
    written = []
    monkeypatch.setattr(acknowledgements, "record", lambda _, reports: written.append([each[:3] for each in reports]))
    waiting = Acknowledgements()
    for version in (1, 1, 2, 2, 1):
        waiting.add(environment.pk, "a", "test/1", version)
        waiting.add(environment.pk, "b", "test/1", 1)
    waiting.flush()
    assert written == [[("a", "test/1", 1), ("b", "test/1", 1), ("a", "test/1", 2), ("a", "test/1", 1)]]

    waiting.add(environment.pk, "b", "test/1", 1)
    waiting.flush()
    assert written[1:] == [[("b", "test/1", 1)]], "what was written does not wait"


@pytest.mark.parametrize(("endings", "is_there"), [(("", GOODBYE), False), (("", GOODBYE, ""), True)])
def test_reports__goodbye_within_a_moment__is_heard_and_so_is_a_return(
    environment, config, monkeypatch, endings, is_there
):
    waiting = Acknowledgements()
    milliseconds = count(time.time_ns(), 1_000_000)
    with monkeypatch.context() as patched:
        patched.setattr(acknowledgements.time, "time_ns", lambda: next(milliseconds))
        for ending in endings:
            waiting.add(environment.pk, "svc-1", "test/1", 1, ending=ending)
    waiting.flush()
    assert _names(environment) == ["svc-1"] * is_there


def test_reports__many__are_written_a_few_at_a_time(environment, config, monkeypatch):
    calls = []
    write = acknowledgements.record
    monkeypatch.setattr(acknowledgements, "record", lambda pk, found: (calls.append(len(found)), write(pk, found)))
    waiting = Acknowledgements()
    for number in range(1_201):
        waiting.add(environment.pk, f"svc-{number}", "test/1", 1)
    waiting.flush()
    assert calls == [500, 500, 201]
    assert len(_names(environment)) == 1_201
