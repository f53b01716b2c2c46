"""How processes end: a client is closed before its process is gone, as far as each process model lets it know."""

from __future__ import annotations

import atexit
import sys
import weakref
from collections.abc import Callable
from typing import Any, Protocol

_FINALIZERS = ("multiprocessing.util", "billiard.util")


class Closable(Protocol):
    def close(self) -> None: ...


def at_end(client: Closable) -> Callable[[], None]:
    """Close the client at the end of this process, and of processes forked from it.

    Interpreters that end run `atexit`. Workers of multiprocessing and billiard end by `os._exit`, after their own
    finalizers; Celery tells its workers by a signal, because theirs are not run. A bare `os._exit` tells nobody.
    """
    reference = weakref.ref(client)

    def close() -> None:
        found = reference()
        if found is not None:
            found.close()

    atexit.register(close)
    for name in _FINALIZERS:
        if name in sys.modules or name.startswith("multiprocessing"):
            module = __import__(name, fromlist=["register_after_fork"])
            module.register_after_fork(client, lambda _client: _finalize(close))
    _finalize(close)
    hook_worker(close)
    return close


def _finalize(close: Callable[[], None]) -> None:
    for name in _FINALIZERS:
        module = sys.modules.get(name)
        if module is not None:
            module.Finalize(None, close, exitpriority=100)


def hook_worker(close: Callable[[], None]) -> None:
    """Hook the end of a worker that runs no finalizer. Call it in the worker too: what it loads is known only there."""
    signals: Any = sys.modules.get("celery.signals")
    if signals is not None:
        uid = f"openflagship-{id(close)}"
        signals.worker_process_shutdown.connect(lambda **_: close(), weak=False, dispatch_uid=uid)
