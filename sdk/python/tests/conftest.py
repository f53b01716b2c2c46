"""Lets the engine's tests share adapter, documents and strategies."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from configured_edges import configured  # noqa: F401 - needs the path above; fixtures are found by name
from edge_process import edge, run_edge, start_edge  # noqa: F401 - likewise
from sdk_fixtures import connect, platform, secure  # noqa: F401 - likewise


def pytest_configure(config: pytest.Config) -> None:
    """The tags of OpenFeature's examples, which the runner takes for marks."""
    for tag in ("booleans", "strings", "numbers", "objects", "Transaction", "transaction", "Hooks", "hooks"):
        config.addinivalue_line("markers", f"{tag}: a tag in OpenFeature's features")


@pytest.hookimpl(optionalhook=True)
def pytest_bdd_apply_tag(tag: str, function: object) -> bool:
    """Their other tags name sections of the specification, and are no marks."""
    return True
