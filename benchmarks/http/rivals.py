"""Unleash's server from npm, beside FlagShip's on the same machine: installed once under var/, on its own database."""

import http.client
import json
import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql

PORT = 8149
FLAGS = 50
PACKAGES = ("unleash-server@8.2.0", "node@22")  # the server needs a newer node than distributions have
ADMIN, FRONTEND, BACKEND = "*:*.bench", "*:development.bench-frontend", "*:development.bench-backend"
_UNLIMITED = str(10**9)


class NotInstalledError(Exception):
    """Says why there is no rival to measure."""


def install(folder: Path) -> Path:
    """The folder of the packages, fetched by npm the first time. Raises NotInstalledError."""
    server = folder / "node_modules" / "unleash-server"
    if not server.exists():
        folder.mkdir(parents=True, exist_ok=True)
        command = ["npm", "install", "--no-audit", "--no-fund", "--prefix", str(folder), *PACKAGES]
        try:
            finished = subprocess.run(command, check=False, capture_output=True, text=True, timeout=900)
        except (OSError, subprocess.TimeoutExpired) as error:
            raise NotInstalledError(str(error)) from error
        if finished.returncode:
            raise NotInstalledError(finished.stderr.strip().splitlines()[-1])
    return folder


@contextmanager
def unleash(folder: Path, database_url: str) -> Iterator[subprocess.Popen[bytes]]:
    """A running server with 50 flags: half of them to half of the users, half of those with constraints."""
    _empty_database(database_url)
    with psycopg.connect(database_url) as there:
        host, user = there.info.host, there.info.user
    environ = {
        "PATH": os.environ["PATH"],
        "HOME": str(folder),
        "NODE_ENV": "production",
        "DATABASE_HOST": host,
        "DATABASE_NAME": "unleash",
        "DATABASE_USERNAME": user,
        "DATABASE_PASSWORD": "trusted",
        "DATABASE_SSL": "false",
        "HTTP_HOST": "127.0.0.1",
        "HTTP_PORT": str(PORT),
        "LOG_LEVEL": "error",
        "CHECK_VERSION": "false",
        "SEND_TELEMETRY": "false",
        "INIT_ADMIN_API_TOKENS": ADMIN,
        "INIT_FRONTEND_API_TOKENS": FRONTEND,
        "INIT_BACKEND_API_TOKENS": BACKEND,
        "SDK_API_RATE_LIMIT_PER_MINUTE": _UNLIMITED,
        "TOKEN_AUTHENTICATION_RATE_LIMIT_PER_MINUTE": _UNLIMITED,
    }
    script = (
        "import('unleash-server').then(u => u.start()).catch(e => { console.error(String(e.stack)); process.exit(1) })"
    )
    node = folder / "node_modules" / "node" / "bin" / "node"
    process = subprocess.Popen([str(node), "-e", script], cwd=folder, env=environ)
    try:
        _wait(process)
        for number in range(FLAGS):
            _make(number)
        # It looks for a new revision once a second.
        while len(_ask("GET", "/api/frontend?userId=u", FRONTEND)["toggles"]) < FLAGS // 4:
            time.sleep(0.2)
        yield process
    finally:
        process.terminate()
        process.wait(30)


def _empty_database(database_url: str) -> None:
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("DROP DATABASE IF EXISTS unleash WITH (FORCE)")
        connection.execute(sql.SQL("CREATE DATABASE unleash"))


def _wait(process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise NotInstalledError(f"it ended with {process.returncode} at its start")
        try:
            _ask("GET", "/health", "")
        except OSError:
            time.sleep(0.3)
        else:
            return
    raise NotInstalledError("it was not ready after two minutes")


def _make(number: int) -> None:
    name, project = f"flag-{number}", "/api/admin/projects/default/features"
    plan = [{"contextName": "plan", "operator": "IN", "values": ["pro", "free"]}]
    strategy = {
        "name": "flexibleRollout",
        "parameters": {"rollout": "50", "stickiness": "userId", "groupId": name},
        "constraints": plan if number % 2 else [],
    }
    _ask("POST", project, ADMIN, {"name": name, "type": "release"})
    _ask("POST", f"{project}/{name}/environments/development/strategies", ADMIN, strategy)
    _ask("POST", f"{project}/{name}/environments/development/on", ADMIN)


def _ask(method: str, path: str, token: str, body: Any = None) -> Any:
    connection = http.client.HTTPConnection("127.0.0.1", PORT, timeout=30)
    content = None if body is None else json.dumps(body)
    connection.request(method, path, content, {"Authorization": token, "Content-Type": "application/json"})
    response = connection.getresponse()
    answer = response.read()
    connection.close()
    if response.status >= 400:
        raise OSError(f"{method} {path}: {response.status} {answer[:200]!r}")
    return json.loads(answer) if answer else None


def etag() -> str:
    connection = http.client.HTTPConnection("127.0.0.1", PORT, timeout=30)
    connection.request("GET", "/api/client/features", headers={"Authorization": BACKEND})
    response = connection.getresponse()
    response.read()
    connection.close()
    return response.headers["ETag"]
