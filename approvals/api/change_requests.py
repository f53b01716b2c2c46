"""Change requests over HTTP: proposing, reviewing, publishing."""

from collections.abc import Callable
from functools import partial
from typing import Any, ClassVar
from uuid import UUID

from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.response import Response

from approvals import selectors, services
from approvals.answers import request_resource
from approvals.api import serializers
from approvals.documents import listed_request
from approvals.models import ChangeRequest, Review
from approvals.operations import RESOURCES
from tenancy import access
from tenancy.api.request import Request
from tenancy.api.views import TENANT, WHERE, EnvironmentView, ManagementView, choice, paginated, payload, version_of
from tenancy.errors import Invalid
from tenancy.refusals import refuse_unknown
from tenancy.roles import Role

_WHOLE = serializers.ChangeRequestSerializer


class ChangeRequestsView(EnvironmentView):
    """The environment's change requests, and those that ask for a review there; the newest first."""

    @extend_schema(
        operation_id="change_requests_list",
        parameters=[
            *WHERE,
            OpenApiParameter("state", str, enum=ChangeRequest.State.values),
            OpenApiParameter("author", str, description="As the answer names it."),
            OpenApiParameter("type", str, enum=RESOURCES, description="With key: those that change the thing."),
            OpenApiParameter("key", str),
            OpenApiParameter("reviewOwed", bool, description="Published in an emergency, and not reviewed since."),
        ],
        responses=serializers.ListedChangeRequestSerializer(many=True),
    )
    def get(self, request: Request) -> Response:
        found = selectors.requests_in([self.environment(request)])
        query = request.query_params
        state, kind = choice(request, "state", ChangeRequest.State.values), choice(request, "type", RESOURCES)
        if state:
            found = found.filter(state=state)
        if query.get("author"):
            found = found.filter(author_label=query["author"])
        if (kind is None) != (query.get("key") is None):
            raise Invalid("Name both: the type and the key.", attr="key" if kind else "type", code="required")
        if kind:
            found = selectors.touching(found, kind, query["key"])
        owed = choice(request, "reviewOwed", ("true", "false"))
        if owed:
            found = found.filter(is_review_owed=owed == "true")
        return paginated(self, request, found.order_by("-id"), listed_request)

    @extend_schema(parameters=WHERE, request=serializers.ChangeRequestBodySerializer, responses={201: _WHOLE})
    def post(self, request: Request) -> Response:
        """Propose changes. They are made on trial, and refused now for whatever would refuse them later."""
        environment = self.environment(request, Role.EDITOR)
        sent = payload(serializers.ChangeRequestBodySerializer, request)
        made = services.create_request(principal=request.user, environment=environment, payload=sent)
        return Response(request_resource(made), status=201)


class _OneRequestView(ManagementView):
    def found(self, request: Request, pk: UUID, needs: Role | None = None) -> ChangeRequest:
        found = selectors.get_request(access.environments(request.user), pk)
        access.require(request.user, found.environment, needs)
        return found


class ChangeRequestView(_OneRequestView):
    @extend_schema(parameters=[TENANT], responses=_WHOLE)
    def get(self, request: Request, request_id: UUID) -> Response:
        return Response(request_resource(self.found(request, request_id)))

    @extend_schema(parameters=[TENANT], request=serializers.ChangeRequestBodySerializer, responses=_WHOLE)
    def patch(self, request: Request, request_id: UUID) -> Response:
        """Edit it. Approvals are of one content: other changes are to be approved anew."""
        found = self.found(request, request_id, Role.EDITOR)
        sent = payload(serializers.ChangeRequestBodySerializer, request)
        services.update_request(principal=request.user, request=found, payload=sent, version=version_of(sent))
        return Response(request_resource(self.found(request, request_id)))


class _ActView(_OneRequestView):
    """An act on one request: a service that takes the fields of `form`, if there is one, and returns a request."""

    form: ClassVar[type[Any] | None] = None
    needs: ClassVar[Role | None] = Role.EDITOR

    def done(
        self, request: Request, request_id: UUID, act: Callable[..., ChangeRequest], *, status: int = 200
    ) -> Response:
        found, sent = self.found(request, request_id, self.needs), dict[str, Any]()
        if self.form is not None:
            sent = payload(self.form, request)
            refuse_unknown(sent, self.form().fields)
        after = act(principal=request.user, request=found, **sent)
        return Response(request_resource(self.found(request, after.pk)), status=status)


def _described(form: type[Any] | None = None, *, status: int = 200) -> Callable[..., Any]:
    return extend_schema(parameters=[TENANT], request=form, responses={status: _WHOLE})


class ApproveView(_ActView):
    form, needs = serializers.ApprovalSerializer, None

    @_described(form)
    def post(self, request: Request, request_id: UUID) -> Response:
        """Approve exactly the content that was looked at."""
        return self.done(request, request_id, partial(services.review_request, verdict=Review.Verdict.APPROVE))


class ObjectView(_ActView):
    form, needs = serializers.ObjectionSerializer, None

    @_described(form)
    def post(self, request: Request, request_id: UUID) -> Response:
        """Object, which blocks the request until the objection is taken back, or its reviewer approves."""
        return self.done(request, request_id, _object)


class CommentView(_ActView):
    form, needs = serializers.VerdictSerializer, None

    @_described(form)
    def post(self, request: Request, request_id: UUID) -> Response:
        """Say something about it; a comment is no verdict."""
        return self.done(request, request_id, partial(services.review_request, verdict=Review.Verdict.COMMENT))


class PublishView(_ActView):
    @_described()
    def post(self, request: Request, request_id: UUID) -> Response:
        """Serve it, in one transaction; 409 says what is missing."""
        return self.done(request, request_id, services.publish_request)


class EmergencyPublishView(_ActView):
    form = serializers.EmergencyPublishSerializer

    @_described(form)
    def post(self, request: Request, request_id: UUID) -> Response:
        """Serve it without its approvals, by the right that the policy names. A review is owed afterwards."""
        return self.done(request, request_id, services.emergency_publish)


class CancelView(_ActView):
    form = serializers.CancelSerializer

    @_described(form)
    def post(self, request: Request, request_id: UUID) -> Response:
        """Cancel it; it blocks nothing any more."""
        return self.done(request, request_id, services.cancel_request)


class RebaseView(_ActView):
    form = serializers.RebaseSerializer

    @_described(form)
    def post(self, request: Request, request_id: UUID) -> Response:
        """Build it on what is served now. Approvals stay where exactly the same would be served."""
        return self.done(request, request_id, services.rebase_request)


class RevertView(_ActView):
    @_described(status=201)
    def post(self, request: Request, request_id: UUID) -> Response:
        """Propose what undoes it, as a request of its own."""
        return self.done(request, request_id, services.revert_request, status=201)


def _object(*, withdraw: bool = False, **sent: Any) -> ChangeRequest:
    return services.review_request(verdict=Review.Verdict.WITHDRAW if withdraw else Review.Verdict.OBJECT, **sent)
