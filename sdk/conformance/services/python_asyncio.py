"""The test service of the Python SDK with asyncio: all clients live on one loop, in a thread of its own."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine
from typing import Any, TypeVar

from openflagship import AsyncFlagShip

from sdk.conformance.services.serving import InMemory, options_of, serve

_Result = TypeVar("_Result")
_loop = asyncio.new_event_loop()


def _on_loop(work: Coroutine[Any, Any, _Result]) -> _Result:
    return asyncio.run_coroutine_threadsafe(work, _loop).result()


class Asynchronous(InMemory):
    def __init__(self, url: str, key: str, options: dict[str, Any]) -> None:
        self._client: AsyncFlagShip = _on_loop(self._start(url, key, options_of(options)))

    @staticmethod
    async def _start(url: str, key: str, options: dict[str, Any]) -> AsyncFlagShip:
        client = AsyncFlagShip(key, url, **options)
        await client.start()
        return client

    def flush(self, seconds: float) -> bool:
        return _on_loop(self._client.flush(seconds))

    def ready(self, seconds: float) -> str:
        return _on_loop(self._client.ready(seconds))

    def close(self) -> list[str]:
        return _on_loop(self._close())

    async def _close(self) -> list[str]:
        drivers = (self._client._following, self._client._sending, self._client._announcing)
        await self._client.close()
        return [type(driver).__name__ for driver in drivers if driver is not None and driver.is_alive]


if __name__ == "__main__":
    threading.Thread(target=_loop.run_forever, daemon=True).start()
    serve(Asynchronous)
