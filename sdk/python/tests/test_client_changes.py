"""Many changes over a stream that is cut again and again: each is applied once, in order, and nothing piles up.

`FLAGSHIP_CHANGES=10000 FLAGSHIP_CUTS=200 pytest sdk/python/tests/test_client_changes.py` is the whole of it.
"""

from __future__ import annotations

import gc
import os
import tracemalloc
from collections.abc import Iterator

import openflagship
import pytest
from openflagship import FlagShip
from openflagship.client.transport.sse import ServerEvent
from openflagship.client.transport.threads import _READ_BYTES
from sdk_fixtures import FAST
from small_platform import eventually

from sdk.conformance.documents import SERVER_KEY, flag
from sdk.conformance.endpoints import SNAPSHOT, STREAM, Endpoints

CHANGES = int(os.environ.get("FLAGSHIP_CHANGES", "1000"))
CUTS = int(os.environ.get("FLAGSHIP_CUTS", "20"))
FLAGS = 50
OURS = os.path.join(os.path.dirname(openflagship.__file__), "*")


@pytest.fixture
def server() -> Iterator[Endpoints]:
    made = Endpoints(*(flag(f"flag-{number}") for number in range(FLAGS)))
    yield made
    made.close()


def test_changes_and_cuts__each_change__is_applied_once_and_in_order(server: Endpoints) -> None:
    applied: list[int] = []
    heard: list[int] = []

    def note(events: list[ServerEvent] | None) -> None:
        applied.extend([int(event.id or -1) for event in events or []] or [-1])

    with FlagShip(SERVER_KEY, server.url, **{**FAST, "is_sending_events": False}) as client:
        eventually(lambda: server.streams)
        client._configuration.tap = note
        client.on_configuration(lambda _keys, environment: heard.append(environment.version))
        for number in range(CHANGES):
            server.change(flag(f"flag-{number % FLAGS}", name=str(number), enabled=number % 2 == 0))
            if number % (CHANGES // CUTS) == 0:
                # What is sent and not read is lost with the connection, so it is missed and caught up with.
                eventually(lambda: any(stream.asked.ended_at is None for stream in server.streams))
                server.end_streams()
        eventually(lambda: client.status().config_version == CHANGES + 1, seconds=300)
        eventually(lambda: heard and heard[-1] == CHANGES + 1)
        names = {key: found.document["name"] for key, found in client.environment.flags.items()}

    assert applied == list(range(2, CHANGES + 2))
    assert heard == sorted(set(heard))
    assert names == {key: document["name"] for key, document in server.flags.items()}
    assert len(server.of(SNAPSHOT)) == 1
    assert len(server.of(STREAM)) > CUTS
    assert server.most_streams == 1


def _ours() -> int:
    """Bytes that the SDK's own lines hold, without the buffer of a read that waits: at times none does."""
    gc.collect()
    found = tracemalloc.take_snapshot().filter_traces([tracemalloc.Filter(True, OURS, all_frames=True)])
    return sum(trace.size for trace in found.traces if trace.size < _READ_BYTES)


def test_memory__changes_cuts_and_users__stays_flat(server: Endpoints) -> None:
    settings = {**FAST, "flush_seconds": 0.02, "flush_count": 50}
    turns = max(4, CHANGES // 250)
    sizes: list[int] = []
    tracemalloc.start()
    try:
        with FlagShip(SERVER_KEY, server.url, **settings) as client:
            eventually(lambda: server.streams)
            for turn in range(turns):
                for number in range(100):
                    server.change(flag(f"flag-{number % FLAGS}", name=f"{turn} {number}"))
                    client.is_enabled("flag-0", f"user-{turn}-{number}", {"turn": turn})
                server.end_streams()
                eventually(lambda turn=turn: client.status().config_version == 100 * (turn + 1) + 1)
                eventually(lambda: client.flush(60))
                sizes.append(_ours())
    finally:
        tracemalloc.stop()

    assert sizes[-1] < sizes[1] + 100_000, sizes
