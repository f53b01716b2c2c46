"""What an environment asks before a change is served, and when nothing is published."""

from uuid import UUID

from django.db.models import Q, QuerySet
from drf_spectacular.utils import extend_schema
from rest_framework.response import Response

from approvals import services
from approvals.api import serializers
from approvals.documents import freeze_resource, policy_resource
from approvals.models import Freeze
from approvals.selectors import policy_of
from approvals.services.freezes import Place
from tenancy import access
from tenancy.api.request import Request
from tenancy.api.views import ORGANIZATION, TENANT, WHERE, ManagementView, paginated, payload, version_of
from tenancy.errors import Invalid, NotFound
from tenancy.models import Environment
from tenancy.roles import Role

_PROJECT = [WHERE[0], TENANT]
_ORGANIZATION = [ORGANIZATION, TENANT]


class PolicyView(ManagementView):
    """The policy of one environment."""

    def named(self, request: Request, key: str, needs: Role) -> Environment:
        return access.get_environment(
            request.user, project=request.query_params.get("project"), environment=key, needs=needs
        )

    @extend_schema(parameters=_PROJECT, responses=serializers.PolicySerializer)
    def get(self, request: Request, key: str) -> Response:
        return Response(policy_resource(policy_of(self.named(request, key, Role.VIEWER))))

    @extend_schema(parameters=_PROJECT, request=serializers.PolicySerializer, responses=serializers.PolicySerializer)
    def put(self, request: Request, key: str) -> Response:
        """Replace it: what is left out gets its default. It holds for the next write."""
        environment = self.named(request, key, Role.ADMIN)
        sent = payload(serializers.PolicySerializer, request)
        policy = services.set_policy(
            actor=request.user.actor, environment=environment, payload=sent, version=version_of(sent)
        )
        return Response(policy_resource(policy))


class _FreezeView(ManagementView):
    def freezes(self, request: Request) -> QuerySet[Freeze]:
        """Those that reach something in which the caller has a role."""
        organization = access.get_organization(request.user, request.query_params.get("organization"), needs=None)
        there = access.environments(request.user).filter(project__organization=organization)
        reach = Q(project__isnull=True) | Q(environment__isnull=True, project__in=there.values("project"))
        found = Freeze.objects.filter(reach | Q(environment__in=there), organization=organization)
        return found.select_related("organization", "project__organization", "environment__project__organization")

    def freeze(self, request: Request, freeze_id: UUID, needs: Role | None = None) -> Freeze:
        found = self.freezes(request).filter(pk=freeze_id).first()
        if found is None:
            raise NotFound("There is no such freeze.")
        access.require(request.user, found.environment or found.project or found.organization, needs)
        return found


class FreezesView(_FreezeView):
    """Windows in which nothing is published."""

    @extend_schema(parameters=_ORGANIZATION, responses=serializers.FreezeSerializer(many=True))
    def get(self, request: Request) -> Response:
        return paginated(self, request, self.freezes(request).order_by("-id"), freeze_resource)

    @extend_schema(
        parameters=_ORGANIZATION,
        request=serializers.FreezeSerializer,
        responses={201: serializers.FreezeSerializer},
    )
    def post(self, request: Request) -> Response:
        """Make a freeze of an environment, a project, or of the whole organization. Kills are exempt."""
        sent = payload(serializers.FreezeSerializer, request)
        freeze = services.create_freeze(actor=request.user.actor, place=_place(request, sent), payload=sent)
        return Response(freeze_resource(freeze), status=201)


class FreezeView(_FreezeView):
    @extend_schema(parameters=_ORGANIZATION, responses=serializers.FreezeSerializer)
    def get(self, request: Request, freeze_id: UUID) -> Response:
        return Response(freeze_resource(self.freeze(request, freeze_id)))

    @extend_schema(
        parameters=_ORGANIZATION, request=serializers.FreezeSerializer, responses=serializers.FreezeSerializer
    )
    def patch(self, request: Request, freeze_id: UUID) -> Response:
        freeze = self.freeze(request, freeze_id, Role.ADMIN)
        sent = payload(serializers.FreezeSerializer, request, is_partial=True)
        changed = services.update_freeze(
            actor=request.user.actor, freeze=freeze, payload=sent, version=version_of(sent)
        )
        return Response(freeze_resource(changed))

    @extend_schema(parameters=_ORGANIZATION, responses={204: None})
    def delete(self, request: Request, freeze_id: UUID) -> Response:
        """End it at once: what it held back may be published."""
        services.delete_freeze(actor=request.user.actor, freeze=self.freeze(request, freeze_id, Role.ADMIN))
        return Response(status=204)


def _place(request: Request, sent: dict[str, object]) -> Place:
    """Return what is to be frozen; the caller is an admin there."""
    project, environment = sent.get("project"), sent.get("environment")
    if environment and not project:
        raise Invalid("Name the project of the environment.", attr="project", code="required")
    if environment:
        return access.get_environment(
            request.user, project=str(project), environment=str(environment), needs=Role.ADMIN
        )
    if project:
        return access.get_project(request.user, str(project), needs=Role.ADMIN)
    return access.get_organization(request.user, request.query_params.get("organization"), needs=Role.ADMIN)
