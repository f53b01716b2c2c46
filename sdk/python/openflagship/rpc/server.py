"""A gRPC server on an event loop: its address, its certificate, health and reflection."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import chain, starmap
from pathlib import Path
from typing import Any, Final

import grpc
from google.protobuf.descriptor import ServiceDescriptor
from grpc_health.v1 import health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2_grpc

from openflagship.rpc.door import methods_of
from openflagship.rpc.keyless import Health, KeylessStreams, Reflection
from openflagship.rpc.lane import Lane, core_of

# Providers ping more often than gRPC's own servers put up with.
_LEAST_PING_MS: Final = 5_000
# Bit 0 alone: messages as they are. Some versions of gRPC unpack a small message to any size before they look at it.
_UNCOMPRESSED: Final = 1
# Calls at once on one connection, so that one of them is not a whole server's. Others wait for their turn.
_MOST_OF_CONNECTION: Final = 1_000
# Between two looks at whether a server has become ready.
_READY_SECONDS: Final = 0.1
# The envelope around a body that is as large as it may be.
_ENVELOPE_BYTES: Final = 64 * 1024


@dataclass(frozen=True, kw_only=True, slots=True)
class Tls:
    """A certificate and its key, and the authority of the clients' certificates, where they must have one."""

    certificate: Path
    key: Path
    client_ca: Path | None = None

    def credentials(self) -> grpc.ServerCredentials:
        """Raises OSError for a file that is not there."""
        pair = (self.key.read_bytes(), self.certificate.read_bytes())
        root = None if self.client_ca is None else self.client_ca.read_bytes()
        return grpc.ssl_server_credentials([pair], root, require_client_auth=root is not None)


@dataclass(frozen=True, kw_only=True, slots=True)
class Limits:
    """`most_bytes`: of a message. `most_calls`: at once, open streams among them; 0 for any number.

    `is_shared`: other processes may serve at the address too. Without it a second one is refused.
    """

    most_bytes: int
    most_calls: int
    keep_alive_seconds: float
    is_shared: bool = False

    def options(self) -> list[tuple[str, Any]]:
        return [
            ("grpc.max_receive_message_length", self.most_bytes + _ENVELOPE_BYTES),
            ("grpc.keepalive_time_ms", int(self.keep_alive_seconds * 1000)),
            ("grpc.keepalive_permit_without_calls", 1),
            ("grpc.http2.min_recv_ping_interval_without_data_ms", _LEAST_PING_MS),
            ("grpc.http2.max_ping_strikes", 0),
            ("grpc.compression_enabled_algorithms_bitset", _UNCOMPRESSED),
            ("grpc.max_concurrent_streams", _MOST_OF_CONNECTION),
            ("grpc.so_reuseport", int(self.is_shared)),
        ]


class RpcServer:
    """Serves once `start` returns. `address`: `host:port`, port 0 for any, or `unix:/path`."""

    def __init__(
        self,
        address: str,
        services: Iterable[tuple[ServiceDescriptor, Any]],
        limits: Limits,
        *,
        is_ready: Callable[[], bool],
        is_at_once: bool = False,
    ) -> None:
        """`services`: the description of each, and what handles its calls. Health says SERVING once `is_ready`.

        `is_at_once`: what answers by one message never waits, and any thread may ask it.
        """
        given = list(services)
        self._address = address
        self._is_ready = is_ready
        self._telling: asyncio.Task[None] | None = None
        self._server = grpc.aio.server(options=limits.options(), maximum_concurrent_rpcs=limits.most_calls or None)
        self._server.add_generic_rpc_handlers([handler for _, handler in given])
        self._lane: Lane | None = None
        core = core_of(self._server) if is_at_once else None
        if core is not None:
            methods = chain.from_iterable(starmap(methods_of, given))
            self._lane = Lane(core, {path: act for path, is_stream, act in methods if not is_stream})
        names, streams = [description.full_name for description, _ in given], KeylessStreams(limits.most_calls)
        self._health = Health(names, streams)
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._server)
        reflection_pb2_grpc.add_ServerReflectionServicer_to_server(Reflection(names, streams), self._server)
        self.port = 0

    async def start(self, tls: Tls | None = None) -> None:
        """Raises OSError where the address is taken, or is none."""
        try:
            if tls is None:
                self.port = self._server.add_insecure_port(self._address)
            else:
                self.port = self._server.add_secure_port(self._address, tls.credentials())
        except RuntimeError as error:
            raise OSError(
                f"gRPC cannot listen on {self._address}: it is taken, or no address of this machine"
            ) from error
        await self._server.start()
        if self._lane is not None:
            self._lane.start()
        self._telling = asyncio.create_task(self._tell_when_ready())

    async def _tell_when_ready(self) -> None:
        # Nothing tells: a configuration may come from a server, a copy or a file.
        while not self._is_ready():  # noqa: ASYNC110 - as above
            await asyncio.sleep(_READY_SECONDS)
        self._health.tell(is_serving=True)

    def drain(self) -> None:
        """Say that no further call should come here."""
        if self._telling is not None:
            self._telling.cancel()
        self._health.tell(is_serving=False)

    async def stop(self, grace_seconds: float) -> None:
        """End the calls that are open, at the latest after so long."""
        self.drain()
        await self._server.stop(grace_seconds)
        if self._lane is not None:
            await self._lane.join()
