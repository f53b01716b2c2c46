"""Hosts that vanish: each is a network namespace whose servers go on, while no packet of theirs comes back.

Needs root, and iproute2.
"""

import os
import random
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

# Runs in the namespace: each port is passed on to a socket of the file system, which all namespaces share.
_RELAY = """
import asyncio, sys
async def copy(reader, writer):
    try:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    except OSError:
        pass
    finally:
        writer.close()
async def serve(host, port, path):
    async def joined(reader, writer):
        try:
            theirs = await asyncio.open_unix_connection(path)
        except OSError:
            return writer.close()
        await asyncio.gather(copy(reader, theirs[1]), copy(theirs[0], writer))
    await asyncio.start_server(joined, host, port)
async def main(host, *ports):
    for one in ports:
        port, _, path = one.partition("=")
        await serve(host, int(port), path)
    print("ready", flush=True)
    await asyncio.Event().wait()
asyncio.run(main(*sys.argv[1:]))
"""


# Places that were made before this process began, as `name,ours,host` and spaces between.
_MADE_BEFORE = "FLAGSHIP_TEST_PLACES"


@dataclass(frozen=True)
class Place:
    """A namespace with a link into it: our end's address, and the one inside."""

    name: str
    ours: str
    host: str


def new_place() -> Place:
    """Names for one that is to be made."""
    subnet = f"10.{random.randint(64, 250)}.{random.randint(0, 255)}"
    last = 4 * random.randint(0, 62)
    return Place(f"fs{random.randrange(16**8):08x}", f"{subnet}.{last + 1}", f"{subnet}.{last + 2}")


@contextmanager
def made(place: Place) -> Iterator[None]:
    name = place.name
    with ExitStack() as stack:
        _ip("netns", "add", name)
        stack.callback(_ip, "netns", "del", name)
        _ip("link", "add", name, "type", "veth", "peer", "name", "inside", "netns", name)
        _ip("addr", "add", f"{place.ours}/30", "dev", name)
        _ip("link", "set", name, "up")
        _ip("-n", name, "addr", "add", f"{place.host}/30", "dev", "inside")
        _ip("-n", name, "link", "set", "inside", "up")
        yield


@contextmanager
def made_before(count: int) -> Iterator[None]:
    """Make so many places for the processes that are started within: while a browser runs, no link may come or go.

    Chromium breaks off what is just connecting when one does (ERR_NETWORK_CHANGED).
    """
    with ExitStack() as stack:
        places = [new_place() for _ in range(count)]
        for place in places:
            stack.enter_context(made(place))
        os.environ[_MADE_BEFORE] = " ".join(f"{one.name},{one.ours},{one.host}" for one in places)
        stack.callback(os.environ.pop, _MADE_BEFORE)
        yield


# Of those that were made before, the ones that a host of this process has.
_taken: set[Place] = set()


def _free_place() -> Place | None:
    for text in os.environ.get(_MADE_BEFORE, "").split():
        place = Place(*text.split(","))
        if place not in _taken:
            _taken.add(place)
            return place
    return None


class VanishingHost:
    """A host of its own before servers that listen on sockets: `ports` maps a port to the path of a socket."""

    def __init__(self, ports: dict[int, Path]) -> None:
        self._ports = ports
        found = _free_place()
        self._place = found or new_place()
        self._is_made = found is not None
        self._name, self._ours, self.host = self._place.name, self._place.ours, self._place.host
        self._exits = ExitStack()

    def __enter__(self) -> Self:
        with ExitStack() as starting:
            if self._is_made:
                starting.callback(_taken.discard, self._place)
            else:
                starting.enter_context(made(self._place))
            arguments = [self.host, *(f"{port}={path}" for port, path in self._ports.items())]
            relay = subprocess.Popen(
                ["ip", "netns", "exec", self._name, sys.executable, "-c", _RELAY, *arguments], stdout=subprocess.PIPE
            )
            starting.callback(relay.wait, 30)
            starting.callback(relay.kill)
            if relay.stdout is None:
                raise RuntimeError("The relay has no output.")
            with relay.stdout as said:
                if said.readline() != b"ready\n":
                    raise RuntimeError("The relay in the namespace did not start.")
            self._exits = starting.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._exits.__exit__(kind, error, trace)

    def vanish(self) -> None:
        """From now on the host takes packets and no answer comes back, not even a refusal."""
        _ip("-n", self._name, "route", "add", "blackhole", f"{self._ours}/32")

    def heal(self) -> None:
        _ip("-n", self._name, "route", "del", "blackhole", f"{self._ours}/32")


@contextmanager
def vanished(*hosts: VanishingHost) -> Iterator[None]:
    for host in hosts:
        host.vanish()
    try:
        yield
    finally:
        for host in hosts:
            host.heal()


def _ip(*arguments: str) -> None:
    done = subprocess.run(["ip", *arguments], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"ip {' '.join(arguments)}: {done.stderr.strip()}")
