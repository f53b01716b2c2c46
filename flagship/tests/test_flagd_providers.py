"""OpenFeature's flagd providers, unchanged, in their RPC mode: each type, reason and error, kills and cuts."""

import json
import queue
import shutil
import socket
import subprocess
import sys
import threading
import time
from contextlib import closing, contextmanager, suppress
from functools import partial
from pathlib import Path

import grpc
import pytest

from flags import services
from flags.testing.cluster import free_port
from flags.tests.test_ofrep import FLAGS, ROWS, as_payload
from flagship.tests.grpc_server import SECONDS, Calls, Served
from flagship.tests.stack import Stack, eventually, running_edge
from tenancy.testing import ALICE

HERE = Path(__file__).parent
CLIENTS = HERE / "flagd_clients"
# What flagd's own test bed asks of a provider in RPC mode beyond the evaluation rows: errors, empty values, and a flag
# that is off, which here has its off variant.
FURTHER = [
    ("boolean", "text", True, {"value": True, "reason": "ERROR", "errorCode": "TYPE_MISMATCH"}),
    ("string", "nobody", "own", {"value": "own", "reason": "ERROR", "errorCode": "FLAG_NOT_FOUND"}),
    ("string", "empty", "own", {"value": "", "variant": "nothing", "reason": "DEFAULT"}),
    ("boolean", "false", True, {"value": False, "variant": "nothing", "reason": "DEFAULT"}),
    ("integer", "zero", 7, {"value": 0, "variant": "nothing", "reason": "DEFAULT"}),
    ("float", "zero", 7.5, {"value": 0, "variant": "nothing", "reason": "DEFAULT"}),
    ("object", "blank", {"own": 1}, {"value": {}, "variant": "nothing", "reason": "DEFAULT"}),
    ("boolean", "off", True, {"value": False, "variant": "control", "reason": "DISABLED"}),
]
ASKED = [{"type": kind, "flag": flag, "default": default} for kind, flag, default, _ in FURTHER]
KILLED = {"type": "boolean", "flag": "cached", "default": True}
ON = {"value": True, "variant": "nothing", "reason": "DEFAULT"}
OFF = {"value": False, "variant": "other", "reason": "DISABLED"}


class Cut:
    """A way to the server that can be cut: what goes through it ends, and for a while nobody gets through."""

    def __init__(self, port: int) -> None:
        self._to = port
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port = self._listening.getsockname()[1]
        self._pairs: list[socket.socket] = []
        self._is_open = threading.Event()
        self._is_open.set()
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                near, _ = self._listening.accept()
                if not self._is_open.is_set():
                    near.close()
                    continue
                far = socket.create_connection(("127.0.0.1", self._to))
                self._pairs += [near, far]
                for one, other in ((near, far), (far, near)):
                    threading.Thread(target=self._pump, args=(one, other), daemon=True).start()

    @staticmethod
    def _pump(one: socket.socket, other: socket.socket) -> None:
        with suppress(OSError):
            while data := one.recv(65_536):
                other.sendall(data)
            other.shutdown(socket.SHUT_WR)

    def cut(self) -> None:
        self._is_open.clear()
        for end in self._pairs:
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()
        self._pairs.clear()

    def mend(self) -> None:
        self._is_open.set()

    def close(self) -> None:
        self.cut()
        self._listening.close()


class Asker:
    """A provider in a process of its own."""

    def __init__(self, command: list[str], folder: Path, port: int, selector: str) -> None:
        self._process = subprocess.Popen(
            command, cwd=folder, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
        )
        self._said: queue.Queue = queue.Queue()
        self.events: queue.Queue = queue.Queue()
        threading.Thread(target=self._read, daemon=True).start()
        self._write({"port": port, "selector": selector})
        self.heard("started")

    def _read(self) -> None:
        for line in self._process.stdout:
            said = json.loads(line)
            (self.events if "event" in said else self._said).put(said)

    def _write(self, members: dict) -> None:
        self._process.stdin.write(json.dumps(members) + "\n")
        self._process.stdin.flush()

    def ask(self, *rows: dict) -> list[dict]:
        self._write({"rows": rows})
        results = self._said.get(timeout=SECONDS)["results"]
        return [{name: value for name, value in one.items() if value is not None} for one in results]

    def heard(self, event: str) -> dict:
        while (found := self.events.get(timeout=SECONDS))["event"] != event:
            pass
        return found

    def close(self) -> None:
        self._process.stdin.close()
        self._process.wait(SECONDS)
        self._process.stdout.close()


def _further():
    """Flags of each type whose first variant, the default, is empty; and one that is kept where answers are kept."""
    for name, kind, value in (
        ("empty", "string", ""), ("false", "boolean", False), ("zero", "number", 0), ("blank", "json", {}),
        ("text", "string", "a"), ("cached", "boolean", True),
    ):  # fmt: skip
        other = {"string": "b", "boolean": value is False, "number": 1, "json": {"a": 1}}[kind]
        variants = [{"key": "nothing", "value": value}, {"key": "other", "value": other}]
        yield {"key": name, "type": kind, "variants": variants, "enabled": True}
    yield {"key": "off", "enabled": False}


