"""The `grpc` process: what it starts, what it counts, and how it ends."""

import asyncio
import signal
from collections import defaultdict
from pathlib import Path
from typing import Any

import grpc
import structlog
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.db import connections
from google.protobuf.descriptor import ServiceDescriptor
from openflagship.rpc import flagd
from openflagship.rpc.door import Call, Door
from openflagship.rpc.generated.openflagship.v1 import flagship_pb2
from openflagship.rpc.server import Limits, RpcServer, Tls
from openflagship.serving.descriptors import most_connections

from analytics.pipeline.figures import serve_figures
from flags.prometheus import EVALUATION_SECONDS, GRPC_CALLS
from flags.propagation.runtime import RUNTIME
from flags.streaming.hub import HUB
from flagship.errors import refused_of
from flagship.serving.access_log import Sampler
from flagship.serving.fast_lane import SAMPLE
from flagship.serving.rpc.callers import FlagdHost
from flagship.serving.rpc.intake import INTAKE
from flagship.serving.rpc.own_services import ACTS
from tenancy.callers.shared_limits import SHARED_LIMITS

log = structlog.get_logger(__name__)

_GRACE_SECONDS = 3.0
# The services whose calls, but for a stream, are evaluations.
_EVALUATING = ("flagd.evaluation.", "openflagship.v1.Evaluation.")


class Observed:
    """Counts every call, times some evaluations, and writes a line for errors and for some of the rest."""

    def __init__(self) -> None:
        self._counters: defaultdict[tuple[str, str], Any] = defaultdict(lambda: None)
        self._sampler, self._timed = Sampler(), Sampler()

    def __call__(self, call: Call, code: grpc.StatusCode, seconds: float) -> None:
        label = (call.method, code.name)
        counter = self._counters[label]
        if counter is None:
            counter = self._counters[label] = GRPC_CALLS.labels(*label)
        counter.inc()
        is_evaluation = not call.is_stream and call.method.startswith(_EVALUATING)
        if is_evaluation and self._timed.picks(SAMPLE):
            EVALUATION_SECONDS.observe(seconds)
        # A caller over its limit would fill the log with refusals.
        is_error = code not in {grpc.StatusCode.OK, grpc.StatusCode.CANCELLED, grpc.StatusCode.RESOURCE_EXHAUSTED}
        if is_error or self._sampler.picks(settings.ACCESS_LOG_SAMPLE):
            about = {"caller": call.caller, "request_id": call.request.identify()}
            log.info("call", method=call.method, status=code.name, ms=round(1000 * seconds, 1), **about)


def server_of(address: str) -> RpcServer:
    """A server of every service; the event loop on which it is made serves it."""
    door, host = Door(Observed(), refused_of), FlagdHost()
    own: Any = flagship_pb2.DESCRIPTOR.services_by_name
    services: list[tuple[ServiceDescriptor, dict[str, Any]]] = [(own[name], acts) for name, acts in ACTS.items()]
    for version in flagd.VERSIONS:
        theirs: Any = version.DESCRIPTOR.services_by_name
        services.append((theirs["Service"], flagd.acts_of(host, version)))
    limits = Limits(
        most_bytes=settings.MAX_EVENTS_BODY_BYTES,
        most_calls=most_connections(settings.STREAM_MAX_CONNECTIONS),
        keep_alive_seconds=settings.STREAM_KEEP_ALIVE_SECONDS,
    )
    handled = [(one, door.handler(one, acts)) for one, acts in services]
    return RpcServer(address, handled, limits, is_ready=lambda: RUNTIME.is_ready)


def tls_of_settings() -> Tls | None:
    """Raises ImproperlyConfigured where one of the files is missing."""
    names = ("GRPC_TLS_CERTIFICATE", "GRPC_TLS_KEY", "GRPC_CLIENT_CA")
    given = {name: Path(getattr(settings, name)) for name in names if getattr(settings, name)}
    for name, path in given.items():
        if not path.is_file():
            raise ImproperlyConfigured(f"{name} is {str(path)!r}; there is no such file.")
    if not given:
        return None
    if not {"GRPC_TLS_CERTIFICATE", "GRPC_TLS_KEY"} <= given.keys():
        raise ImproperlyConfigured("GRPC_TLS_CERTIFICATE and GRPC_TLS_KEY go together, also for GRPC_CLIENT_CA.")
    certificate, key, client_ca = (given.get(name) for name in names)
    return Tls(certificate=certificate, key=key, client_ca=client_ca)  # type: ignore[arg-type]  # both are there


def serve(host: str, port: int) -> None:
    """Serve until SIGTERM or SIGINT."""
    tls = tls_of_settings()
    asyncio.run(_serve(f"[{host}]:{port}" if ":" in host else f"{host}:{port}", tls))


async def _serve(address: str, tls: Tls | None) -> None:
    told = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, told.set)
    # It may wait for a database that is away, and signals must get through meanwhile.
    await asyncio.to_thread(start)
    HUB.start()
    serve_figures()
    server = server_of(address)
    await server.start(tls)
    log.info("grpc_serves", address=address, tls=tls is not None)
    await told.wait()
    await end(server, grace_seconds=_GRACE_SECONDS)
    log.info("grpc_stopped")


async def end(server: RpcServer, *, grace_seconds: float) -> None:
    """End the streams, then what is left, and whatever `start` began."""
    server.drain()
    HUB.drain()
    await server.stop(grace_seconds)
    await asyncio.to_thread(INTAKE.stop)
    await HUB.stop()
    await asyncio.to_thread(RUNTIME.stop)
    await asyncio.to_thread(SHARED_LIMITS.stop)


def start() -> None:
    """In a thread that has no further use for its connection."""
    RUNTIME.start()
    SHARED_LIMITS.start()
    connections.close_all()
