"""Events that pass through an edge: only the server can promise that a crash loses none, so its answer goes back."""

from __future__ import annotations

from openflagship.client.transport.aio import perform
from openflagship.client.transport.effects import Endpoint
from openflagship.client.transport.http import Response, request
from openflagship.edge.source import Source
from openflagship.wire.asgi import AsgiRequest, Headers
from openflagship.wire.errors import RefusedError

MAX_EVENTS_BYTES = 5 * 1024 * 1024
_TIMEOUT_SECONDS = 10.0
_PASSED_ON = ("content-type", "content-encoding", "idempotency-key")


async def forward(server: Endpoint, path: str, source: Source, asked: AsgiRequest, most_bytes: int = 0) -> Response:
    """Send the request on with the environment's server key. Raises RefusedError while the server is away."""
    body = await asked.body(min(MAX_EVENTS_BYTES, most_bytes or MAX_EVENTS_BYTES))
    headers = {"Authorization": f"Bearer {source.server_key}", "x-request-id": asked.identify()}
    for name in _PASSED_ON:
        value = asked.headers.get(name.encode())
        if value is not None:
            if not value.isascii():
                raise RefusedError(400, f"The header {name} must be of ASCII characters.")
            headers[name] = value.decode()
    try:
        answer: Response = await perform(
            request(server, "POST", path, headers, body, timeout_seconds=_TIMEOUT_SECONDS), source.client.tls
        )
    except OSError as error:
        raise RefusedError(503, f"The server is away ({error}); keep the events and send them again.") from error
    return answer


def passed_back(answer: Response) -> Headers:
    """The headers of the server's answer that the caller gets."""
    found = answer.headers.get("retry-after")
    return () if found is None else ((b"retry-after", found.encode("latin-1")),)
