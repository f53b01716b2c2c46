"""Hosts that vanish: each is a network namespace whose servers go on, while no packet of theirs comes back.

Needs root, and iproute2.
"""

import random
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
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


class VanishingHost:
    """A host of its own before servers that listen on sockets: `ports` maps a port to the path of a socket."""

    def __init__(self, ports: dict[int, Path]) -> None:
        self._ports = ports
        self._name = f"fs{random.randrange(16**8):08x}"
        subnet = f"10.{random.randint(64, 250)}.{random.randint(0, 255)}"
        last = 4 * random.randint(0, 62)
        self._ours, self.host = f"{subnet}.{last + 1}", f"{subnet}.{last + 2}"
        self._exits = ExitStack()

    def __enter__(self) -> Self:
        with ExitStack() as starting:
            _ip("netns", "add", self._name)
            starting.callback(_ip, "netns", "del", self._name)
            _ip("link", "add", self._name, "type", "veth", "peer", "name", "inside", "netns", self._name)
            _ip("addr", "add", f"{self._ours}/30", "dev", self._name)
            _ip("link", "set", self._name, "up")
            _ip("-n", self._name, "addr", "add", f"{self.host}/30", "dev", "inside")
            _ip("-n", self._name, "link", "set", "inside", "up")
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
