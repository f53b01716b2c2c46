"""Requests over one connection that is kept: a new one for each took most of the harness's time."""

from __future__ import annotations

import http.client
import json
import threading
import time
from typing import Any
from urllib.parse import urlsplit

# Servers close an idle connection after a while, five seconds as a rule. None is used again that might be near its end.
_MOST_IDLE_SECONDS = 2.0


class Connection:
    """Asks one server, one request after another."""

    def __init__(self, url: str, patience_seconds: float, headers: dict[str, str] | None = None) -> None:
        self._kept = http.client.HTTPConnection(urlsplit(url).netloc, timeout=patience_seconds)
        self._headers = {"Content-Type": "application/json", **(headers or {})}
        self._used_at = 0.0
        self._lock = threading.Lock()

    def ask(self, method: str, path: str, body: Any = None) -> tuple[int, bytes]:
        """The status and the body of the answer."""
        content = None if body is None else json.dumps(body).encode()
        with self._lock:
            if time.monotonic() - self._used_at > _MOST_IDLE_SECONDS:
                self._kept.close()
            try:
                self._kept.request(method, path, content, self._headers)
                answer = self._kept.getresponse()
                return answer.status, answer.read()
            except (OSError, http.client.HTTPException):
                self._kept.close()
                raise
            finally:
                self._used_at = time.monotonic()

    def close(self) -> None:
        self._kept.close()
