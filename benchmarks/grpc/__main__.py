"""flagd's protocol on an edge, `python -m benchmarks.grpc [--rate 2000] [--seconds 20] [--flagd FILE]`.

Calls start when they are due, whether or not earlier ones are back, and a latency counts from when its call was due. So
a server that falls behind is seen to. With `--flagd`, a binary of flagd serves the same kind of flag in the same run.
"""

import argparse
import json
import os
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

from openflagship.rpc.generated.flagd.evaluation.v2 import evaluation_pb2 as v2

from benchmarks import stack
from benchmarks.processes import start, stop, until
from benchmarks.world import ROOT, machine, report

LOAD = Path(__file__).parent / "load"
FLAG = "new-checkout"
METHOD = "/flagd.evaluation.v2.Service/ResolveBoolean"
# With fewer, how the kernel spreads them over the processes decides.
CONNECTIONS = 32
USERS = 10_000
WARM_SECONDS = 3.0
MOST_SECONDS_TO_START = 60.0
TARGET_P99_MS = 10.0
SNAPSHOT = {
    "contract": 1,
    "version": 1,
    "environment": {"organization": "bench", "project": "web", "key": "production", "salt": ""},
    "segments": {},
    "flags": {
        FLAG: {
            "key": FLAG,
            "type": "boolean",
            "enabled": True,
            "variants": [{"key": "control", "value": False}, {"key": "treatment", "value": True}],
            "defaultVariant": "control",
            "offVariant": "control",
            "allocation": [[0, 5000, "treatment"]],
        }
    },
}
FLAGD_FLAGS = {
    "flags": {
        FLAG: {
            "state": "ENABLED",
            "variants": {"control": False, "treatment": True},
            "defaultVariant": "control",
            "targeting": {"fractional": [["control", 50], ["treatment", 50]]},
        }
    }
}


class _Upstream(BaseHTTPRequestHandler):
    """Has the snapshot, and takes events."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        found = self.path.endswith("/snapshot")
        self._say(200 if found else 404, SNAPSHOT if found else {})

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", "0")))
        self._say(202, {"accepted": 1, "rejected": []})

    def _say(self, status: int, body: Any) -> None:
        content = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        """Nothing."""


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as found:
        return int(found.getsockname()[1])


@contextmanager
def running(command: Sequence[str], port: int, **variables: str) -> Iterator[None]:
    """Inside it the program listens."""
    process = start(command, {**os.environ, **variables})

    def listens() -> bool:
        if process.poll() is not None:
            raise SystemExit(f"{command[0]} ended with {process.returncode}.")
        with suppress(OSError):
            socket.create_connection(("127.0.0.1", port), 1).close()
            return True
        return False

    try:
        until(listens, seconds=MOST_SECONDS_TO_START)
        yield
    finally:
        stop(process)


@contextmanager
def edge(processes: int) -> Iterator[int]:
    upstream = ThreadingHTTPServer(("127.0.0.1", 0), _Upstream)
    Thread(target=upstream.serve_forever, daemon=True).start()
    port, http = free_port(), free_port()
    variables = {
        "FLAGSHIP_EDGE_URL": f"http://127.0.0.1:{upstream.server_address[1]}",
        "FLAGSHIP_EDGE_KEYS": "fs_server_benchmark",
        "FLAGSHIP_EDGE_GRPC": f"127.0.0.1:{port}",
        "FLAGSHIP_EDGE_PROCESSES": str(processes),
    }
    try:
        with running([sys.executable, "-m", "openflagship.edge", "--port", str(http)], port, **variables):
            yield port
    finally:
        upstream.shutdown()


@contextmanager
def flagd(binary: str, folder: Path) -> Iterator[int]:
    port, management = free_port(), free_port()
    flags = folder / "flags.json"
    flags.write_text(json.dumps(FLAGD_FLAGS))
    command = [binary, "start", "--uri", f"file:{flags}", "--port", str(port), "--management-port", str(management)]
    with running(command, port):
        yield port


def build() -> Path:
    """The load generator, in Go: one in Python would take as much of the machine as what it measures."""
    program = ROOT / "var" / "go" / "load"
    subprocess.run(["go", "build", "-buildvcs=false", "-o", program, "."], cwd=LOAD, check=True, timeout=600)
    return program


def load(program: Path, port: int, rate: int, seconds: float) -> tuple[list[float], int, str]:
    """Latencies in milliseconds, sorted; how many calls failed, and why the last of them did."""
    command = [
        str(program),
        f"-address=127.0.0.1:{port}",
        f"-method={METHOD}",
        f"-rate={rate}",
        f"-seconds={seconds}",
        f"-warm={WARM_SECONDS}",
        f"-connections={CONNECTIONS}",
    ]
    messages = "\n".join(_question(number).SerializeToString().hex() for number in range(USERS))
    done = subprocess.run(command, input=messages, check=True, capture_output=True, text=True, timeout=seconds + 120)
    found = json.loads(done.stdout)
    return found["latencies"], found["failed"], found["refusal"]


def _question(number: int) -> v2.ResolveBooleanRequest:
    question = v2.ResolveBooleanRequest(flag_key=FLAG)
    question.context.update({"targetingKey": f"user-{number}", "country": "DE"})
    return question


def _row(name: str, took: list[float], failed: int, seconds: float) -> str:
    def at(share: float) -> str:
        return f"{took[min(len(took) - 1, int(share * len(took)))]:.2f}"

    answered = f"{len(took) / seconds:,.0f}"
    return f"| {name} | {answered} | {failed} | {at(0.5)} | {at(0.99)} | {at(0.999)} |"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rate", type=int, default=2_000, help="calls a second")
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--processes", type=int, nargs="+", default=[1, 2], help="of the edge, for each row")
    parser.add_argument("--flagd", help="flagd's binary")
    options = parser.parse_args()
    stack.refuse_another()
    program, rows, p99 = build(), [], 0.0
    with tempfile.TemporaryDirectory() as folder:
        servers = {f"edge, {count} process{'es' * (count > 1)}": edge(count) for count in options.processes}
        if options.flagd:
            servers["flagd"] = flagd(options.flagd, Path(folder))
        for name, server in servers.items():
            with server as port:
                took, failed, refusal = load(program, port, options.rate, options.seconds)
            rows.append(_row(name, took, failed, options.seconds))
            print(rows[-1], refusal, flush=True)
            if name.startswith("edge"):
                p99 = max(p99, took[int(0.99 * len(took))])
    beside = "" if options.flagd else " flagd's binary was not at hand."
    report(
        "grpc",
        [
            "## gRPC",
            "",
            f"`python -m benchmarks.grpc --rate {options.rate} --seconds {options.seconds:g}`, {machine()}. Calls of "
            f"`ResolveBoolean` over {CONNECTIONS} connections, each begun when it is due; the load generator shares "
            f"the machine. Milliseconds from when a call was due. Wanted: p99 under {TARGET_P99_MS:g} ms.{beside}",
            "",
            "| server | answered a second | failed | p50 | p99 | p99.9 |",
            "|---|---|---|---|---|---|",
            *rows,
        ],
    )
    return 0 if p99 < TARGET_P99_MS else 1


if __name__ == "__main__":
    sys.exit(main())
