"""Shares the embedded servers. The first session starts them, the last one stops them, and the data stays."""

from __future__ import annotations

import fcntl
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from flagship.embedded import postgres, process, redis
from flagship.embedded.account import Account, choose_account, private_directory, unwritable_remedy
from flagship.embedded.errors import EmbeddedError
from flagship.embedded.layout import Layout

KEEPER = Path(__file__).with_name("keeper.py")
REPOSITORY = Path(__file__).resolve().parents[2]
KEEPER_STOP_SECONDS = 30


@contextmanager
def session(
    var_dir: Path, *, fsync: bool = True, with_postgres: bool = True, with_redis: bool = True
) -> Iterator[None]:
    """Inside it, both servers run and their database exists. Concurrent sessions of any process share them.

    Raises EmbeddedError. The shared lock ends with the process that holds it. So after a killed session the keeper
    stops the servers within a second or two, unless another session has taken them over by then.
    """
    layout = Layout.of(var_dir)
    _make_directories(layout)
    owner_pid = os.getpid()
    keeper_pid: int | None = None
    with _opened(layout.session_lock) as lock:
        # The last session of a moment ago may still be stopping the servers; this waits for it.
        fcntl.flock(lock, fcntl.LOCK_SH)
        try:
            with _opened(layout.start_lock) as start_lock:
                fcntl.flock(start_lock, fcntl.LOCK_EX)
                keeper_pid = _start_keeper(layout)
                _start(layout, fsync=fsync, with_postgres=with_postgres, with_redis=with_redis)
            yield
        finally:
            # A fork that runs to the end of the block is not the session.
            if os.getpid() == owner_pid and become_alone(lock):
                stop_servers(layout)
                if keeper_pid is not None and process.is_alive(keeper_pid):
                    process.stop(
                        keeper_pid,
                        signals=((signal.SIGTERM, KEEPER_STOP_SECONDS), (signal.SIGKILL, KEEPER_STOP_SECONDS)),
                        what="The keeper",
                    )


def become_alone(session_lock: int) -> bool:
    """Exchange the shared lock for the exclusive one without waiting.

    Returns False, and holds no lock, if others share it.
    """
    try:
        fcntl.flock(session_lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def stop_servers(layout: Layout) -> None:
    """Stop the servers. Only the holder of the exclusive session lock may call this."""
    try:
        redis.stop(layout)
    finally:
        postgres.stop(layout)
    if layout.socket_dir.parent != layout.var_dir:
        # It is gone already, or has a file of somebody else in it. Then it stays; empty directories are cheap.
        with suppress(OSError):
            layout.redis_socket.unlink(missing_ok=True)
            layout.socket_dir.rmdir()


def _start(layout: Layout, *, fsync: bool, with_postgres: bool, with_redis: bool) -> None:
    account = choose_account(layout.var_dir, layout.postgres_data)
    directories = [layout.socket_dir, *([layout.redis_data] if with_redis else [])]
    if with_postgres and layout.postgres_data.exists():
        directories.append(layout.postgres_data)
    for directory in directories:
        private_directory(directory, account)
    _make_logs(layout, account)
    if with_postgres:
        postgres.ensure_running(layout, account, fsync=fsync)
    if with_redis:
        redis.ensure_running(layout, account, fsync=fsync)


def _start_keeper(layout: Layout) -> int | None:
    """Return the pid of the keeper that this call started, or None if one is there already."""
    with _opened(layout.keeper_lock) as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return None
    paths = [str(layout.var_dir), str(layout.keeper_lock), str(layout.session_lock)]
    pid, _ = process.start(
        [sys.executable, "-I", "-S", str(KEEPER), *paths],
        account=Account(uid=os.geteuid(), gid=os.getegid()),
        cwd=REPOSITORY,
        log=layout.keeper_log,
    )
    return pid


def _make_directories(layout: Layout) -> None:
    log_dir = layout.postgres_log.parent
    try:
        log_dir.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise EmbeddedError(f"Cannot make {log_dir}: {error.strerror}. {unwritable_remedy(layout.var_dir)}") from error
    if not os.access(layout.var_dir, os.W_OK | os.X_OK, effective_ids=True):
        raise EmbeddedError(f"Cannot write to {layout.var_dir}. {unwritable_remedy(layout.session_lock)}")


def _make_logs(layout: Layout, account: Account) -> None:
    for log in (layout.postgres_log, layout.redis_log):
        try:
            log.touch(mode=0o600)
            if os.geteuid() == 0:
                os.chown(log, account.uid, account.gid)
        except OSError as error:
            raise EmbeddedError(f"Cannot write {log}: {error.strerror}. {unwritable_remedy(log)}") from error


@contextmanager
def _opened(path: Path) -> Iterator[int]:
    """Open a file for locking. It is opened read-only, so that root and the owner of `var/` can share it."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError as error:
        raise EmbeddedError(f"Cannot open {path}: {error.strerror}. {unwritable_remedy(path)}") from error
    try:
        yield descriptor
    finally:
        os.close(descriptor)
