"""What services test with: overrides that end, and a client that asks nobody."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from documents import snapshot
from openflagship import FlagShip
from openflagship.testing import UnknownVariantError, flagship_override, offline, override
from sdk_fixtures import treatment
from small_platform import SmallPlatform

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
