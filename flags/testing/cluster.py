"""The real processes on servers of their own, which can be stopped and started: for tests and benchmarks."""

import atexit
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import ModuleType, TracebackType
from typing import Any, Self

import orjson
import psutil
from django.conf import settings

from flags.testing.streams import eventually

READY_SECONDS = 120
STOP_SECONDS = 90
REQUEST_SECONDS = 60

# Runs in `manage.py shell` of the cluster; prints one line of JSON.
_SEED = """
import json, sys
from audit.actors import Actor
from flags import services as flags
from tenancy import services as tenancy
from tenancy.models import User
from tenancy.roles import Role
actor = Actor(kind="system", id="", label="cluster")
organization = tenancy.create_organization(actor=actor, slug="acme", name="Acme")
project = tenancy.create_project(actor=actor, organization=organization, key="web", name="Web")
environment = tenancy.create_environment(actor=actor, project=project, key="production", name="Production")
user = User.objects.create(username="editor")
tenancy.add_member(actor=actor, user=user, role=Role.EDITOR, organization=organization)
issue = lambda kind, **about: tenancy.issue_credential(
    actor=actor, kind=kind, name=kind, organization=organization, **about).secret
for number in range({flags}):
    flags.create_flag(actor=actor, environment=environment, payload={{
        "key": f"flag-{{number}}", "enabled": True, "rollout": [{{"variant": "treatment", "percent": 50}}]}})
environment.refresh_from_db()
print(json.dumps({{"server_key": issue("server", environment=environment), "token": issue("manage", user=user),
    "environment_id": environment.pk, "version": environment.config_version}}))
"""


def free_port() -> int:
    """A port that nobody else gets until this process ends. A server may use it, also more than once.

    It stays bound here without listening. That does not prevent a server with SO_REUSEADDR from using it.
    """
    holder = socket.socket()
    holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    holder.bind(("127.0.0.1", 0))
    atexit.register(holder.close)
    return int(holder.getsockname()[1])


