"""FlagShip in Django: `OPENFLAGSHIP` in settings, a middleware that adds `request.flags`, and a template tag.

`OPENFLAGSHIP = {"server_key": …, "url": …, …any of Options…, "context": "shop.flags.context_of"}`.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from typing import Any

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.http import HttpRequest, HttpResponse
from django.utils.module_loading import import_string

from openflagship.client import Context, FlagShip
from openflagship.engine import Answer

_lock = threading.Lock()
_client: FlagShip | None = None


def get_client() -> FlagShip:
    """The one client of the process, made at first use. Raises ImproperlyConfigured."""
    global _client  # noqa: PLW0603 - one for each process, as the threads behind it are
    if _client is None:
        with _lock:
            if _client is None:
                _client = _make()
    return _client


def set_client(client: FlagShip | None) -> None:
    """Use this client, such as an offline one in tests. After None the next use makes a new one."""
    global _client  # noqa: PLW0603 - as above
    _client = client


def _make() -> FlagShip:
    found = getattr(settings, "OPENFLAGSHIP", None)
    if not isinstance(found, Mapping) or "server_key" not in found or "url" not in found:
        raise ImproperlyConfigured('Set OPENFLAGSHIP = {"server_key": "…", "url": "https://…"}.')
    options = {name: value for name, value in found.items() if name not in {"server_key", "url", "context"}}
    try:
        return FlagShip(found["server_key"], found["url"], **options)
    except (TypeError, ValueError) as error:
        raise ImproperlyConfigured(f"OPENFLAGSHIP: {error}") from error


def default_context(request: HttpRequest) -> Context:
    """The signed-in user's primary key, and nothing else; anonymous visitors have no id."""
    user = getattr(request, "user", None)
    return Context(str(user.pk) if user is not None and user.is_authenticated else None)


class RequestFlags:
    """`request.flags`: the client with the request's user, who is looked up at the first evaluation."""

    def __init__(self, request: HttpRequest, context_of: Callable[[HttpRequest], Context]) -> None:
        self._request = request
        self._context_of = context_of
        self._context: Context | None = None

    @property
    def context(self) -> Context:
        if self._context is None:
            self._context = self._context_of(self._request)
        return self._context

    def is_enabled(self, flag_key: str, *, default: bool = False) -> bool:
        value = self.variation(flag_key, default)
        return value if isinstance(value, bool) else default

    def variation(self, flag_key: str, default: Any = None) -> Any:
        return get_client().variation(flag_key, self.context, default)

    def variation_detail(self, flag_key: str, default: Any = None) -> Answer:
        return get_client().variation_detail(flag_key, self.context, default)

    def track(self, event_name: str, value: float | None = None, properties: Mapping[str, Any] | None = None) -> None:
        get_client().track(event_name, self.context, value, properties)


class FlagsMiddleware:
    """Adds `request.flags`; put it after the authentication middleware. Works under WSGI and ASGI alike."""

    sync_capable = True
    async_capable = False

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self._get_response = get_response
        named = getattr(settings, "OPENFLAGSHIP", {}).get("context")
        self._context_of: Callable[[HttpRequest], Context] = import_string(named) if named else default_context

    def __call__(self, request: HttpRequest) -> HttpResponse:
        request.flags = RequestFlags(request, self._context_of)  # type: ignore[attr-defined]  # what it is for
        return self._get_response(request)
