"""The test service of the Python SDK with threads."""

from __future__ import annotations

import threading
from typing import Any

from openflagship import Context, FlagShip

from sdk.conformance.services.serving import options_of, serve, status_of


class Threaded:
    def __init__(self, url: str, key: str, options: dict[str, Any]) -> None:
        self._before = set(threading.enumerate())
        self._client = FlagShip(key, url, **options_of(options))

    def evaluate(self, question: dict[str, Any]) -> dict[str, Any]:
        context = Context(question["userId"], question["attributes"])
        return dict(self._client.variation_detail(question["flag"], context, question["default"]).to_dict())

    def all(self, user_id: str, attributes: dict[str, Any]) -> dict[str, Any]:
        return self._client.all_flags(Context(user_id, attributes))

    def track(self, event: str, user_id: str, value: float | None, properties: dict[str, Any]) -> None:
        self._client.track(event, user_id, value, properties)

    def flush(self, seconds: float) -> bool:
        return self._client.flush(seconds)

    def ready(self, seconds: float) -> str:
        return self._client.ready(seconds)

    def status(self) -> dict[str, Any]:
        return status_of(self._client.status())

    def close(self) -> list[str]:
        self._client.close()
        left = set(threading.enumerate()) - self._before
        return sorted(thread.name for thread in left if thread.name.startswith("openflagship"))


if __name__ == "__main__":
    serve(Threaded)