class Cluster:
    """Web workers and stream processes; inside the `with` they are ready."""

    def __init__(
        self,
        embedded: ModuleType,
        folder: Path,
        *,
        web_workers: int = 2,
        flags: int = 1,
        variables: Mapping[str, str] | None = None,
        processes: Sequence[str] = ("web", "stream"),
    ) -> None:
        self._first = processes
        self._embedded, self._folder, self._flags = embedded, folder, flags
        self._layout = embedded.layout.Layout.of(folder)
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._exits = ExitStack()
        self.web_port, self.stream_port = free_port(), free_port()
        self.server_key = self.token = ""
        self.environment_id = self.seeded_version = 0
        self._variables = {
            **os.environ,
            "FLAGSHIP_VAR_DIR": str(folder),
            "DATABASE_URL": embedded.database_url(folder),
            "REDIS_URL": embedded.redis_url(folder),
            "REDIS_PREFIX": "cluster",
            "SECRET_KEY": "a-secret-that-only-this-cluster-uses",
            "FLAGSHIP_STREAM_URL": f"http://127.0.0.1:{self.stream_port}",
            "WEB_PORT": str(self.web_port),
            "WEB_WORKERS": str(web_workers),
            "STREAM_PORT": str(self.stream_port),
            "LOG_LEVEL": "WARNING",
            **(variables or {}),
        }

    def __enter__(self) -> Self:
        with ExitStack() as starting:
            starting.enter_context(self._embedded.session(self._folder, fsync=False))
            starting.callback(self._stop_all)
            self._manage("migrate", "-v0")
            seeded = self._manage("shell", "-v0", "-c", _SEED.format(flags=self._flags))
            found = json.loads(seeded.splitlines()[-1])
            self.server_key, self.token = found["server_key"], found["token"]
            self.environment_id, self.seeded_version = found["environment_id"], found["version"]
            for name in self._first:
                self.start(name)
            self._exits = starting.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._exits.__exit__(kind, error, trace)

    # -- Processes ---------------------------------------------------------------------------------------------------

    def start(
        self,
        name: str,
        *,
        line: str | None = None,
        host: str = "127.0.0.1",
        port: int | None = None,
        variables: Mapping[str, str] | None = None,
    ) -> int:
        """Start one of the Procfile's processes and wait until it is ready; gives its port.

        Under another name than the `line`'s, it is one more of that kind, on a port of its own.
        """
        line = line or name
        own = {"web": self.web_port, "stream": self.stream_port}
        if port is None:
            port = own.get(line, 0) if line == name else free_port()
        commands = dict(line.split(":", 1) for line in (settings.BASE_DIR / "Procfile").read_text().splitlines())
        with (self._folder / f"{name}.log").open("ab") as log:
            self._processes[name] = subprocess.Popen(
                commands[line],
                shell=True,
                cwd=settings.BASE_DIR,
                env={
                    **self._variables,
                    f"{line.upper()}_HOST": host,
                    f"{line.upper()}_PORT": str(port),
                    "PROCESS_NAME": name,
                    **(variables or {}),
                    "PATH": f"{Path(sys.executable).parent}:{os.defpath}",
                },
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        if line in own:
            eventually(lambda: self._is_ready(name, host, port), seconds=READY_SECONDS)
        return port

    def stop(self, name: str) -> None:
        process = self._processes.pop(name)
        process.terminate()
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait(STOP_SECONDS)

    def kill(self, name: str) -> None:
        """End a process and its workers at once, as the kernel does."""
        process = self._processes.pop(name)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait(STOP_SECONDS)

    def pid(self, name: str) -> int:
        return self._processes[name].pid

    def _stop_all(self) -> None:
        for name in list(self._processes):
            self.stop(name)

    def _is_ready(self, name: str, host: str, port: int) -> bool:
        process = self._processes[name]
        if process.poll() is not None:
            raise RuntimeError(f"{name} ended with {process.returncode}:\n{(self._folder / f'{name}.log').read_text()}")
        try:
            return self.request("GET", "/readyz", host=host, port=port)[0] == 200
        except OSError:
            return False

    def _manage(self, *arguments: str) -> str:
        finished = subprocess.run(
            [sys.executable, "manage.py", *arguments],
            cwd=settings.BASE_DIR,
            env=self._variables,
            capture_output=True,
            text=True,
            check=False,
        )
        if finished.returncode != 0:
            raise RuntimeError(f"manage.py {arguments[0]} failed:\n{finished.stderr}")
        return finished.stdout

    @property
    def variables(self) -> dict[str, str]:
        """What a process needs in its environment to work on the cluster's servers."""
        return dict(self._variables)

    # -- Servers -----------------------------------------------------------------------------------------------------

    @contextmanager
    def without(self, server: str) -> Iterator[None]:
        """`redis` or `postgres` is stopped inside, and runs again afterwards."""
        module = getattr(self._embedded, server)
        module.stop(self._layout)
        try:
            yield
        finally:
            account = self._embedded.account.choose_account(self._layout.var_dir, self._layout.postgres_data)
            module.ensure_running(self._layout, account, fsync=False)

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """Inside, neither PostgreSQL nor Redis answers or hangs up, as on a machine that hangs."""
        pids = (module.running_pid(self._layout) for module in (self._embedded.redis, self._embedded.postgres))
        servers = [psutil.Process(pid) for pid in pids]
        for server in servers:
            server.suspend()
        # Each of PostgreSQL's connections has a process of its own.
        stopped = [*servers, *(child for server in servers for child in server.children())]
        try:
            for process in stopped:
                process.suspend()
            yield
        finally:
            for process in stopped:
                process.resume()

    # -- Requests ----------------------------------------------------------------------------------------------------

    def request(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        secret: str = "",
        host: str = "127.0.0.1",
        port: int | None = None,
    ) -> tuple[int, Any]:
        """One request on a connection of its own, so that any worker may answer. Raises OSError."""
        connection = http.client.HTTPConnection(host, port or self.web_port, timeout=REQUEST_SECONDS)
        try:
            headers = {"Content-Type": "application/json", "X-Tenant-ID": "acme"}
            if secret:
                headers["Authorization"] = f"Bearer {secret}"
            connection.request(method, path, None if body is None else orjson.dumps(body), headers)
            response = connection.getresponse()
            content = response.read()
        except http.client.HTTPException as error:
            raise ConnectionError(str(error)) from error
        finally:
            connection.close()
        return response.status, orjson.loads(content) if content else None

    def evaluate(self, key: str, user: str = "user-1") -> tuple[int, Any]:
        return self.request("POST", "/api/evaluate", {"flagKey": key, "userId": user}, secret=self.server_key)

    def manage(
        self, method: str, path: str, body: Any = None, *, host: str = "127.0.0.1", port: int | None = None
    ) -> tuple[int, Any]:
        return self.request(method, f"/api/{path}", body, secret=self.token, host=host, port=port)
