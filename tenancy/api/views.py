"""What every management view starts from: the environment that the caller may reach, and a body with a checked form."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar, cast

from django.db.models import QuerySet
from drf_spectacular.utils import OpenApiParameter
from rest_framework.pagination import PageNumberPagination
from rest_framework.request import Request as BaseRequest
from rest_framework.response import Response
from rest_framework.serializers import Serializer
from rest_framework.settings import api_settings
from rest_framework.views import APIView

from tenancy import access
from tenancy.api.authentication import IsServerKey
from tenancy.api.documents import checked
from tenancy.api.idempotency import idempotent
from tenancy.api.request import Request
from tenancy.callers.principals import Principal
from tenancy.errors import Forbidden, Invalid, Problem
from tenancy.models import Environment
from tenancy.refusals import refuse_if_any, text_problems
from tenancy.roles import Role

Row = TypeVar("Row")
TENANT = OpenApiParameter(
    "X-Tenant-ID",
    str,
    OpenApiParameter.HEADER,
    description="Organization slug; required with a management token or a JWT.",
)
ORGANIZATION = OpenApiParameter("organization", str, description="Slug; may be left out where there is only one.")
WHERE = [
    OpenApiParameter("project", str, description="Project key; may be left out where there is only one."),
    OpenApiParameter("environment", str, description="Environment key; likewise."),
    TENANT,
]


class ManagementView(APIView):
    """A view for people and service accounts. Each POST honours `Idempotency-Key`.

    Text with NUL is refused first, because PostgreSQL cannot store it.
    """

    # For the OpenAPI document: every list is answered in pages.
    pagination_class = api_settings.DEFAULT_PAGINATION_CLASS
    # The methods that a server key may use too, for jobs that report what they found.
    server_key_methods: frozenset[str] = frozenset()

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if "post" in vars(cls):
            cls.post = idempotent(vars(cls)["post"])  # type: ignore[attr-defined]  # it is there: see the line above

    def initial(self, request: BaseRequest, *args: Any, **kwargs: Any) -> None:
        super().initial(request, *args, **kwargs)
        if isinstance(request.user, Principal) and request.user.is_key and not self._takes_key(request):
            # The check stands here, so that no view can forget it. A key belongs to no person, so it has no role.
            raise Forbidden("This key may evaluate and send events; use a management token to read or change anything.")
        known = _parameters_of(self, str(request.method).lower())
        refuse_if_any([
            Problem(name, "unknown_parameter", f"There is no parameter {name!r} here; known are: {', '.join(known)}.")
            for name in request.query_params
            if name not in known
        ])  # fmt: skip
        sent = [*request.query_params.items(), *kwargs.items()]
        refuse_if_any([problem for name, value in sent for problem in text_problems(name, str(value))])

    def _takes_key(self, request: BaseRequest) -> bool:
        return request.method in self.server_key_methods and IsServerKey().has_permission(request, self)


# They say where, and clients send them with every request; a route that is about another place passes over them.
_PLACES = ("organization", "project", "environment")
# By view and method: the names of the query parameters.
_parameters: dict[tuple[type[APIView], str], tuple[str, ...]] = {}


def _parameters_of(view: APIView, method: str) -> tuple[str, ...]:
    """The names of the query parameters that a view's method takes, as the OpenAPI document has them."""
    known = _parameters.get((type(view), method))
    if known is None:
        described = getattr(getattr(view, method, None), "kwargs", {}).get("schema")
        inspector: Any = described() if described is not None else view.schema
        inspector.view, inspector.method = view, method.upper()
        names = [each.name for each in inspector.get_override_parameters() if each.location == OpenApiParameter.QUERY]
        known = tuple(dict.fromkeys((*names, *_PLACES, *(("page", "pageSize") if method in {"get", "head"} else ()))))
        _parameters[type(view), method] = known
    return known


class EnvironmentView(ManagementView):
    """A management view whose every method starts at the environment that the request is about."""

    def environment(self, request: Request, needs: Role = Role.VIEWER) -> Environment:
        return access.get_environment(
            request.user,
            project=request.query_params.get("project"),
            environment=request.query_params.get("environment"),
            needs=needs,
        )


def payload(serializer: type[Serializer[Any]], request: Request, *, is_partial: bool = False) -> dict[str, Any]:
    """Check the form of the body, as `checked` does; no body is an empty object."""
    data: Any = request.data
    return checked(serializer, {} if data in (None, "") else data, is_partial=is_partial)


def choice(request: Request, name: str, known: Iterable[str]) -> str | None:
    """Return a query parameter that must be one of `known`, or None where it was not sent."""
    value = request.query_params.get(name)
    choices = list(known)
    if value is not None and value not in choices:
        raise Invalid(f"Use one of: {', '.join(choices)}.", attr=name, code="invalid_choice")
    return value


def version_of(sent: dict[str, Any]) -> int:
    """Return the version that a change must carry. Raises Invalid `required`."""
    if sent.get("version") is None:
        raise Invalid(
            "Send the version that you read, so that nobody's change is overwritten.", attr="version", code="required"
        )
    version: int = sent["version"]
    return version


def created(
    request: Request,
    serializer: type[Serializer[Any]],
    create: Callable[..., tuple[Row, bool]],
    show: Callable[[Row], Mapping[str, Any]],
) -> Response:
    """Answer 201 with what `create` made of the body, or 200 with what is there, where that has the same content."""
    sent = payload(serializer, request)
    if "key" not in sent:
        raise Invalid("Name the key.", attr="key", code="required")
    row, is_new = create(actor=request.user.actor, payload=sent)
    return Response(show(row), status=201 if is_new else 200)


def changed(
    request: Request,
    serializer: type[Serializer[Any]],
    update: Callable[..., Row],
    show: Callable[[Row], Mapping[str, Any]],
) -> Response:
    """Answer with what `update` made of the body, which must have the version that was read."""
    sent = payload(serializer, request)
    return Response(show(update(actor=request.user.actor, payload=sent, version=version_of(sent))))


def paginate(
    view: APIView, request: Request, rows: QuerySet[Any] | list[Any]
) -> tuple[PageNumberPagination, list[Any]]:
    """Return the paginator, which makes the response, and the rows of the page that was asked for."""
    paginator = cast(type[PageNumberPagination], api_settings.DEFAULT_PAGINATION_CLASS)()
    return paginator, paginator.paginate_queryset(rows, request, view=view) or []


def paginated(view: APIView, request: Request, rows: QuerySet[Any] | list[Any], show: Callable[[Any], Any]) -> Response:
    """Return one page of rows, `{count, next, previous, results}`, each as `show` shows it."""
    paginator, page = paginate(view, request, rows)
    return paginator.get_paginated_response([show(row) for row in page])