def _asks_all(provider, way, *, port, secret, kill, release, tells_of_cuts=True):
    """The rows, kills, and a kill while the way to the server at `port` is cut."""
    results = provider.ask(*ROWS)
    compared = ("value", "variant", "reason", "errorCode")
    wrong = [
        (row["scenario"], row["flag"], seen, expected)
        for row, result in zip(ROWS, results, strict=True)
        if (seen := {name: result.get(name) for name in row["expected"] if name in compared})
        != (expected := {name: _told(name, value) for name, value in row["expected"].items() if name in compared})
    ]
    assert wrong == []
    expected = [found for *_, found in FURTHER]
    assert [
        {name: one.get(name) for name in found} for one, found in zip(provider.ask(*ASKED), expected, strict=True)
    ] == expected

    _hears_kills_within_a_second(provider, kill, release)
    way.cut()
    if tells_of_cuts:
        provider.heard("stale")
    kill()
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        served = Calls(channel, secret)
        question = ("flagd.evaluation.v1.Service.ResolveBoolean", {"flagKey": "cached"})
        eventually(lambda: served.call(*question).reason == "DISABLED", what="the server knows of the kill")
    way.mend()
    # Until then the provider for Node says of every flag that there is none: so it takes gRPC's UNAVAILABLE.
    provider.heard("ready")
    assert provider.ask(KILLED)[0] == OFF
    release()
    provider.heard("changed")
    _hears_kills_within_a_second(provider, kill, release)


def _hears_kills_within_a_second(provider, kill, release):
    """The flag is on, and the provider keeps what it may keep."""
    took = []
    # A busy machine may take longer now and then; a poll would take five seconds each time.
    for _ in range(10):
        assert provider.ask(KILLED, KILLED) == [ON, ON]
        started = time.monotonic()
        kill()
        assert "cached" in provider.heard("changed")["flags"]
        assert provider.ask(KILLED)[0] == OFF
        took.append(time.monotonic() - started)
        release()
        provider.heard("changed")
        if took[-1] < 1:
            return
    pytest.fail(f"kills took {took} seconds until they were heard and obeyed")


def test_python_provider__every_row_a_kill_and_a_cut__is_answered_by_what_is_served_now(
    transactional_db, environment, make_flag, key
):
    for flag in (*map(as_payload, FLAGS), *_further()):
        make_flag(**flag)
    secret = key("client").secret

    def kill():
        services.kill_flag(actor=ALICE, environment=environment, key="cached", variant="other")

    def release():
        services.release_flag(actor=ALICE, environment=environment, key="cached")

    command = [sys.executable, str(HERE / "flagd_client.py")]
    with (
        Served() as served,
        closing(Cut(served.port)) as way,
        closing(Asker(command, HERE, way.port, secret)) as provider,
    ):
        _asks_all(provider, way, port=served.port, secret=secret, kill=kill, release=release)


@contextmanager
def _edge(stack: Stack, connect: str = ""):
    """An edge with the rows' flags, the port of its gRPC, and how the flag that is kept is killed and released."""
    for flag in (*map(as_payload, FLAGS), *_further()):
        created = stack.manage("POST", "/api/flags", flag)
        assert created.status in {200, 201, 409}, created.data
    last = [*_further()][-1]["key"]
    eventually(
        lambda: all(stack.call("POST", f"/ofrep/v1/evaluate/flags/{last}", {}).status == 200 for _ in range(20)),
        what="every worker knows the flags",
    )

    def act(name, body=None):
        done = stack.manage("POST", f"/api/flags/cached/{name}", body or {})
        assert done.status in {200, 202}, done.data

    port = free_port()
    about = {
        "FLAGSHIP_EDGE_URL": stack.demo["baseUrl"],
        "FLAGSHIP_EDGE_STREAM_URL": stack.demo["streamUrl"],
        "FLAGSHIP_EDGE_KEYS": stack.demo["serverKey"],
        "FLAGSHIP_EDGE_GRPC": f"127.0.0.1:{port}{connect}",
    }
    kill, release = partial(act, "kill", {"variant": "other"}), partial(act, "kill/release")
    with running_edge(**about):
        yield {"port": port, "secret": None, "kill": kill, "release": release}


# The provider's stream carries no key, and on the edge's own machine nobody needs one.
@pytest.mark.node
@pytest.mark.processes
@pytest.mark.xdist_group("stack")
def test_node_provider__through_an_edge__is_answered_by_what_is_served_now(stack: Stack, packages: Path):
    with (
        _edge(stack) as about,
        closing(Cut(about["port"])) as way,
        closing(Asker(["node", "flagd.mjs"], packages, way.port, "")) as provider,
    ):
        _asks_all(provider, way, **about)


@pytest.mark.go
@pytest.mark.processes
@pytest.mark.xdist_group("stack")
def test_go_provider__over_connect__is_answered_by_what_is_served_now(stack: Stack, tmp_path: Path):
    program = tmp_path / "client"
    subprocess.run(["go", "build", "-o", program, "."], cwd=CLIENTS / "go", check=True, timeout=600)
    connect = free_port()
    with (
        _edge(stack, connect=f",connect:127.0.0.1:{connect}") as about,
        closing(Cut(connect)) as way,
        closing(Asker([str(program)], tmp_path, way.port, "")) as provider,
    ):
        _asks_all(provider, way, **about, tells_of_cuts=False)


@pytest.mark.maven
@pytest.mark.processes
@pytest.mark.xdist_group("stack")
def test_java_provider__through_an_edge__is_answered_by_what_is_served_now(stack: Stack, tmp_path: Path):
    folder = tmp_path / "client"
    shutil.copytree(CLIENTS / "java", folder)
    goals = ["compile", "dependency:build-classpath", "-Dmdep.outputFile=classpath"]
    subprocess.run(["mvn", "-q", "-B", *goals], cwd=folder, check=True, timeout=600)
    classes = f"target/classes:{(folder / 'classpath').read_text()}"
    with (
        _edge(stack) as about,
        closing(Cut(about["port"])) as way,
        closing(Asker(["java", "-cp", classes, "Client"], folder, way.port, "")) as provider,
    ):
        _asks_all(provider, way, **about)


def _told(name: str, value: object) -> object:
    """Over gRPC nothing is static, so that nothing is kept."""
    return "DEFAULT" if (name, value) == ("reason", "STATIC") else value
