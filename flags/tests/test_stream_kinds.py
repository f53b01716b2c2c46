"""The one list of stream event kinds: the version log writes them, the SDK applies them, the docs name them."""

import json

import pytest
from django.conf import settings
from openflagship.client.following.configuration import Configuration
from openflagship.client.transport.sse import ServerEvent
from openflagship.stream_kinds import ENVIRONMENT, FLAG, SEGMENT, STREAM_KINDS

from flags.models import Change

_DATA = {
    ENVIRONMENT: {"contract": 1, "version": 1, "flags": {}, "segments": {}},
    FLAG: {"key": "new-checkout", "deleted": True},
    SEGMENT: {"key": "beta", "deleted": True},
}


def test_kinds__version_log__writes_each_that_is_no_whole_environment() -> None:
    assert set(Change.Kind.values) == {kind.name for kind in STREAM_KINDS.values() if kind.subject != ENVIRONMENT}
    assert set(Change.Entity.values) == {kind.subject for kind in STREAM_KINDS.values()} - {ENVIRONMENT}


@pytest.mark.parametrize("kind", STREAM_KINDS.values(), ids=lambda kind: kind.name)
def test_kinds__sdk__applies_each(kind) -> None:
    configuration = Configuration(30)

    configuration.apply([ServerEvent(kind.name, json.dumps(_DATA[kind.subject]), "1")])

    assert configuration.version == 1


@pytest.mark.parametrize("kind", STREAM_KINDS)
def test_kinds__docs__name_each(kind) -> None:
    assert f"`{kind}`" in (settings.BASE_DIR / "docs" / "explanation" / "propagation.md").read_text()
