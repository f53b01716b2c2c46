"""Waits until no session is left, then stops the servers. A session that was killed cannot stop them itself.

The session that started the servers runs this as a script. It waits with the standard library alone, so it costs
little. Only then it becomes `python -m flagship.embedded`, which inherits its locks.
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
    # It polls, and does not wait in line: a session that leaves properly must get the lock first, because it stops the
    # servers before it returns.
    while True:
        try:
            fcntl.flock(session_lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            break
        except BlockingIOError:
            time.sleep(POLL_SECONDS)
    # The kernel closes these in this order, so a session that starts afterwards finds the keeper's place free.
    for descriptor in (keeper_lock, session_lock):
        os.set_inheritable(descriptor, True)
    os.execv(sys.executable, [sys.executable, "-m", "flagship.embedded", var_dir])  # noqa: S606 - no shell is the point


if __name__ == "__main__":
    main()
