"""Server-sent events: the snapshot first, then each change once, in order, across reconnects."""

import pytest

from flags import services
from flags.models import Change
from flags.propagation.runtime import RUNTIME
from flags.streaming.hub import HUB
from flags.testing.streams import eventually
from flags.versions.loading import load_document
from tenancy import services as tenancy
from tenancy.models import Credential
from tenancy.testing import ALICE


@pytest.fixture
def flag(transactional_db, environment, make_flag):
    return make_flag("a")


@pytest.fixture
def secret(flag, key):
    return key().secret


def _describe(environment, text):
    services.update_flag(actor=ALICE, environment=environment, key="a", payload={"metadata": {"n": text}}, version=None)


def _heard(environment, version):
    """Wait until the process that streams is there: a write returns when it is published, not when it is heard."""
    eventually(lambda: RUNTIME.environments[environment.pk].version >= version)


def test_stream__works(environment, secret, listen, make_flag):
    stream = listen(secret)

    assert stream.status == 200
    assert stream.response.headers["Content-Type"] == "text/event-stream; charset=utf-8"
    assert 1_000 <= stream.next().retry <= 3_000
    snapshot = stream.next_event()
    assert (snapshot.event, snapshot.id) == ("snapshot", 1)
    assert snapshot.data == load_document(environment.pk)

    make_flag("b")
    services.kill_flag(actor=ALICE, environment=environment, key="a")
    services.archive_flag(actor=ALICE, environment=environment, key="b")

    events = [stream.next_event() for _ in range(3)]
    assert [(event.event, event.id) for event in events] == [
        ("flag_updated", 2),
        ("kill_switch", 3),
        ("flag_archived", 4),
    ]
    assert [event.data["key"] for event in events] == ["b", "a", "b"]
    assert events[1].data == Change.objects.get(version=3).document
    assert events[2].data == {"key": "b", "deleted": True}


def test_stream__last_event_id__replays_what_was_missed_and_goes_on(environment, secret, listen):
    for number in range(4):
        _describe(environment, number)

    stream = listen(secret, last=2)

    assert [(event.event, event.id) for event in (stream.next_event() for _ in range(3))] == [
        ("flag_updated", 3),
        ("flag_updated", 4),
        ("flag_updated", 5),
    ]
    _describe(environment, "live")
    assert stream.next_event().id == 6


def test_stream__last_event_id_from_before_this_process__is_replayed_from_the_log(environment, secret, listen):
    first = listen(secret)
    assert first.next_event().id == 1
    _describe(environment, "seen live")
    assert first.next_event().id == 2

    stream = listen(secret, last=0)

    assert [stream.next_event().id for _ in range(2)] == [1, 2]


def test_stream__last_event_id_is_current__waits_for_the_next(environment, secret, listen):
    stream = listen(secret, last=1)

    _describe(environment, "x")

    assert stream.next_event().id == 2


@pytest.mark.parametrize("last", ["5000", "-1", "junk", "1.0", "9" * 30])
def test_stream__last_event_id_that_never_was__gives_a_snapshot(secret, listen, last):
    assert listen(secret, last=last).next_event().event == "snapshot"


def test_stream__last_event_id_too_old__gives_a_snapshot(environment, secret, settings, listen):
    settings.STREAM_CATCH_UP_STEPS = 2
    for number in range(4):
        _describe(environment, number)
    _heard(environment, 5)

    event = listen(secret, last=1).next_event()

    assert (event.event, event.id) == ("snapshot", 5)
    assert listen(secret, last=3).next_event().id == 4


def test_stream__version_told_by_a_process_that_is_ahead__waits_for_this_one(environment, secret, listen, monkeypatch):
    # This process hears nothing and polls nothing: only the reconnecting client makes it look.
    monkeypatch.setattr(RUNTIME, "apply", lambda step: True)
    monkeypatch.setattr(RUNTIME._poller, "poll", lambda: None)
    _describe(environment, "x")

    stream = listen(secret, last=2)
    monkeypatch.undo()
    _describe(environment, "y")

    assert stream.next_event().id == 3


