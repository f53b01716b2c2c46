"""Takes in batches of events that come over gRPC, in threads of its own.

A database that is slow to take events holds up no snapshot and no key that is new, which have the loop's threads.
"""

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

from django.conf import settings
from django.db import close_old_connections, connections
from google.protobuf.json_format import ParseDict
from openflagship.rpc.generated.openflagship.v1 import flagship_pb2 as v1
from openflagship.rpc.refusals import body_of
from openflagship.wire.errors import RefusedError

from analytics.api.acceptance import CONVERSION, EXPOSURE, METRIC, Sender, take
from analytics.api.usage import take_usage
from flagship.errors import refused_of
from tenancy.authentication.keyring import Key
from tenancy.process_memory import on_reset

_THREADS = 4
# A thread that is still at a batch by then ends with the process.
_STOP_SECONDS = 5.0
# Of the batches that wait for a thread or have one. More would be memory that slow databases fill.
_MOST_BYTES = 64 * 1024 * 1024
_BUSY = "Too many batches wait here to be taken in. Send this one again later."
_TAKES: dict[int, Callable[[bytes, Sender], dict[str, Any]]] = {
    v1.EVENT_KIND_EXPOSURE: lambda body, sender: take(EXPOSURE, body, sender),
    v1.EVENT_KIND_CONVERSION: lambda body, sender: take(CONVERSION, body, sender),
    v1.EVENT_KIND_METRIC: lambda body, sender: take(METRIC, body, sender),
    v1.EVENT_KIND_USAGE: take_usage,
}


class Intake:
    """Its threads keep their connections from batch to batch, as those of the web process do."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        self._pool: ThreadPoolExecutor | None = None
        self._bytes = 0

    async def take(self, batch: v1.IngestRequest, key: Key, request_id: str) -> v1.IngestResponse:
        """The answer to a batch, its refusal included. Raises what nobody expected."""
        size = batch.ByteSize()
        if self._bytes and self._bytes + size > _MOST_BYTES:
            return refusal_of(batch, RefusedError(503, _BUSY), request_id)
        if self._pool is None:
            self._pool = ThreadPoolExecutor(_THREADS, thread_name_prefix="intake")
        self._bytes += size
        taking = asyncio.get_running_loop().run_in_executor(self._pool, _taken, batch, key, request_id)
        taking.add_done_callback(lambda _: self._give_back(size))
        # Also for a caller that leaves meanwhile: its batch would stay in the threads' queue, uncounted.
        return await asyncio.shield(taking)

    def _give_back(self, size: int) -> None:
        self._bytes -= size

    def stop(self) -> None:
        """Wait for the batches at hand, and close the connections, each in the thread whose it is."""
        pool, self._pool = self._pool, None
        if pool is None:
            return
        together = threading.Barrier(_THREADS)

        def leave() -> None:
            # It breaks where another thread is still at a batch.
            with suppress(threading.BrokenBarrierError):
                together.wait(_STOP_SECONDS)
            connections.close_all()

        for _ in range(_THREADS):
            pool.submit(leave)
        pool.shutdown()


INTAKE = Intake()
on_reset(INTAKE.reset)


def refusal_of(batch: v1.IngestRequest, refused: RefusedError, request_id: str) -> v1.IngestResponse:
    """The answer to a batch of which nothing was taken."""
    return v1.IngestResponse(id=batch.id, error=body_of(refused, request_id))


def _taken(batch: v1.IngestRequest, key: Key, request_id: str) -> v1.IngestResponse:
    close_old_connections()
    try:
        return ParseDict(_take(batch, key), v1.IngestResponse(id=batch.id))
    except Exception as error:
        refused = refused_of(error)
        if refused is None:
            raise
        return refusal_of(batch, refused, request_id)
    finally:
        close_old_connections()


def _take(batch: v1.IngestRequest, key: Key) -> dict[str, Any]:
    how = _TAKES.get(batch.kind)
    if how is None:
        raise RefusedError(400, "", ("kind", "required", "Say which kind of events these are."))
    if len(batch.body) > settings.MAX_EVENTS_BODY_BYTES:
        detail = f"The body is larger than {settings.MAX_EVENTS_BODY_BYTES:,} bytes; split it."
        raise RefusedError(413, detail, code="payload_too_large")
    return how(batch.body, Sender(key.environment_id or 0, key.name or "api", batch.id))
