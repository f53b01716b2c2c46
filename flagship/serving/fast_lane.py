"""The plain case of evaluate, answered before Django: a live key, well-formed JSON, a flag that is known, or all flags.

The answer comes from the functions that the DRF views call. Everything else goes on to Django untouched, so every
refusal has one author.
"""

import re
import time
from collections.abc import Callable, Iterable
from io import BytesIO
from typing import Any

import orjson
from django.conf import settings
from django.core.signals import setting_changed
from openflagship.wire.bodies import OfrepError
from openflagship.wire.errors import RefusedError
from openflagship.wire.limits import rate_limit_headers
from openflagship.wire.request_ids import HEADER, request_id_of

from flags.evaluation.plain import ROUTES, Operation
from flags.prometheus import EVALUATION_SECONDS
from flags.propagation.runtime import RUNTIME
from flagship.serving.access_log import Sampler, log
from tenancy.authentication.keyring import KEYRING, Key
from tenancy.callers.addresses import address_of
from tenancy.callers.limits import BUCKETS
from tenancy.errors import ServiceError

Environ = dict[str, Any]
Headers = list[tuple[str, str]]
StartResponse = Callable[[str, Headers], Any]
Application = Callable[[Environ, StartResponse], Iterable[bytes]]

# A write to the shared memory of /metrics costs a tenth of a request. One request in this many is timed.
SAMPLE = 16
_JSON = re.compile(r"application/json\s*(;\s*charset=utf-8\s*)?\Z", re.IGNORECASE)
_TYPE, _NO_SNIFFING = ("Content-Type", "application/json"), ("X-Content-Type-Options", "nosniff")


class FastLane:
    """WSGI around WSGI."""

    def __init__(self, application: Application) -> None:
        self.application = application
        self._count = 0
        self._sampler = Sampler()
        self._read_settings()
        setting_changed.connect(self._read_settings)

    def _read_settings(self, **_changed: Any) -> None:
        # Each of Django's settings costs a function call.
        self._most_bytes = settings.MAX_BODY_BYTES
        self._key_limit, self._address_limit = settings.RATE_LIMIT_KEY, settings.RATE_LIMIT_ADDRESS
        self._trusts_proxy = settings.TRUST_PROXY_HEADERS
        self._log_every = settings.ACCESS_LOG_SAMPLE

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        found = ROUTES.find(environ["PATH_INFO"]) if environ["REQUEST_METHOD"] == "POST" else None
        length = environ.get("CONTENT_LENGTH") or ""
        if found is not None and length.isdigit() and int(length) <= self._most_bytes:
            content = environ["wsgi.input"].read(int(length))
            answered = self.answer(environ, content)
            if answered is not None:
                body, headers = answered
                start_response("200 OK", headers)
                return (body,)
            environ["wsgi.input"] = BytesIO(content)
        return self.application(environ, start_response)

    def answer(self, environ: Environ, content: bytes) -> tuple[bytes, Headers] | None:
        """Return body and headers of a plain evaluation, or None for whatever is not."""
        found = ROUTES.find(environ["PATH_INFO"]) if environ["REQUEST_METHOD"] == "POST" else None
        if found is None:
            return None
        key = self._plain_key(environ)
        if key is None or key.environment_id is None:
            return None
        operation, flag_key = found
        self._count += 1
        if self._count % SAMPLE:
            answered = self._answer(environ, operation, flag_key, key, content)
        else:
            started = time.perf_counter()
            answered = self._answer(environ, operation, flag_key, key, content)
            EVALUATION_SECONDS.observe(time.perf_counter() - started)
        if answered is not None and self._sampler.picks(self._log_every):
            given = dict(answered[1])
            log.info(
                "request",
                method="POST",
                path=environ["PATH_INFO"],
                status=200,
                caller=key.name,
                request_id=given[HEADER],
            )
        return answered

    def _plain_key(self, environ: Environ) -> Key | None:
        """Return the live credential of a request that is plain so far."""
        get = environ.get
        # These ask for something that the lane does not do: cross-origin rules, tenants, conditions, packed bodies.
        if (
            get("HTTP_ORIGIN")
            or "HTTP_X_TENANT_ID" in environ
            or get("HTTP_IF_NONE_MATCH")
            or get("HTTP_CONTENT_ENCODING")
        ):
            return None
        length, content_type = get("CONTENT_LENGTH") or "", get("CONTENT_TYPE", "")
        if not length.isdigit() or not 0 < int(length) <= self._most_bytes:
            return None
        if get("HTTP_TRANSFER_ENCODING") or get("QUERY_STRING"):
            return None
        if content_type != "application/json" and not _JSON.match(content_type):
            return None
        authorization = get("HTTP_AUTHORIZATION", "")
        return KEYRING.find(authorization[7:]) if authorization.startswith("Bearer fs_") else None

    def _answer(
        self, environ: Environ, operation: Operation, flag_key: str, key: Key, content: bytes
    ) -> tuple[bytes, Headers] | None:
        """Return body and headers, or None for Django to refuse or to answer in its own way."""
        environment_id = key.environment_id or 0
        environment = RUNTIME.environments.get(environment_id)
        try:
            sent = orjson.loads(content)
        except orjson.JSONDecodeError:
            return None
        if environment is None or sent.__class__ is not dict:
            return None
        if operation.is_of_one_flag:
            wanted = flag_key or sent.get("flagKey")
            if wanted.__class__ is not str or wanted not in environment.flags:
                return None
        address = address_of(environ) if self._trusts_proxy else environ["REMOTE_ADDR"]
        if not BUCKETS.spend(address, self._address_limit)[0]:
            return None
        is_allowed, level = BUCKETS.spend(key.prefix, self._key_limit)
        if not is_allowed:
            return None
        caller = operation.caller(environment_id, key.name, environ.get("HTTP_USER_AGENT"), key.prefix)
        try:
            answered = operation.answer(caller, flag_key, sent, len(content))
        except (ServiceError, RefusedError, OfrepError):
            return None
        if answered is None:
            return None
        body, evaluation_id, more = answered
        return body, [
            _TYPE,
            ("Content-Length", str(len(body))),
            # An evaluation's own id is as good a request id as another new one; a bulk answer has none.
            (HEADER, request_id_of(environ.get("HTTP_X_REQUEST_ID", ""), evaluation_id)),
            _NO_SNIFFING,
            *rate_limit_headers(self._key_limit, level),
            *more,
        ]