def test_stream__database_was_restored_from_a_backup__is_told_where_it_stands_now(environment, secret, listen):
    _describe(environment, "lost")
    _heard(environment, 2)
    stream = listen(secret)
    assert stream.next_event().id == 2
    Change.objects.filter(version=2).delete()
    type(environment).objects.update(config_version=1)

    event = stream.next_event()

    assert (event.event, event.id) == ("snapshot", 1)


def test_stream__begins_and_breaks_its_silence__with_its_age(secret, settings, listen, monkeypatch):
    settings.STREAM_KEEP_ALIVE_SECONDS = 0.1
    # Nothing confirms the configuration any more.
    monkeypatch.setattr(RUNTIME, "refresh", lambda: None)
    stream = listen(secret, last=1)

    told = [int(stream.next().comment.removeprefix("keep-alive age=")) for _ in range(3)]
    RUNTIME._confirmed_at -= 100

    assert told == sorted(told)
    eventually(lambda: int(stream.next().comment.removeprefix("keep-alive age=")) > 100)


def test_stream__credential_is_revoked__ends(secret, listen):
    stream = listen(secret)
    stream.next_event()

    tenancy.revoke_credential(actor=ALICE, credential=Credential.objects.get(kind="server"))

    while stream.next() is not None:
        pass


def test_stream__process_is_stopped__tells_each_client_when_to_come_back(environment, secret, listen):
    streams = [listen(secret, last=1) for _ in range(5)]
    for stream in streams:
        assert stream.next().retry is not None

    HUB._loop.call_soon_threadsafe(HUB.drain)

    told = {stream.next().retry for stream in streams}
    assert all(0 <= retry <= 10_000 for retry in told)
    assert len(told) > 1
    assert [stream.next() for stream in streams] == [None] * 5
    refused = listen(secret)
    assert (refused.status, refused.response.headers["Retry-After"]) == (503, "1")


@pytest.mark.parametrize(
    ("given", "refusal"),
    [
        ({"secret": "fs_server_nobody"}, (401, "authentication_failed")),
        ({"kind": "client"}, (403, "permission_denied")),
        ({"path": "/api/stream/staging"}, (404, "not_found")),
        ({"path": "/api/elsewhere"}, (404, "not_found")),
        ({"path": "/api/stream/ack"}, (405, "method_not_allowed")),
        ({"X_Tenant_ID": "globex"}, (403, "permission_denied")),
    ],
)
def test_stream__refused__is_the_one_error_body(flag, key, listen, given, refusal):
    options = dict(given)
    secret = options.pop("secret", None) or key(options.pop("kind", "server")).secret

    refused = listen(secret, **options)

    body = refused.json()
    assert (refused.status, body["errors"][0]["code"]) == refusal
    assert body["type"] == "client_error"
    assert body["requestId"] == refused.response.headers["X-Request-ID"]


@pytest.mark.parametrize("path", ["/v1/stream", "/api/stream/production", "/v1/stream/production"])
def test_stream__aliases__are_the_same(secret, listen, path):
    assert listen(secret, path=path).next_event().event == "snapshot"


def test_stream__two_tenants__each_hears_its_own(environment, globex, make_flag, key, listen):
    make_flag("ours")
    _heard(environment, 1)
    ours, theirs = listen(key().secret), listen(key("server", globex).secret)
    assert list(ours.next_event().data["flags"]) == ["ours"]
    assert theirs.next_event().data["flags"] == {}

    make_flag("theirs", where=globex)
    make_flag("ours-2")

    assert ours.next_event().data["key"] == "ours-2"
    assert theirs.next_event().data["key"] == "theirs"


def test_readyz__everything_there__names_it(secret, listen):
    eventually(lambda: RUNTIME.is_redis_there)

    ready = listen("", path="/readyz")

    assert ready.status == 200
    assert ready.json()["dependencies"] == {"postgresql": "ok", "redis": "ok"}
    assert listen("", path="/healthz").json() == {"status": "ok"}
    assert b"flagship_stream_clients" in listen("", path="/metrics").response.read()
