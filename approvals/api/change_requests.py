"""Change requests over HTTP: proposing, reviewing, publishing."""

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
    def found(self, request: Request, request_id: UUID) -> ChangeRequest:
        return selectors.get_request(access.environments(request.user), request_id)


class ChangeRequestView(_OneRequestView):
    @extend_schema(parameters=[TENANT], responses=_WHOLE)
    def get(self, request: Request, request_id: UUID) -> Response:
        return Response(request_resource(self.found(request, request_id)))

    @extend_schema(parameters=[TENANT], request=serializers.ChangeRequestBodySerializer, responses=_WHOLE)
    def patch(self, request: Request, request_id: UUID) -> Response:
        """Edit it. Approvals are of one content: other changes are to be approved anew."""
        found = self.found(request, request_id)
        access.require(request.user, found.environment, Role.EDITOR)
        sent = payload(serializers.ChangeRequestBodySerializer, request)
        changed = services.update_request(principal=request.user, request=found, payload=sent, version=version_of(sent))
        return Response(request_resource(selectors.get_request(access.environments(request.user), changed.pk)))


class _ActView(_OneRequestView):
    """An act on one request, with a body of a few fields."""

    form: ClassVar[type[Any]] = serializers.VerdictSerializer

    def answer(self, request: Request, request_id: UUID) -> Response:
        return Response(request_resource(self.found(request, request_id)))

    def sent(self, request: Request) -> dict[str, Any]:
        sent = payload(type(self).form, request)
        refuse_unknown(sent, type(self).form().fields)
        return sent


class ApproveView(_ActView):
    @extend_schema(parameters=[TENANT], request=serializers.VerdictSerializer, responses=_WHOLE)
    def post(self, request: Request, request_id: UUID) -> Response:
        """Approve exactly the content that the request has now."""
        found, sent = self.found(request, request_id), self.sent(request)
        services.review_request(principal=request.user, request=found, verdict=Review.Verdict.APPROVE, **sent)
        return self.answer(request, request_id)


class ObjectView(_ActView):
    form = serializers.ObjectionSerializer

    @extend_schema(parameters=[TENANT], request=serializers.ObjectionSerializer, responses=_WHOLE)
    def post(self, request: Request, request_id: UUID) -> Response:
        """Object, which blocks the request until the objection is taken back, or its reviewer approves."""
        found, sent = self.found(request, request_id), self.sent(request)
        verdict = Review.Verdict.WITHDRAW if sent.pop("withdraw", False) else Review.Verdict.OBJECT
        services.review_request(principal=request.user, request=found, verdict=verdict, **sent)
        return self.answer(request, request_id)


class CommentView(_ActView):
    @extend_schema(parameters=[TENANT], request=serializers.VerdictSerializer, responses=_WHOLE)
    def post(self, request: Request, request_id: UUID) -> Response:
        """Say something about it; a comment is no verdict."""
        found, sent = self.found(request, request_id), self.sent(request)
        services.review_request(principal=request.user, request=found, verdict=Review.Verdict.COMMENT, **sent)
        return self.answer(request, request_id)


class PublishView(_OneRequestView):
    @extend_schema(parameters=[TENANT], request=None, responses=_WHOLE)
    def post(self, request: Request, request_id: UUID) -> Response:
        """Serve it, in one transaction; 409 says what is missing."""
        services.publish_request(principal=request.user, request=self.found(request, request_id))
        return Response(request_resource(self.found(request, request_id)))


class EmergencyPublishView(_ActView):
    form = serializers.EmergencyPublishSerializer

    @extend_schema(parameters=[TENANT], request=serializers.EmergencyPublishSerializer, responses=_WHOLE)
    def post(self, request: Request, request_id: UUID) -> Response:
        """Serve it without its approvals, by the right that the policy names. A review is owed afterwards."""
        found = self.found(request, request_id)
        access.require(request.user, found.environment, Role.EDITOR)
        reason = self.sent(request).get("reason", "")
        services.emergency_publish(principal=request.user, request=found, reason=reason)
        return self.answer(request, request_id)


class CancelView(_ActView):
    form = serializers.CancelSerializer

    @extend_schema(parameters=[TENANT], request=serializers.CancelSerializer, responses=_WHOLE)
    def post(self, request: Request, request_id: UUID) -> Response:
        """Cancel it; it blocks nothing any more."""
        found = self.found(request, request_id)
        access.require(request.user, found.environment, Role.EDITOR)
        services.cancel_request(principal=request.user, request=found, reason=self.sent(request).get("reason", ""))
        return self.answer(request, request_id)


class RebaseView(_ActView):
    form = serializers.RebaseSerializer

    @extend_schema(parameters=[TENANT], request=serializers.RebaseSerializer, responses=_WHOLE)
    def post(self, request: Request, request_id: UUID) -> Response:
        """Build it on what is served now. Approvals stay where exactly the same would be served."""
        found = self.found(request, request_id)
        access.require(request.user, found.environment, Role.EDITOR)
        services.rebase_request(principal=request.user, request=found, keep=self.sent(request).get("keep", False))
        return self.answer(request, request_id)


class RevertView(_OneRequestView):
    @extend_schema(parameters=[TENANT], request=None, responses={201: _WHOLE})
    def post(self, request: Request, request_id: UUID) -> Response:
        """Propose what undoes it, as a request of its own."""
        found = self.found(request, request_id)
        access.require(request.user, found.environment, Role.EDITOR)
        made = services.revert_request(principal=request.user, request=found)
        return Response(request_resource(made), status=201)
