"""What the Python SDK costs: an evaluation with its exposure beside the bare engine, a sync, idle CPU, events at close.

Run with `python -m benchmarks.sdk`; the result replaces the section between the `sdk` markers of RESULTS.md.
"""

import argparse
import gc
import gzip
import json
import logging
import multiprocessing
import platform
import resource
import statistics
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from multiprocessing.connection import Connection
from typing import Any

from openflagship import Context, FlagShip
from openflagship.client.sending.events import EXPOSURE

from benchmarks.world import report

FLAGS = 10_000
ROUNDS = 15
CALLS = 20_000
CONTEXTS = 5_000


def flag(number: int) -> dict[str, Any]:
    """One rule, and a rollout to half of the users."""
    return {
        "key": f"flag-{number}",
        "type": "boolean",
        "enabled": True,
        "variants": [{"key": "control", "value": False}, {"key": "treatment", "value": True}],
        "defaultVariant": "control",
        "offVariant": "control",
        "rules": [
            {
                "id": f"rule-{number}",
                "priority": 10,
                "variant": "treatment",
                "conditions": [{"attribute": "plan", "operator": "in", "value": ["pro", "team"]}],
            }
        ],
        "allocation": [[0, 5000, "treatment"]],
    }


def document() -> bytes:
    flags = {f"flag-{number}": flag(number) for number in range(FLAGS)}
    meta = {"organization": "bench", "project": "web", "key": "production", "salt": ""}
    return json.dumps({"contract": 1, "environment": meta, "version": 1, "flags": flags, "segments": {}}).encode()


def serve(pipe: Connection) -> None:
    """A server in a process of its own, which counts the events that reach it: it tells its port, then counts."""
    body = document()
    counts = {"exposure": 0, "conversion": 0}
    lock = threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class's name
            pass

        def do_GET(self) -> None:
            self.send_response(200)
            if self.path == "/api/snapshot":
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)
                return
            self.send_header("Content-Type", "text/event-stream")
            self.end_headers()
            with suppress(OSError):
                while True:
                    self.wfile.write(b": keep-alive\n\n")
                    time.sleep(15)

        def do_POST(self) -> None:
            content = self.rfile.read(int(self.headers["Content-Length"]))
            if self.headers.get("Content-Encoding") == "gzip":
                content = gzip.decompress(content)
            kind = self.path.rpartition("/")[2]
            events = len(json.loads(content).get("events", ()))
            if kind in counts:
                with lock:
                    counts[kind] += events
            answer = b'{"accepted":%d,"rejected":[]}' % events
            self.send_response(202)
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    pipe.send(server.server_address[1])
    while pipe.recv():
        with lock:
            pipe.send(dict(counts))


def nanoseconds(*calls: Callable[[int], object]) -> list[float]:
    """Of one call of each: the median of the rounds' means; the rounds take turns on the machine."""
    means: list[list[float]] = [[] for _ in calls]
    for _ in range(ROUNDS):
        for call, found in zip(calls, means, strict=True):
            start = time.perf_counter_ns()
            for number in range(CALLS):
                call(number)
            found.append((time.perf_counter_ns() - start) / CALLS)
    return [statistics.median(found) for found in means]


def evaluation(client: FlagShip) -> list[tuple[str, str, str, str]]:
    contexts = [Context(f"user-{number}", {"plan": "free", "country": "DE"}) for number in range(CONTEXTS)]
    environment = client.environment
    names = [f"flag-{number % 50}" for number in range(CALLS)]
    gc.collect()
    gc.disable()
    bare, same, spread, enabled = nanoseconds(
        lambda number: environment.evaluate(names[number], contexts[number % CONTEXTS], False),
        lambda number: client.variation_detail(names[number], contexts[0], False),
        lambda number: client.variation_detail(names[number], contexts[number % CONTEXTS], False),
        lambda number: client.is_enabled(names[number], "user-1", contexts[0].attributes),
    )
    gc.enable()
    return [
        ("engine alone, `evaluate`", f"{bare / 1000:.2f} µs", "", ""),
        ("`variation_detail`, repeats of 50 marks", f"{same / 1000:.2f} µs", *_more(same - bare)),
        ("`variation_detail`, 5,000 users", f"{spread / 1000:.2f} µs", *_more(spread - bare)),
        ("`is_enabled`, with its Context", f"{enabled / 1000:.2f} µs", *_more(enabled - bare)),
    ]


