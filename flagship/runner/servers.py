"""Watches the embedded servers of a run, and starts again the one that ended."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

from flagship.embedded import postgres, redis
from flagship.embedded.account import choose_account
from flagship.embedded.errors import EmbeddedError
from flagship.embedded.layout import Layout

LOOK_SECONDS = 1.0
LONGEST_PAUSE_SECONDS = 60.0
SERVERS = {"PostgreSQL": postgres, "Redis": redis}


def keep_servers(
    var_dir: Path, *, ended: threading.Event, say: Callable[[str], None], broken: Callable[[str], None]
) -> None:
    """Return once the run has ended, or when `broken` was told that the database's folder is none any more."""
    layout = Layout.of(var_dir)
    pause = LOOK_SECONDS
    while not ended.wait(pause):
        gone = {name: server for name, server in SERVERS.items() if server.running_pid(layout) is None}
        if not gone or ended.is_set():
            pause = LOOK_SECONDS
            continue
        if not (layout.postgres_data / "PG_VERSION").exists():
            broken(f"{layout.postgres_data} is no database any more. Restore it from a backup, or move it away.")
            return
        try:
            for name, server in gone.items():
                say(f"the embedded {name} has ended; it is started again")
                account = choose_account(layout.var_dir, layout.postgres_data)
                server.ensure_running(layout, account, fsync=True)
                say(f"the embedded {name} runs again")
            pause = LOOK_SECONDS
        except EmbeddedError as error:
            pause = min(2 * pause, LONGEST_PAUSE_SECONDS)
            say(f"{error}\nTried again in {pause:g} s.")
