"""A whole running platform for tests that look from outside, and waiting for what will come."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import psycopg
import pytest
import urllib3

from flags.testing.cluster import free_port
from flagship import embedded


def eventually(check: Callable[[], Any], *, seconds: float = 90, what: str) -> Any:
    """Poll until `check` gives something true, and return it; fail naming what never came."""
    deadline = time.monotonic() + seconds
    pause = 0.05
    while True:
        found = check()
        if found:
            return found
        if time.monotonic() > deadline:
            pytest.fail(f"after {seconds} s still not: {what} (last seen: {found!r})")
        time.sleep(pause)


class Stack:
    """A running platform and the demo's credentials."""

    def __init__(self, var_dir: Path, demo: dict[str, Any]) -> None:
        self.var_dir, self.demo = var_dir, demo
        self.http = urllib3.PoolManager(timeout=90, retries=False, maxsize=8)

    def call(self, method: str, path: str, body: Any = None, *, key: str = "serverKey", **headers: str) -> Any:
        return self.http.request(
            method,
            self.demo["baseUrl"] + path,
            body=None if body is None else json.dumps(body),
            headers={"Authorization": f"Bearer {self.demo[key]}", "Content-Type": "application/json", **headers},
        )

    def manage(self, method: str, path: str, body: Any = None, **query: str) -> Any:
        return self.call(
            method,
            f"{path}?{urlencode({'environment': self.demo['environment'], **query})}",
            body,
            key="managementToken",
            **{"X-Tenant-ID": self.demo["organization"]},
        )

    def evaluate(self, user_id: str, flag_key: str = "new-checkout") -> dict[str, Any]:
        response = self.call("POST", "/api/flags/evaluate", {"flagKey": flag_key, "userId": user_id})
        assert response.status == 200, response.data
        return response.json()

    def rows(self, query: str, *params: Any) -> list[tuple[Any, ...]]:
        with psycopg.connect(embedded.database_url(self.var_dir)) as connection:
            return connection.execute(query, params).fetchall()


@contextmanager
def running_edge(**variables: str) -> Iterator[str]:
    """The address of an edge that is ready, in a process of its own."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    process = subprocess.Popen(
        [sys.executable, "-m", "openflagship.edge", "--port", str(port)], env={**os.environ, **variables}
    )
    try:
        eventually(lambda: _is_ready(url), what="the edge is ready")
        yield url
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(120)


def _is_ready(url: str) -> bool:
    try:
        return urllib3.request("GET", url + "/readyz", timeout=30, retries=False).status == 200
    except urllib3.exceptions.HTTPError:
        return False
