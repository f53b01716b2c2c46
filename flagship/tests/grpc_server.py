"""The gRPC process's server in a thread of this process, and calls to it by the descriptions of its services."""

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import grpc
from google.protobuf.json_format import MessageToDict, ParseDict
from google.protobuf.message_factory import GetMessageClass
from google.rpc.status_pb2 import Status
from openflagship.rpc.generated.flagd.evaluation.v1 import evaluation_pb2 as flagd_v1
from openflagship.rpc.generated.flagd.evaluation.v2 import evaluation_pb2 as flagd_v2
from openflagship.rpc.generated.openflagship.v1 import flagship_pb2 as own
from openflagship.rpc.server import Tls

from flags.streaming.hub import HUB
from flagship.serving.rpc import process

T = TypeVar("T")
SECONDS = 90
SERVICES = {
    "flagd.evaluation.v1": flagd_v1,
    "flagd.evaluation.v2": flagd_v2,
    "openflagship.v1": own,
}


class Served:
    """A server on a loop of its own thread."""

    def __init__(self, tls: Tls | None = None) -> None:
        self._tls = tls
        self._ready = threading.Event()
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()), name="grpc-server")
        self.port = 0

    def __enter__(self) -> "Served":
        self._thread.start()
        assert self._ready.wait(SECONDS)
        if self._error is not None:
            raise self._error
        return self

    def __exit__(self, *_: object) -> None:
        if self._error is None:
            self._loop.call_soon_threadsafe(self._told.set)
        self._thread.join(SECONDS)
        assert not self._thread.is_alive()

    def on_loop(self, act: Callable[[], T]) -> T:
        """Do something on the server's loop, and wait for it."""

        async def done() -> T:
            return act()

        return asyncio.run_coroutine_threadsafe(done(), self._loop).result(SECONDS)

    async def _serve(self) -> None:
        self._loop, self._told = asyncio.get_running_loop(), asyncio.Event()
        try:
            await asyncio.to_thread(process.start)
            HUB.start()
            server = process.server_of("127.0.0.1:0")
            await server.start(self._tls)
            self.port = server.port
        except BaseException as error:
            self._error = error
            raise
        finally:
            self._ready.set()
        await self._told.wait()
        await process.end(server, grace_seconds=0.1)


class Calls:
    """A caller with a credential. `service` as `openflagship.v1.Config`."""

    def __init__(self, channel: grpc.Channel, secret: str | None, **metadata: str) -> None:
        self._channel = channel
        sent = {**({} if secret is None else {"authorization": f"Bearer {secret}"}), **metadata}
        self.metadata = [(name.replace("_", "-"), value) for name, value in sent.items()]

    def method(self, full_name: str) -> Any:
        service, _, name = full_name.rpartition(".")
        package, _, short = service.rpartition(".")
        method = SERVICES[package].DESCRIPTOR.services_by_name[short].methods_by_name[name]
        kinds = {(False, False): "unary_unary", (False, True): "unary_stream", (True, True): "stream_stream"}
        request, response = GetMessageClass(method.input_type), GetMessageClass(method.output_type)
        made = getattr(self._channel, kinds[method.client_streaming, method.server_streaming])(
            f"/{service}/{name}", request.SerializeToString, response.FromString
        )
        return made, request

    def call(self, full_name: str, message: Any = None, seconds: float = SECONDS) -> Any:
        """The answer, or the iterator of answers. Raises grpc.RpcError."""
        made, request = self.method(full_name)
        sent = message if hasattr(message, "__next__") else ParseDict(message or {}, request())
        return made(sent, metadata=self.metadata, timeout=seconds)

    def golden(self, full_name: str, message: Any = None) -> dict[str, Any]:
        """What a call says, as JSON: the answer, or the refusal with its details."""
        try:
            return {"answer": MessageToDict(self.call(full_name, message))}
        except grpc.RpcError as error:
            return {"status": error.code().name, "details": MessageToDict(refusal_of(error))}


def refusal_of(error: Any) -> own.ErrorBody:
    trailing = dict(error.trailing_metadata() or ())
    status = Status.FromString(trailing["grpc-status-details-bin"])
    body = own.ErrorBody()
    assert status.code == error.code().value[0]
    assert status.details[0].Unpack(body)
    return body


@contextmanager
def channel_to(served: Served) -> Iterator[Callable[..., Calls]]:
    """Make callers of the server."""
    with grpc.insecure_channel(f"127.0.0.1:{served.port}") as channel:

        def made(secret: str | None, **metadata: str) -> Calls:
            return Calls(channel, secret, **metadata)

        yield made
