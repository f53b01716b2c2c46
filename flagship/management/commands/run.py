"""Everything in one command: `make run` is a virtualenv and this."""

from __future__ import annotations

import fcntl
import json
import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
import threading
from argparse import ArgumentParser
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError
from django.db import connections
from honcho.printer import Message, Printer

from flagship.runner.ports import PortError, choose_port
from flagship.runner.processes import LeashedManager, read_procfile
from flagship.runner.readiness import wait_until_ready
from flagship.runner.servers import keep_servers

READY_SECONDS = 120
DEFAULT_PORTS = {"web": 8000, "stream": 8001, "grpc": 8013}


class Command(BaseCommand):
    help = (
        "Migrates, seeds the demo and runs every process of the Procfile until Ctrl-C. What ends is started again. A "
        "default port that is taken moves to the next free one; a port asked for and taken is an error."
    )
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--host", help="address to listen on (WEB_HOST, 127.0.0.1)")
        parser.add_argument("--port", type=int, help="of the web process (WEB_PORT, 8000)")
        parser.add_argument("--stream-port", type=int, help="of the stream process (STREAM_PORT, 8001)")
        parser.add_argument("--grpc-port", type=int, help="of the gRPC process (GRPC_PORT, 8013)")
        parser.add_argument("--no-demo", action="store_true", help="leave the demo data out")

    def handle(self, *_args: Any, **options: Any) -> None:
        # Until honcho takes over, a SIGTERM ends this like Ctrl-C, so that the embedded servers are stopped too.
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        try:
            with _only_one_run(settings.VAR_DIR):
                self._run(options)
        except KeyboardInterrupt:
            self.stdout.write("Stopped before everything was started.")
        except PortError as error:
            raise CommandError(str(error)) from error
        finally:
            signal.signal(signal.SIGTERM, signal.default_int_handler)
            signal.signal(signal.SIGINT, signal.default_int_handler)

    def _run(self, options: dict[str, Any]) -> None:
        host = options["host"] or os.environ.get("WEB_HOST", "127.0.0.1")
        web_port = self._port("web", host, options["port"], "--port", "WEB_PORT")
        stream_port = self._port("stream", host, options["stream_port"], "--stream-port", "STREAM_PORT", web_port)
        taken = (web_port, stream_port)
        grpc_port = self._port("grpc", host, options["grpc_port"], "--grpc-port", "GRPC_PORT", *taken)
        environment = _environment(host, web_port, stream_port, grpc_port)

        self.stdout.write("Migrating the database ...")
        call_command("migrate", interactive=False, verbosity=0)
        # Whitenoise warns in every process of a folder that is not there, even when it reads the apps' own.
        Path(settings.STATIC_ROOT).mkdir(parents=True, exist_ok=True)
        if not settings.WHITENOISE_USE_FINDERS:
            self.stdout.write("Collecting static files ...")
            call_command("collectstatic", interactive=False, verbosity=0)
        if not options["no_demo"]:
            self.stdout.write("Seeding the demo ...")
            self._manage("seed_demo", environment)
        self._empty_metrics_dir(Path(environment["PROMETHEUS_MULTIPROC_DIR"]))
        connections.close_all()  # the relays are forks, and a connection must not be shared

        reachable = "127.0.0.1" if host in {"0.0.0.0", "::"} else host  # noqa: S104 - compared with, not bound to
        ports = {"web": web_port, "stream": stream_port, "grpc": grpc_port}
        endpoints = {name: (reachable, port) for name, port in ports.items()}
        self._supervise(endpoints, environment, show_demo=not options["no_demo"])

    def _port(self, name: str, host: str, option: int | None, flag: str, variable: str, *taken: int) -> int:
        from_environment = os.environ.get(variable, "")
        if option is None and from_environment and not from_environment.isdigit():
            raise CommandError(f"{variable} must be a port number, not {from_environment!r}.")
        explicit = option if option is not None else int(from_environment) if from_environment else None
        wanted = DEFAULT_PORTS[name] if explicit is None else explicit
        port = choose_port(
            host, wanted, option=f"{flag} or {variable}", is_explicit=explicit is not None, taken=frozenset(taken)
        )
        if port != wanted:
            self.stdout.write(self.style.WARNING(f"Port {wanted} is taken: {name} listens on {port} instead."))
        return port

    def _manage(self, command: str, environment: dict[str, str]) -> None:
        """In a process of its own, because this one's settings were read before the ports were chosen."""
        environment = {name: value for name, value in environment.items() if name != "PROMETHEUS_MULTIPROC_DIR"}
        finished = subprocess.run(  # noqa: S603 - our own manage.py
            [sys.executable, "manage.py", command], cwd=settings.BASE_DIR, env=environment, check=False
        )
        if finished.returncode != 0:
            raise CommandError(f"manage.py {command} failed with exit code {finished.returncode}; see above.")

    @staticmethod
    def _empty_metrics_dir(metrics_dir: Path) -> None:
        """Counters belong to processes: files of a former run would be added up with this one's."""
        shutil.rmtree(metrics_dir, ignore_errors=True)
        metrics_dir.mkdir(parents=True)

    def _supervise(
        self, endpoints: dict[str, tuple[str, int]], environment: dict[str, str], *, show_demo: bool
    ) -> None:
        if sys.platform == "linux":
            multiprocessing.set_start_method("fork", force=True)  # so that a relay's parent is this process
        printer = Printer(sys.stdout)  # not self.stdout, which ends every write with a newline of its own
        cancelled = threading.Event()
        unready: dict[str, str] = {}
        unusable: list[str] = []

        def say(text: str) -> None:
            for line in text.splitlines():
                printer.write(Message("line", line, datetime.now(), "run", None))  # noqa: DTZ005 - a clock for people

        def watch() -> None:
            unready.update(wait_until_ready(endpoints, seconds=READY_SECONDS, cancelled=cancelled, report=say))
            if cancelled.is_set():
                return
            if unready:
                manager.terminate()
            else:
                say(_banner(environment, settings.VAR_DIR / "demo.json" if show_demo else None))

        def refuse(name: str) -> str | None:
            if name not in endpoints:
                return None
            try:
                choose_port(environment["WEB_HOST"], endpoints[name][1], option=name, is_explicit=True)
            except PortError as error:
                return str(error)
            return None

        def broken(words: str) -> None:
            unusable.append(words)
            manager.terminate()

        def started() -> None:
            threading.Thread(target=watch, name="readiness", daemon=True).start()
            if settings.EMBEDDED:
                about = {"ended": cancelled, "say": say, "broken": broken}
                threading.Thread(target=keep_servers, args=(settings.VAR_DIR,), kwargs=about, daemon=True).start()

        manager = LeashedManager(printer, on_started=started, refuse=refuse)
        manager.add_all(read_procfile(settings.BASE_DIR / "Procfile"), env=environment, cwd=settings.BASE_DIR)
        try:
            manager.loop()
        except BaseException:
            manager.end_at_once()
            raise
        finally:
            cancelled.set()
        manager.join()
        if unready:
            missing = "; ".join(f"{name}: {words}" for name, words in unready.items())
            raise CommandError(f"Not ready after {READY_SECONDS} s ({missing}). The log above says why.")
        if unusable or manager.refused:
            raise CommandError((unusable or [str(manager.refused)])[0])
        self.stdout.write("Stopped. The data is kept.")


