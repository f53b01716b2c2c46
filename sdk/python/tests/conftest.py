"""Lets the engine's tests share adapter, documents and strategies, and keeps hypothesis off a busy machine's clock."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

sys.path.insert(0, str(Path(__file__).parent))

settings.register_profile("engine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("engine")

from edge_process import edge, start_edge  # noqa: E402, F401 - needs the path above; fixtures are found by name
from sdk_fixtures import connect, platform  # noqa: E402, F401 - likewise


def pytest_configure(config: pytest.Config) -> None:
    """The tags of OpenFeature's examples, which the runner takes for marks."""
    for tag in ("booleans", "strings", "numbers", "objects", "Transaction", "Hooks"):
        config.addinivalue_line("markers", f"{tag}: a tag in OpenFeature's features")


@pytest.hookimpl(optionalhook=True)
def pytest_bdd_apply_tag(tag: str, function: object) -> bool:
    """Their other tags name sections of the specification, and are no marks."""
    return True
