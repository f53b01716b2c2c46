"""One line in the log for each request of the control plane, and for some of the data plane, with its request id."""

from collections.abc import Callable
from time import perf_counter

import structlog
from django.conf import settings
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.utils.functional import empty
from openflagship.wire import routes

from tenancy.callers.principals import Principal
from tenancy.credentials import masked

log = structlog.get_logger(__name__)

# Asked by whoever watches the process, as often as they like.
PROBES = frozenset({"/healthz", "/readyz", "/metrics", "/live", "/ready", "/health"})
_SAMPLED = routes.RouteMap((route, True) for route in routes.DATA_PLANE)
_TOO_MANY_REQUESTS = 429


class Sampler:
    """Picks one request in `every`; none where that is 0."""

    def __init__(self) -> None:
        self._count = 0

    def picks(self, every: int) -> bool:
        self._count += 1
        return every > 0 and self._count % every == 0


class AccessLogMiddleware:
    """Stands inside the middleware that binds the request id to every line."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response
        self._sampler = Sampler()

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        started = perf_counter()
        response = self.get_response(request)
        path, status = request.path, response.status_code
        if path in PROBES or path.startswith(settings.STATIC_URL):
            return response
        # An error is always logged. A caller over its limit would fill the log with refusals.
        is_error = status >= 400 and status != _TOO_MANY_REQUESTS
        if is_error or _SAMPLED.find(path) is None or self._sampler.picks(settings.ACCESS_LOG_SAMPLE):
            ms = round(1000 * (perf_counter() - started), 1)
            # No query string: it may hold what people search for.
            log.info("request", method=request.method, path=masked(path), status=status, ms=ms, caller=_caller(request))
        return response


def _caller(request: HttpRequest) -> str:
    """Who called, where that is known already: nothing is asked for a line in the log."""
    user = getattr(request, "user", None)
    if type(user) is Principal:
        return user.actor.label
    if user is None or getattr(user, "_wrapped", None) is empty:
        return ""
    return str(user.get_username())
