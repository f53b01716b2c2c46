"""The plain case of evaluate, answered before Django: a live key, well-formed JSON, a flag that is known.

The answer comes from the functions the DRF views call. Whatever is not plain goes on to Django untouched, so every
refusal has one author.
"""

import re
import time
from collections.abc import Callable, Iterable
from io import BytesIO
from typing import Any

import orjson
from django.conf import settings

from flags import evaluation, ofrep
from flags.metrics import EVALUATION_SECONDS
from flags.runtime import RUNTIME
from flagship.middleware import request_id_of
from tenancy.addresses import address_of
from tenancy.errors import ServiceError
from tenancy.keyring import KEYRING, Key
from tenancy.limits import BUCKETS

Environ = dict[str, Any]
StartResponse = Callable[[str, list[tuple[str, str]]], Any]
Application = Callable[[Environ, StartResponse], Iterable[bytes]]

# Writing a latency to the shared memory of /metrics costs a tenth of a request, so one request in this many is timed.
SAMPLE = 16
_EVALUATE = frozenset({"/api/flags/evaluate", "/api/evaluate", "/v1/flags/evaluate", "/v1/evaluate"})
_OFREP = "/ofrep/v1/evaluate/flags/"
_JSON = re.compile(r"application/json\s*(;\s*charset=utf-8\s*)?\Z", re.IGNORECASE)
# Headers that ask for something the lane does not do: browsers' cross-origin rules, tenants, packed bodies.
_NOT_PLAIN = ("HTTP_ORIGIN", "HTTP_X_TENANT_ID", "HTTP_CONTENT_ENCODING", "HTTP_TRANSFER_ENCODING", "QUERY_STRING")


class FastLane:
    """WSGI around WSGI."""

    def __init__(self, application: Application) -> None:
        self.application = application
        self._count = 0

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        path = environ["PATH_INFO"]
        if environ["REQUEST_METHOD"] == "POST" and (path in _EVALUATE or path.startswith(_OFREP)):
            started = time.perf_counter()
            key = _plain_key(environ)
            if key is not None and key.environment_id is not None:
                content = environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"]))
                answered = _answer(environ, path, key, key.environment_id, content)
                self._count += 1
                if not self._count % SAMPLE:
                    EVALUATION_SECONDS.observe(time.perf_counter() - started)
                if answered is not None:
                    body, headers = answered
                    start_response("200 OK", headers)
                    return (body,)
                environ["wsgi.input"] = BytesIO(content)
        return self.application(environ, start_response)


def _plain_key(environ: Environ) -> Key | None:
    """Return the live credential of a request that is plain so far."""
    length = environ.get("CONTENT_LENGTH") or ""
    if not length.isdigit() or not 0 < int(length) <= settings.MAX_BODY_BYTES:
        return None
    if not _JSON.match(environ.get("CONTENT_TYPE", "")) or any(environ.get(name) for name in _NOT_PLAIN):
        return None
    authorization = environ.get("HTTP_AUTHORIZATION", "")
    return KEYRING.find(authorization[7:]) if authorization.startswith("Bearer fs_") else None


def _answer(
    environ: Environ, path: str, key: Key, environment_id: int, content: bytes
) -> tuple[bytes, list[tuple[str, str]]] | None:
    """Return body and headers, or None for Django to refuse or to answer in its own way."""
    environment = RUNTIME.environments.get(environment_id)
    try:
        sent = orjson.loads(content)
    except orjson.JSONDecodeError:
        return None
    if environment is None or not isinstance(sent, dict):
        return None
    is_ofrep = path.startswith(_OFREP)
    flag_key = path[len(_OFREP) :] if is_ofrep else sent.get("flagKey")
    if not isinstance(flag_key, str) or flag_key not in environment.flags:
        return None
    if not BUCKETS.spend(address_of(environ), settings.RATE_LIMIT_ADDRESS)[0]:
        return None
    verdict = BUCKETS.take(key.prefix, settings.RATE_LIMIT_KEY)
    if not verdict.is_allowed:
        return None
    caller = evaluation.Caller(environment_id, "ofrep" if is_ofrep else "api", environ.get("HTTP_USER_AGENT"))
    try:
        if is_ofrep:
            status, body = ofrep.evaluate(caller, flag_key, sent)
        else:
            status, body = evaluation.evaluate(caller, sent)
    except (ServiceError, ofrep.OfrepError):
        return None
    if status != 200:
        return None
    encoded = orjson.dumps(body)
    return encoded, [
        ("Content-Type", "application/json"),
        ("Content-Length", str(len(encoded))),
        # An evaluation's own id is as good a request id as another new one.
        ("X-Request-ID", request_id_of(environ, body.get("evaluationId"))),
        ("X-Content-Type-Options", "nosniff"),
        *verdict.headers.items(),
    ]
