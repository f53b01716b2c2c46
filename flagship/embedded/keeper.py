"""Waits until no session is left, then stops the servers: what a session killed outright can no longer do itself.

Run as a script by the session that started the servers. It waits with the standard library alone, so it costs little,
and only then becomes `python -m flagship.embedded`, which inherits its locks.
"""

from __future__ import annotations

import fcntl
import os
import sys
import time

POLL_SECONDS = 1.0


def main() -> None:
    var_dir, keeper_lock_path, session_lock_path = sys.argv[1:]
    keeper_lock = os.open(keeper_lock_path, os.O_RDONLY)
    session_lock = os.open(session_lock_path, os.O_RDONLY)
    try:
        fcntl.flock(keeper_lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return
    # Asking now and then instead of waiting in line: a session that leaves properly must win, for it stops the servers
    # before it returns.
    while True:
        try:
            fcntl.flock(session_lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            break
        except BlockingIOError:
            time.sleep(POLL_SECONDS)
    # Closed by the kernel in this order at the end, so a session that starts afterwards finds the keeper's place free.
    for descriptor in (keeper_lock, session_lock):
        os.set_inheritable(descriptor, True)
    os.execv(sys.executable, [sys.executable, "-m", "flagship.embedded", var_dir])  # noqa: S606 - no shell is the point


if __name__ == "__main__":
    main()
