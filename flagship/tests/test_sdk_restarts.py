"""A service goes on while web and stream are killed and started again; `benchmarks.sdk_restarts` does it 20 times."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.sdk_restarts.drill import Server, drill, missing
from flags.testing.cluster import free_port
from flagship.tests.stack import Stack

pytestmark = [pytest.mark.processes, pytest.mark.xdist_group("stack")]


@pytest.fixture
def server(stack: Stack, tmp_path: Path) -> Iterator[Server]:
    """One more web and stream on the stack's PostgreSQL and Redis; the stack's own go on."""
    (tmp_path / "metrics").mkdir()
    variables = {name: value for name, value in os.environ.items() if not name.startswith(("DATABASE_", "REDIS_"))}
    variables |= {
        "FLAGSHIP_VAR_DIR": str(stack.var_dir),
        "REDIS_PREFIX": "flagship",
        "PROMETHEUS_MULTIPROC_DIR": str(tmp_path / "metrics"),
    }
    made = Server(variables, free_port(), free_port(), tmp_path / "server.log")
    yield made
    made.kill()


def test_service__server_killed_and_restarted_under_load__notices_nothing_and_loses_nothing(
    stack: Stack, server: Server
) -> None:
    def change() -> int:
        killed = stack.manage("POST", "/api/flags/dark-mode/kill", {"variant": "control", "reason": "restart drill"})
        assert killed.status == 202, killed.data
        released = stack.manage("POST", "/api/flags/dark-mode/kill/release", {})
        assert released.status == 202, released.data
        return int(released.json()["configVersion"])

    def count(table: str, unit: str) -> tuple[int, int]:
        query = f"SELECT count(*), count(DISTINCT unit_id) FROM {table} WHERE unit_id LIKE %s"
        return stack.rows(query, f"{unit}%")[0]

    outcome = drill(server, stack.demo["serverKey"], "new-checkout", change, restarts=2, away_seconds=0.5)

    assert (outcome.restarts, outcome.exceptions, outcome.defaults) == (2, [], 0)
    assert (outcome.lost, outcome.dropped, outcome.rejected) == (0, 0, 0)
    assert outcome.tracked > 40
    assert missing(outcome, count) == 0
