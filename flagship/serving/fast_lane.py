"""The plain case of evaluate, answered before Django: a live key, well-formed JSON, a flag that is known, or all flags.

The answer comes from the functions the DRF views call. Whatever is not plain goes on to Django untouched, so every
refusal has one author.
"""

import math
import re
import time
from collections.abc import Callable, Iterable
from io import BytesIO
from typing import Any

import orjson
from django.conf import settings
from django.core.signals import setting_changed
from openflagship.ids import uuid7_text

from flags.evaluation import answers, ofrep
from flags.evaluation.plain import OF_ONE_FLAG, OFREP, ROUTES, ofrep_one
from flags.prometheus import EVALUATION_SECONDS, EVALUATIONS
from flags.propagation.runtime import RUNTIME
from flagship.middleware import request_id_of
from tenancy.addresses import address_of
from tenancy.errors import ServiceError
from tenancy.keyring import KEYRING, Key
from tenancy.limits import BUCKETS

Environ = dict[str, Any]
Headers = list[tuple[str, str]]
StartResponse = Callable[[str, Headers], Any]
Application = Callable[[Environ, StartResponse], Iterable[bytes]]

# Writing to the shared memory of /metrics costs a tenth of a request: one in this many is timed and tells the counts.
SAMPLE = 16
_JSON = re.compile(r"application/json\s*(;\s*charset=utf-8\s*)?\Z", re.IGNORECASE)
_TYPE, _NO_SNIFFING = ("Content-Type", "application/json"), ("X-Content-Type-Options", "nosniff")


class FastLane:
    """WSGI around WSGI."""

    def __init__(self, application: Application) -> None:
        self.application = application
        self._count = 0
        self._read_settings()
        setting_changed.connect(self._read_settings)

    def _read_settings(self, **_changed: Any) -> None:
        # Django's settings cost a function call each.
        self._most_bytes = settings.MAX_BODY_BYTES
        self._key_limit, self._address_limit = settings.RATE_LIMIT_KEY, settings.RATE_LIMIT_ADDRESS
        self._limit = ("RateLimit-Limit", str(self._key_limit))
        self._trusts_proxy = settings.TRUST_PROXY_HEADERS

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        path = environ["PATH_INFO"]
        if environ["REQUEST_METHOD"] == "POST" and (path in ROUTES or path.startswith(f"{OFREP}/")):
            key = self._plain_key(environ)
            if key is not None and key.environment_id is not None:
                content = environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"]))
                self._count += 1
                if self._count % SAMPLE:
                    answered = self._answer(environ, path, key, key.environment_id, content)
                else:
                    started = time.perf_counter()
                    answered = self._answer(environ, path, key, key.environment_id, content)
                    EVALUATION_SECONDS.observe(time.perf_counter() - started)
                    EVALUATIONS.harvest()
                if answered is not None:
                    body, headers = answered
                    start_response("200 OK", headers)
                    return (body,)
                environ["wsgi.input"] = BytesIO(content)
        return self.application(environ, start_response)

    def _plain_key(self, environ: Environ) -> Key | None:
        """Return the live credential of a request that is plain so far."""
        get = environ.get
        # What asks for something the lane does not do: cross-origin rules, tenants, conditions, packed bodies.
        if get("HTTP_ORIGIN") or get("HTTP_X_TENANT_ID") or get("HTTP_IF_NONE_MATCH") or get("HTTP_CONTENT_ENCODING"):
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
        self, environ: Environ, path: str, key: Key, environment_id: int, content: bytes
    ) -> tuple[bytes, Headers] | None:
        """Return body and headers, or None for Django to refuse or to answer in its own way."""
        environment = RUNTIME.environments.get(environment_id)
        try:
            sent = orjson.loads(content)
        except orjson.JSONDecodeError:
            return None
        if environment is None or sent.__class__ is not dict:
            return None
        answer = ROUTES.get(path, ofrep_one)
        flag_key = path[len(OFREP) + 1 :] if answer is ofrep_one else sent.get("flagKey")
        if answer in OF_ONE_FLAG and (flag_key.__class__ is not str or flag_key not in environment.flags):
            return None
        address = address_of(environ) if self._trusts_proxy else environ["REMOTE_ADDR"]
        if not BUCKETS.spend(address, self._address_limit)[0]:
            return None
        is_allowed, left = BUCKETS.spend(key.prefix, self._key_limit)
        if not is_allowed:
            return None
        source = "ofrep" if path.startswith(OFREP) else "api"
        caller = answers.Caller(environment_id, source, environ.get("HTTP_USER_AGENT"), key.prefix)
        try:
            answered = answer(caller, flag_key, sent, len(content))
        except (ServiceError, ofrep.OfrepError):
            return None
        if answered is None:
            return None
        body, request_id, more = answered
        if request_id is None:
            # An evaluation's own id is as good a request id as another new one; many have none.
            request_id = uuid7_text(time.time_ns() // 1_000_000)
        if "HTTP_X_REQUEST_ID" in environ:
            request_id = request_id_of(environ, request_id)
        return body, [
            _TYPE,
            ("Content-Length", str(len(body))),
            ("X-Request-ID", request_id),
            _NO_SNIFFING,
            self._limit,
            ("RateLimit-Remaining", str(int(left))),
            ("RateLimit-Reset", str(math.ceil((self._key_limit - left) * 60 / self._key_limit))),
            *more,
        ]
