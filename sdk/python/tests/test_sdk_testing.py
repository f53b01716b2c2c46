"""What services test with: overrides that end, and a client that asks nobody."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable

import pytest
from documents import snapshot
from openflagship import AsyncFlagShip, FlagShip
from openflagship.testing import (
    Event,
    Exposure,
    UnknownVariantError,
    flagship_override,
    offline,
    override,
    ready,
    record,
)
from sdk_fixtures import treatment
from small_platform import KEY, SmallPlatform

assert flagship_override  # the fixture, found by its name


@pytest.fixture
def client() -> FlagShip:
    return FlagShip("", "http://offline.invalid", bootstrap=snapshot(treatment()), is_offline=True)


def test_override__variant__answers_until_it_ends_and_nests(client: FlagShip) -> None:
    with override(client, "asked", "control"):
        assert client.is_enabled("asked", "user-1") is False
        with override(client, "asked", value="anything"):
            assert client.variation("asked", "user-1", None) == "anything"
            assert client.all_flags("user-1") == {"asked": "anything"}
        assert client.variation_detail("asked", "user-1").variant == "control"
    assert client.is_enabled("asked", "user-1") is True


def test_override__variant_that_is_not_there__is_an_error_of_the_test(client: FlagShip) -> None:
    with pytest.raises(UnknownVariantError), override(client, "asked", "tretment"):
        pass
    with pytest.raises(TypeError), override(client, "asked"):
        pass


def test_override__a_flag_not_made_yet__answers_by_its_usual_variants(client: FlagShip) -> None:
    with override(client, "coming", "treatment"):
        assert client.is_enabled("coming", None)


def test_override__with_a_platform__logs_no_exposure(platform: SmallPlatform, connect: Callable[..., FlagShip]) -> None:
    client = connect()
    with override(client, "asked", "treatment"):
        assert client.is_enabled("asked", "user-1")
    assert client.flush()
    assert platform.exposures() == []


def test_override_fixture__begins__and_ends_with_the_test(
    client: FlagShip, flagship_override: Callable[..., None]
) -> None:
    flagship_override(client, "asked", "control")
    assert client.is_enabled("asked", "user-1") is False


def test_offline__values__are_everybodys() -> None:
    client = offline({"new-checkout": True, "limit": 10})

    assert client.is_enabled("new-checkout", "anybody")
    assert client.variation("limit", None, 0) == 10
    assert client.variation("other", None, "default") == "default"


def test_offline__fixed_for_a_user__leaves_the_others(client: FlagShip) -> None:
    fixed = offline({"limit": 10}, users={"alice": {"limit": 100, "beta": True}})

    assert [fixed.number("limit", user, 0) for user in ("alice", "bob")] == [100, 10]
    assert [fixed.is_enabled("beta", user) for user in ("alice", "bob")] == [True, False]
    with override(client, "asked", "control", user="alice"):
        assert [client.is_enabled("asked", user) for user in ("alice", "bob")] == [False, True]


def test_record__evaluations_and_events__are_noted_as_they_were(client: FlagShip) -> None:
    properties = {"order": 1}
    with record(client) as recorder:
        client.is_enabled("asked", "alice")
        client.is_enabled("asked", "alice")
        client.track("purchase", "alice", 9.5, properties)
        client.track("", "alice")
        properties["order"] = 2
    client.is_enabled("asked", "bob")
    client.track("later", "bob")

    assert recorder.exposures == [Exposure("asked", "alice", "treatment", True)]
    assert recorder.events == [Event("purchase", "alice", 9.5, {"order": 1})]


def test_record__within_another__both_note_what_happens_within(client: FlagShip) -> None:
    with record(client) as outer:
        client.track("first", "alice")
        with record(client) as inner:
            client.is_enabled("asked", "alice")
            client.track("second", "alice")
        client.track("third", "alice")

    assert [event.name for event in outer.events] == ["first", "second", "third"]
    assert [event.name for event in inner.events] == ["second"]
    assert outer.exposures == inner.exposures == [Exposure("asked", "alice", "treatment", True)]


def test_record__what_no_client_sends__is_not_noted(client: FlagShip) -> None:
    fixed = offline({"beta": True})
    with record(client) as recorder, record(fixed) as of_fixed:
        client.is_enabled("asked")
        fixed.is_enabled("beta")
        fixed.is_enabled("beta", "alice")
        for one in (client, fixed):
            one.close()
            one.is_enabled("asked", "late")
            one.is_enabled("beta", "late")
            one.track("late", "alice")

    assert (recorder.exposures, recorder.events) == ([], [])
    assert (of_fixed.exposures, of_fixed.events) == ([Exposure("beta", "alice", None, True)], [])


def test_ready__asyncio_client__says_what_to_await(platform: SmallPlatform) -> None:
    client = AsyncFlagShip(KEY, platform.url)
    with pytest.raises(TypeError, match="wait_until_ready"):
        ready(client)  # type: ignore[arg-type]  # which is the mistake


def test_ready__client_without_a_configuration__says_why(client: FlagShip, platform: SmallPlatform) -> None:
    ready(client)
    platform.fail["/api/snapshot"] = 401
    with FlagShip("fs_server_other", platform.url, start_wait_seconds=0) as waiting, pytest.raises(TimeoutError):
        ready(waiting, 0.05)


def test_import__without_pytest__works() -> None:
    ask = "from openflagship.testing import offline; print(offline({'a': 1}).variation('a', 'u', 0))"
    script = f"import sys; sys.modules['pytest'] = None; {ask}"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=120, check=False)

    assert (done.stdout, done.returncode) == ("1\n", 0), done.stderr
