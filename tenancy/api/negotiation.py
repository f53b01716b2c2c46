"""Content negotiation with a fast path for JSON, which is what most requests send and ask for."""

from typing import Any

from rest_framework.negotiation import DefaultContentNegotiation
from rest_framework.parsers import BaseParser
from rest_framework.renderers import BaseRenderer
from rest_framework.request import Request

_JSON = "application/json"
_ANY = frozenset({"*/*", _JSON, "application/*"})


class JsonNegotiation(DefaultContentNegotiation):
    """Answers as DRF's own does, which parses every media type again with each request."""

    def select_parser(self, request: Request, parsers: Any) -> BaseParser | None:
        if request.content_type == _JSON and parsers[0].media_type == _JSON:
            return parsers[0]
        return super().select_parser(request, parsers)

    def select_renderer(
        self, request: Request, renderers: Any, format_suffix: str | None = None
    ) -> tuple[BaseRenderer, str]:
        is_plain = request.META.get("HTTP_ACCEPT", "*/*") in _ANY and not request.META.get("QUERY_STRING")
        if is_plain and format_suffix is None and renderers[0].media_type == _JSON:
            return renderers[0], _JSON
        return super().select_renderer(request, renderers, format_suffix)
