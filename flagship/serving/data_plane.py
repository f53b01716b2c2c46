"""Django for callers with a key on the data plane's routes: the same views, without what only the console needs.

Sessions, CSRF tokens, messages, static files and the route table of the management API cost a request as much as its
view does. Whoever sends no credential, or any other path, gets all of Django and so the same refusals.
"""

from collections.abc import Callable, Iterable
from typing import Any

from django.core.handlers.exception import convert_exception_to_response
from django.core.handlers.wsgi import WSGIHandler, WSGIRequest
from django.http import HttpResponse
from django.urls import URLPattern, path, set_urlconf
from django.utils.module_loading import import_string

from flags.api.evaluate import EvaluateAllView, EvaluateView
from flags.api.ofrep import OfrepFlagsView, OfrepFlagView
from flags.api.snapshot_views import SnapshotView

Environ = dict[str, Any]
Application = Callable[[Environ, Any], Iterable[bytes]]

# In settings' order. None of the others acts on a request with a credential to these routes.
MIDDLEWARE = (
    "flagship.middleware.RequestIdMiddleware",
    "flagship.middleware.RateLimitMiddleware",
    "flagship.middleware.PlainErrorsMiddleware",
    "django.middleware.security.SecurityMiddleware",
)
# For those who say where they come from, as browsers do.
CROSS_ORIGIN = "corsheaders.middleware.CorsMiddleware"
_VIEWS = {
    "flags/evaluate": EvaluateView,
    "evaluate": EvaluateView,
    "flags/evaluate/all": EvaluateAllView,
    "snapshot": SnapshotView,
}
_OFREP = "/ofrep/v1/evaluate/flags"
_PATHS = frozenset({_OFREP, *(f"/{prefix}/{route}" for prefix in ("api", "v1") for route in _VIEWS)})

urlpatterns: list[URLPattern] = [
    *(path(f"{prefix}/{route}", view.as_view()) for prefix in ("api", "v1") for route, view in _VIEWS.items()),
    path(_OFREP[1:], OfrepFlagsView.as_view()),
    path(f"{_OFREP[1:]}/<str:key>", OfrepFlagView.as_view()),
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
            # Django leaves a request's own route table with the thread, and whoever has no request finds it there.
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
        route = environ["PATH_INFO"]
        if (route in _PATHS or route.startswith(f"{_OFREP}/")) and (
            "HTTP_AUTHORIZATION" in environ or "HTTP_X_API_KEY" in environ
        ):
            return (self._browsers if "HTTP_ORIGIN" in environ else self._handler)(environ, start_response)
        return self._django(environ, start_response)
