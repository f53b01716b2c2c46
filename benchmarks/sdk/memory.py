"""A million requests with a new context each, by half a million users: the memory of the process after each tenth.

Run with `python -m benchmarks.sdk.memory`; the result replaces the section between the `sdk-memory` markers of
RESULTS.md.
"""

import argparse
import logging
import multiprocessing
import time

import psutil
from openflagship import Context, FlagShip

from benchmarks.sdk.client import serve
from benchmarks.world import machine, report

USERS = 500_000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=1_000_000)
    parser.add_argument("--print", action="store_true", help="leave RESULTS.md alone")
    options = parser.parse_args()
    logging.disable(logging.WARNING)
    ours, theirs = multiprocessing.get_context("spawn").Pipe()
    server = multiprocessing.get_context("spawn").Process(target=serve, args=(theirs,), daemon=True)
    server.start()
    began = time.monotonic()
    with FlagShip("fs_server_bench", f"http://127.0.0.1:{ours.recv()}", start_wait_seconds=60) as client:
        if not client.environment.flags:
            raise SystemExit("The client had no configuration.")
        memory = [_asked(client, options.requests, tenth) for tenth in range(10)]
        client.flush(60)
        status = client.status()
    server.terminate()
    # The first tenth fills what is bounded: the queue, and who was recorded in this window.
    is_flat = memory[-1] <= memory[1] * 1.02
    lines = [
        "## Python SDK: memory",
        "",
        f"`python -m benchmarks.sdk.memory`; {machine()}. {options.requests:,} requests with a new context each, of "
        f"{USERS:,} users in turn; each asks two flags of 10,000, exposures are recorded and sent. "
        f"{time.monotonic() - began:.0f} s.",
        "",
        f"MiB of the process after each tenth: {', '.join(f'{one:.1f}' for one in memory)}. Events sent "
        f"{status.events_sent:,}, without room {status.events_dropped:,}.",
        "",
        "| promise | met |",
        "|---|---|",
        f"| memory flat: after the last tenth within 2 % of after the second | {'yes' if is_flat else 'no'} |",
    ]
    if options.print:
        print("\n".join(lines))
    else:
        report("sdk-memory", lines)


def _asked(client: FlagShip, requests: int, tenth: int) -> float:
    """The process's memory in MiB after a tenth of the requests."""
    for number in range(tenth * requests // 10, (tenth + 1) * requests // 10):
        context = Context(f"user-{number % USERS}", {"plan": "pro" if number % 3 else "free", "request": number})
        client.is_enabled(f"flag-{number % 10_000}", context)
        client.variation(f"flag-{(number + 1) % 10_000}", context, False)
    return float(psutil.Process().memory_info().rss) / 2**20


if __name__ == "__main__":
    main()