def _environment(host: str, web_port: int, stream_port: int, grpc_port: int) -> dict[str, str]:
    public = "127.0.0.1" if host in {"0.0.0.0", "::"} else host  # noqa: S104 - compared with, not bound to
    chosen = {
        "DJANGO_SETTINGS_MODULE": "flagship.settings",
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)]),
        "PYTHONUNBUFFERED": "1",
        "WEB_HOST": host,
        "WEB_PORT": str(web_port),
        "STREAM_HOST": host,
        "STREAM_PORT": str(stream_port),
        "GRPC_HOST": host,
        "GRPC_PORT": str(grpc_port),
        "FLAGSHIP_BASE_URL": os.environ.get("FLAGSHIP_BASE_URL") or f"http://{public}:{web_port}",
        "FLAGSHIP_STREAM_URL": os.environ.get("FLAGSHIP_STREAM_URL") or f"http://{public}:{stream_port}",
        "PROMETHEUS_MULTIPROC_DIR": str(settings.VAR_DIR / "metrics"),
    }
    if os.geteuid() == 0:
        # Celery's seven lines against root would be the loudest of the log; embedded servers never run as root.
        chosen["PYTHONWARNINGS"] = ",".join(
            filter(None, [os.environ.get("PYTHONWARNINGS"), "ignore::RuntimeWarning:celery.platforms"])
        )
    return {**os.environ, **chosen}


def _banner(environment: dict[str, str], demo_file: Path | None) -> str:
    base_url, stream_url = environment["FLAGSHIP_BASE_URL"], environment["FLAGSHIP_STREAM_URL"]
    lines = [
        " ",
        "FlagShip is ready.",
        f"  console    {base_url}/admin/",
        f"  API        {base_url}/api/docs/",
        f"  stream     {stream_url}/api/stream",
        f"  gRPC       {environment['GRPC_HOST']}:{environment['GRPC_PORT']}",
    ]
    if demo_file is not None and demo_file.exists():
        demo = json.loads(demo_file.read_text())
        lines += [
            f"  login      {demo['adminUser']} / {demo['adminPassword']}",
            f"  demo keys  {demo_file}",
        ]
    return "\n".join([*lines, "  Ctrl-C stops everything.", " "])


@contextmanager
def _only_one_run(var_dir: Path) -> Iterator[None]:
    """Two runs on one `var/` would schedule and ingest everything twice."""
    var_dir.mkdir(parents=True, exist_ok=True)
    with (var_dir / "run.lock").open("a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            lock.seek(0)
            raise CommandError(
                f"FlagShip already runs on {var_dir} (pid {lock.read().strip() or 'unknown'}). "
                "Stop it first, or set FLAGSHIP_VAR_DIR to another directory."
            ) from error
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        yield
