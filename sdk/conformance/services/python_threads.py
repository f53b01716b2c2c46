"""The test service of the Python SDK with threads."""

from __future__ import annotations

import threading
from typing import Any

from openflagship import FlagShip

from sdk.conformance.services.serving import InMemory, options_of, serve


class Threaded(InMemory):
    def __init__(self, url: str, key: str, options: dict[str, Any]) -> None:
        self._before = set(threading.enumerate())
        self._client: FlagShip = FlagShip(key, url, **options_of(options))

    def flush(self, seconds: float) -> bool:
        return self._client.flush(seconds)

    def ready(self, seconds: float) -> str:
        return self._client.ready(seconds)

    def close(self) -> list[str]:
        self._client.close()
        left = set(threading.enumerate()) - self._before
        return sorted(thread.name for thread in left if thread.name.startswith("openflagship"))


if __name__ == "__main__":
    serve(Threaded)