def fresh_exposures(url: str) -> list[tuple[str, str, str, str]]:
    """Every call a new mark, so every one is queued; the queue has room, and the sender sleeps."""
    options: dict[str, Any] = {"most_events": 10_000_000, "flush_count": 9_999_999, "flush_seconds": 3600.0}
    client = FlagShip("fs_server_bench", url, start_wait_seconds=60, **options)
    contexts = [Context(f"fresh-{number}", {"plan": "free"}) for number in range(CALLS)]
    environment = client.environment
    names = iter(f"flag-{number}" for number in range(100, 100 + 2 * ROUNDS))
    gc.collect()
    gc.disable()
    bare: list[float] = []
    recorded: list[float] = []
    for _ in range(ROUNDS):
        name = next(names)
        environment.evaluate(name, contexts[0])
        for figures, call in ((bare, environment.evaluate), (recorded, client.variation_detail)):
            start = time.perf_counter_ns()
            for context in contexts:
                call(name, context, False)
            figures.append((time.perf_counter_ns() - start) / CALLS)
        # As a flush would, outside of what is timed; a measurement's events are nobody's.
        client._queue.take(EXPOSURE, CALLS)  # noqa: SLF001 - there is no public way to drop events
        client._queue.begin_window()  # noqa: SLF001 - likewise
    gc.enable()
    client.close()
    own, all_in = statistics.median(bare), statistics.median(recorded)
    return [("`variation_detail`, every exposure new", f"{all_in / 1000:.2f} µs", *_more(all_in - own))]


def _more(nanoseconds_more: float) -> tuple[str, str]:
    return f"at most 3 µs more (here {nanoseconds_more / 1000:+.2f} µs)", "yes" if nanoseconds_more <= 3000 else "no"


def synchronisation(url: str) -> tuple[FlagShip, list[tuple[str, str, str, str]]]:
    times = []
    for _ in range(5):
        start = time.perf_counter()
        client = FlagShip("fs_server_bench", url, start_wait_seconds=60)
        times.append(time.perf_counter() - start)
        if not client.environment.flags:
            raise SystemExit("The client had no configuration.")
        if len(times) < 5:
            client.close()
    median = statistics.median(times)
    row = (f"{FLAGS:,} flags, from constructor to ready", f"{median:.2f} s", "under 2 s", "yes" if median < 2 else "no")
    return client, [row]


def idle(client: FlagShip, seconds: float) -> list[tuple[str, str, str, str]]:
    client.flush()
    before = time.process_time()
    time.sleep(seconds)
    percent = (time.process_time() - before) / seconds * 100
    return [
        (f"CPU of an idle client, {seconds:.0f} s", f"{percent:.3f} %", "under 0.1 %", "yes" if percent < 0.1 else "no")
    ]


def at_close(url: str, pipe: Connection) -> list[tuple[str, str, str, str]]:
    pipe.send(True)
    before = pipe.recv()
    options: dict[str, Any] = {
        "most_events": 100_000,
        "flush_seconds": 3600.0,
        "flush_count": 99_999,
        "close_wait_seconds": 60.0,
    }
    # Without a configuration there are defaults and no exposures.
    client = FlagShip("fs_server_bench", url, start_wait_seconds=60, **options)
    for number in range(10_000):
        client.is_enabled("flag-1", f"close-{number}")
        client.track("purchase", f"close-{number}", 1.0)
    start = time.perf_counter()
    client.close()
    took = time.perf_counter() - start
    pipe.send(True)
    after = pipe.recv()
    arrived = sum(after.values()) - sum(before.values())
    lost = 20_000 - arrived
    return [(f"lost of 20,000 events at close ({took:.2f} s)", str(lost), "0", "yes" if lost == 0 else "no")]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--idle-seconds", type=float, default=60.0)
    parser.add_argument("--print", action="store_true", help="leave RESULTS.md alone")
    arguments = parser.parse_args()
    logging.disable(logging.WARNING)
    ours, theirs = multiprocessing.get_context("spawn").Pipe()
    server = multiprocessing.get_context("spawn").Process(target=serve, args=(theirs,), daemon=True)
    server.start()
    url = f"http://127.0.0.1:{ours.recv()}"
    client, rows = synchronisation(url)
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    rows += idle(client, arguments.idle_seconds)
    rows += evaluation(client)
    client.close()
    rows += fresh_exposures(url) + at_close(url, ours)
    server.terminate()
    lines = [
        "## Python SDK",
        "",
        f"`python -m benchmarks.sdk`: {FLAGS:,} flags of one rule and one rollout, from a server in a process "
        f"of its own; medians of {ROUNDS} rounds of {CALLS:,} calls in one thread, exposure recording on. Python "
        f"{platform.python_version()}, 2 cores shared with other work; peak memory after the syncs {memory:.0f} MiB.",
        "",
        "| what | measured | promise | met |",
        "|---|---|---|---|",
        *(f"| {' | '.join(row)} |" for row in rows),
    ]
    if arguments.print:
        print("\n".join(lines))
    else:
        report("sdk", lines)
    return 0
