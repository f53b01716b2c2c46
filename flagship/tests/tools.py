"""The pytest plugin for tests that need Chromium or Node: skipped aloud where these are missing, an error under CI.

Loaded by `make test`; the marks are `browser` and `node`.
"""

from __future__ import annotations

import os
import shutil

import pytest

TOOLS = {
    "browser": ("Chromium", ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")),
    "node": ("Node.js with npm", ("npm",)),
}


def missing() -> dict[str, str]:
    """Mark to tool, for every tool that is not on the path."""
    return {mark: tool for mark, (tool, programs) in TOOLS.items() if not any(map(shutil.which, programs))}


def pytest_configure(config: pytest.Config) -> None:
    is_worker = hasattr(config, "workerinput")
    if missing() and os.environ.get("CI") == "true" and not is_worker:
        raise pytest.UsageError(f"CI has to run every test, but {' and '.join(missing().values())} cannot be found.")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for mark, tool in missing().items():
        for item in items:
            if item.get_closest_marker(mark):
                item.add_marker(pytest.mark.skip(reason=f"no {tool} here"))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    for tool in missing().values():
        reports = terminalreporter.getreports("skipped")
        count = sum(f"no {tool} here" in str(report.longrepr) for report in reports)
        terminalreporter.section(f"NOT RUN: {count} tests need {tool}, which this machine lacks", yellow=True)
