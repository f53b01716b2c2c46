"""The shipped Caddyfile in the real Caddy, on loopback addresses of its own: for tests and benchmarks."""

import os
import random
import shutil
import socket
import struct
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from django.conf import settings

from flags.testing.cluster import free_port
from flags.testing.streams import eventually

CADDYFILE = settings.BASE_DIR / "deploy" / "Caddyfile"
STOP_SECONDS = 30
_ANSWER_SECONDS = 1
_TYPE_A, _NO_SUCH_NAME = 1, 3


def loopback_address() -> str:
    """An address of 127.0.0.0/8 that no other test uses; Linux answers on all of them."""
    return f"127.{random.randint(2, 250)}.{random.randint(1, 250)}.{random.randint(1, 250)}"


class Names:
    """A DNS server of a few names, in place of Docker's. `addresses` may change while it runs."""

    def __init__(self, addresses: Mapping[str, Sequence[str]]) -> None:
        self.addresses = dict(addresses)
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind((loopback_address(), 0))
        self.host, self.port = self._socket.getsockname()
        threading.Thread(target=self._serve, name="names", daemon=True).start()

    def close(self) -> None:
        self._socket.close()

    def _serve(self) -> None:
        while True:
            try:
                query, asker = self._socket.recvfrom(512)
                self._socket.sendto(self._answer(query), asker)
            except OSError:
                return

    def _answer(self, query: bytes) -> bytes:
        labels, at = [], 12
        while size := query[at]:
            labels.append(query[at + 1 : at + 1 + size].decode())
            at += 1 + size
        kind, end = struct.unpack("!H", query[at + 1 : at + 3])[0], at + 5
        found = self.addresses.get(".".join(labels).lower(), ())
        shown = found if kind == _TYPE_A else ()
        head = struct.pack("!HHHHH", 0x8180 | (0 if found else _NO_SUCH_NAME), 1, len(shown), 0, 0)
        records = (
            b"\xc0\x0c" + struct.pack("!HHIH", _TYPE_A, 1, _ANSWER_SECONDS, 4) + socket.inet_aton(one) for one in shown
        )
        return query[:2] + head + query[12:end] + b"".join(records)


class Proxy:
    """Caddy before the groups of processes whose addresses `groups` names, on the ports of docker-compose.yml."""

    def __init__(self, folder: Path, groups: Mapping[str, Sequence[str]]) -> None:
        self.names = Names(groups)
        # Caddy listens on the port of every address, so no two proxies may share one.
        self.host, self.port = loopback_address(), free_port()
        self.log = folder / "caddy.log"
        caddy = Path(sys.executable).with_name("caddy")
        self._caddy = str(caddy) if caddy.exists() else shutil.which("caddy")
        self._variables = {
            **os.environ,
            "SITE_ADDRESS": f"http://{self.host}:{self.port}",
            "PROXY_RESOLVERS": f"resolvers {self.names.host}:{self.names.port}",
            "CADDY_ADMIN": f"127.0.0.1:{free_port()}",  # it takes orders under this name alone
            "XDG_DATA_HOME": str(folder / "caddy"),
            "XDG_CONFIG_HOME": str(folder / "caddy"),
        }
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"http://{self.host}:{self.port}"

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
        self.names.close()

    def start(self) -> None:
        if self._caddy is None:
            raise RuntimeError("There is no caddy; install requirements-dev.txt.")
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [self._caddy, "run", "--config", str(CADDYFILE)], env=self._variables, stdout=log, stderr=log
            )
        eventually(self._is_listening, seconds=60)

    def reload(self) -> None:
        """As `docker compose exec proxy caddy reload` does."""
        command = [str(self._caddy), "reload", "--force", "--config", str(CADDYFILE)]
        subprocess.run(command, env=self._variables, check=True, capture_output=True, timeout=60)

    def stop(self) -> None:
        if self._process is not None:
            self._process.terminate()
            self._process.wait(STOP_SECONDS)
            self._process = None

    def _is_listening(self) -> Any:
        if self._process is not None and self._process.poll() is not None:
            raise RuntimeError(f"Caddy ended:\n{self.log.read_text()[-2000:]}")
        try:
            socket.create_connection((self.host, self.port), timeout=5).close()
        except OSError:
            return False
        return True
