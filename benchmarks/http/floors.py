"""What HTTP costs without a platform: the bare applications that `benchmarks.http` measures FlagShip against.

Each evaluates one flag with the standard library's json, one mmh3 hash and a random id, and knows no credential, limit,
exposure or metric.
"""

import json
import uuid
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

import mmh3

_FLAGS = {f"flag-{number}": [(5000, "treatment"), (10_000, "control")] for number in range(10_000)}
_JSON = [("Content-Type", "application/json")]


def evaluate(content: bytes) -> bytes:
    return json.dumps(answer(json.loads(content))).encode()


def answer(sent: dict[str, Any]) -> dict[str, Any]:
    key, user_id = sent["flagKey"], sent["userId"]
    bucket = mmh3.hash(f"{key}:{user_id}", 0, False) % 10_000
    variant = next(variant for end, variant in _FLAGS[key] if bucket < end)
    return {
        "flagKey": key,
        "userId": user_id,
        "variant": variant,
        "value": variant == "treatment",
        "reason": "ROLLOUT",
        "evaluationId": str(uuid.uuid4()),
    }


def wsgi(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    body = evaluate(environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"])))
    start_response("200 OK", [*_JSON, ("Content-Length", str(len(body)))])
    return (body,)


def wsgi_hello(_environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "5")])
    return (b"hello",)


class _Rsgi:
    async def __rsgi__(self, _scope: Any, proto: Any) -> None:
        proto.response_bytes(200, [("content-type", "application/json")], evaluate(await proto()))


rsgi = _Rsgi()


async def asgi(scope: Any, receive: Callable[[], Awaitable[Any]], send: Callable[[Any], Awaitable[None]]) -> None:
    if scope["type"] == "lifespan":
        while (await receive())["type"] != "lifespan.shutdown":
            await send({"type": "lifespan.startup.complete"})
        await send({"type": "lifespan.shutdown.complete"})
        return
    message = await receive()
    content = message["body"]
    while message.get("more_body"):
        message = await receive()
        content += message["body"]
    body = evaluate(content)
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})
