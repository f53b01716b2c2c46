"""Django for callers with a key on the data plane's routes: the same views, without what only the console needs.

Sessions, CSRF tokens, messages, static files and the URLs of the management API cost as much as the view itself. A
request without a credential, or to another path, goes to all of Django and so gets the same refusal.
"""

from collections.abc import Callable, Iterable
from typing import Any

from django.core.handlers.exception import convert_exception_to_response
from django.core.handlers.wsgi import WSGIHandler, WSGIRequest
from django.http import HttpResponse
from django.urls import URLPattern, URLResolver, include, path, set_urlconf
from django.utils.module_loading import import_string
from openflagship.wire import routes
from openflagship.wire.credentials import presented_secret

from flags.api import data_plane_urls, ofrep_urls, plain_urls
from flags.propagation.snapshots import is_packed
from tenancy.authentication.keyring import KEYRING

Environ = dict[str, Any]
Application = Callable[[Environ, Any], Iterable[bytes]]

# In the order of the settings. None of the others acts on a request with a credential to these routes.
MIDDLEWARE = (
    "flagship.middleware.RequestIdMiddleware",
    "flagship.serving.access_log.AccessLogMiddleware",
    "flagship.middleware.RateLimitMiddleware",
    "flagship.middleware.PlainErrorsMiddleware",
    "django.middleware.security.SecurityMiddleware",
)
# For callers that name their origin, as browsers do.
CROSS_ORIGIN = "corsheaders.middleware.CorsMiddleware"
_EVALUATE = (routes.EVALUATE, routes.EVALUATE_ALL, routes.OFREP_FLAGS, routes.OFREP_FLAG)
_ROUTES = routes.RouteMap((route, route) for route in (*_EVALUATE, routes.SNAPSHOT))

urlpatterns: list[URLPattern | URLResolver] = [
    *(path(prefix[1:], include(data_plane_urls)) for prefix in routes.API_PREFIXES),
    path(routes.OFREP_PREFIX[1:], include(ofrep_urls)),
    path("", include(plain_urls)),
]


class _Request(WSGIRequest):
    urlconf = __name__


class _Handler(WSGIHandler):
    request_class = _Request

    def __init__(self, middleware: tuple[str, ...]) -> None:
        self._names = middleware
        super().__init__()

    def get_response(self, request: Any) -> Any:
        try:
            response = super().get_response(request)
        finally:
            # Django leaves the request's own URLs with the thread; code outside a request would find them there.
            set_urlconf(None)
        if isinstance(response, HttpResponse):
            response.headers.setdefault("Content-Length", str(len(response.content)))
        return response

    def load_middleware(self, is_async: bool = False) -> None:
        if is_async:
            raise NotImplementedError("The data plane is served over WSGI.")
        self._view_middleware: list[Any] = []
        self._template_response_middleware: list[Any] = []
        self._exception_middleware: list[Any] = []
        handler = convert_exception_to_response(self._get_response)  # type: ignore[attr-defined]  # the stubs lack it
        for name in reversed(self._names):
            handler = convert_exception_to_response(import_string(name)(handler))
        self._middleware_chain = handler


class DataPlane:
    """WSGI that chooses between these handlers and all of Django."""

    def __init__(self, django: Application) -> None:
        self._django = django
        self._handler: Application = _Handler(MIDDLEWARE)
        self._browsers: Application = _Handler((*MIDDLEWARE, CROSS_ORIGIN))

    def __call__(self, environ: Environ, start_response: Any) -> Iterable[bytes]:
        has_credential = "HTTP_AUTHORIZATION" in environ or "HTTP_X_API_KEY" in environ
        if has_credential and _ROUTES.find(environ["PATH_INFO"]) is not None:
            return self._of(environ)(environ, start_response)
        return self._django(environ, start_response)

    def plain_handler(self, environ: Environ) -> Application | None:
        """The handler of an evaluation or a snapshot with a live key: it asks no database, so it never waits.

        But packing a large snapshot takes a while, once for each version; that is for a thread.
        """
        secret = presented_secret(environ.get("HTTP_AUTHORIZATION", ""), environ.get("HTTP_X_API_KEY", ""))
        found = _ROUTES.find(environ["PATH_INFO"]) if secret is not None else None
        key = KEYRING.find(secret) if secret is not None and found is not None else None
        if found is None or key is None or key.environment_id is None:
            return None
        is_ready = found[0] is not routes.SNAPSHOT or is_packed(key.environment_id)
        return self._of(environ) if is_ready else None

    def _of(self, environ: Environ) -> Application:
        return self._browsers if "HTTP_ORIGIN" in environ else self._handler
