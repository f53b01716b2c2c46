"""What the views of the data plane share: one media type, a required body, and URLs from the route table."""

import re
from collections.abc import Callable
from typing import Any

from django.urls import URLPattern, path
from openflagship.wire import routes
from openflagship.wire.bodies import EMPTY
from rest_framework.exceptions import ParseError
from rest_framework.metadata import BaseMetadata
from rest_framework.negotiation import DefaultContentNegotiation
from rest_framework.parsers import BaseParser
from rest_framework.renderers import BaseRenderer
from rest_framework.request import Request as BaseRequest
from rest_framework.views import APIView

from tenancy.api.request import Request

_JSON = "application/json"
_PARAMETER = re.compile(r"\{(\w+)(:path)?\}")


class JsonNegotiation(DefaultContentNegotiation):
    """Answers are JSON, whatever the caller accepts. DRF's own negotiation parses every media type anew."""

    def select_parser(self, request: BaseRequest, parsers: Any) -> BaseParser | None:
        if request.content_type == _JSON and parsers[0].media_type == _JSON:
            return parsers[0]
        return super().select_parser(request, parsers)

    def select_renderer(
        self,
        request: BaseRequest,  # noqa: ARG002 - DRF's signature
        renderers: Any,
        format_suffix: str | None = None,  # noqa: ARG002 - DRF's signature
    ) -> tuple[BaseRenderer, str]:
        return renderers[0], renderers[0].media_type


class RouteMetadata(BaseMetadata):
    """The body of the answer to OPTIONS."""

    def determine_metadata(self, request: BaseRequest, view: APIView) -> dict[str, Any]:  # noqa: ARG002 - DRF's signature
        return dict(routes.OPTIONS_BODY)


class DataPlaneView(APIView):
    content_negotiation_class = JsonNegotiation
    metadata_class = RouteMetadata

    def sent(self, request: Request) -> Any:
        """Return the parsed body. Raises ParseError for an empty body, which is not JSON."""
        if request.stream is None:
            raise ParseError(EMPTY)
        return request.data


def urls_of(route: routes.Route, *views: Callable[..., Any], name: str | None = None) -> list[URLPattern]:
    """Return Django's patterns of a route, relative to its prefixes: one view for all templates, or one for each."""
    each = views if len(views) == len(route.templates) else views * len(route.templates)
    return [path(_pattern(template), view, name=name) for template, view in zip(route.templates, each, strict=True)]


def _pattern(template: str) -> str:
    return _PARAMETER.sub(lambda found: f"<{'path' if found[2] else 'str'}:{found[1]}>", template)
