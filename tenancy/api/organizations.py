"""Organizations, projects and environments over HTTP."""

from collections.abc import Callable
from typing import Any, TypeVar

from django.db.models import QuerySet
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.response import Response

from tenancy import access, documents, services
from tenancy.api import serializers
from tenancy.api.request import Request
from tenancy.api.views import TENANT, ManagementView, paginated, payload
from tenancy.errors import Conflict, Forbidden
from tenancy.models import Environment, Exposures, Project, User
from tenancy.refusals import refuse_unknown
from tenancy.roles import Role

Row = TypeVar("Row", Project, Environment)
_ORGANIZATION = OpenApiParameter("organization", str, description="Slug; may be left out where there is only one.")
_PROJECT = OpenApiParameter("project", str, description="Project key; may be left out where there is only one.")


def _made(
    create: Callable[[], Row], there: QuerySet[Row], show: Callable[[Row], dict[str, Any]], sent: dict[str, Any]
) -> Response:
    """Answer 201 with what was created, or 200 where it exists with the same content. Raises as `create`."""
    try:
        return Response(show(create()), status=201)
    except Conflict as error:
        found = there.first()
        if found is None or error.problems[0].code != "key_exists":
            raise
        current = show(found)
        if any(current[name] != value for name, value in sent.items()):
            error.extra = {"current": current}
            raise
        return Response(current)


class OrganizationsView(ManagementView):
    """The organizations in which the caller has a role."""

    @extend_schema(parameters=[TENANT], responses=serializers.OrganizationSerializer(many=True))
    def get(self, request: Request) -> Response:
        return paginated(self, request, access.organizations(request.user), documents.organization_resource)

    @extend_schema(
        parameters=[TENANT],
        request=serializers.OrganizationSerializer,
        responses={201: serializers.OrganizationSerializer},
    )
    def post(self, request: Request) -> Response:
        """Only administrators of the platform create organizations. The creator becomes the owner."""
        user = User.objects.filter(pk=request.user.user_id or 0, is_superuser=True).first()
        if user is None:
            raise Forbidden("Only an administrator of the platform may create organizations.")
        sent = payload(serializers.OrganizationSerializer, request)
        refuse_unknown(sent, ("slug", "name"))
        made = services.create_organization(actor=request.user.actor, slug=sent["slug"], name=sent["name"], owner=user)
        return Response(documents.organization_resource(made), status=201)


class OrganizationView(ManagementView):
    @extend_schema(parameters=[TENANT], responses=serializers.OrganizationSerializer)
    def get(self, request: Request, slug: str) -> Response:
        found = access.get_organization(request.user, slug, needs=None)
        return Response(documents.organization_resource(found))

    @extend_schema(
        parameters=[TENANT],
        request=serializers.OrganizationChangeSerializer,
        responses=serializers.OrganizationSerializer,
    )
    def patch(self, request: Request, slug: str) -> Response:
        organization = access.get_organization(request.user, slug, needs=Role.ADMIN)
        sent = payload(serializers.OrganizationChangeSerializer, request)
        changed = services.update_organization(
            actor=request.user.actor, organization=organization, payload=sent, version=sent["version"]
        )
        return Response(documents.organization_resource(changed))

    @extend_schema(parameters=[TENANT], responses={204: None})
    def delete(self, request: Request, slug: str) -> Response:
        organization = access.get_organization(request.user, slug, needs=Role.OWNER)
        services.delete_organization(actor=request.user.actor, organization=organization)
        return Response(status=204)


class ProjectsView(ManagementView):
    """The organization's projects."""

    @extend_schema(parameters=[_ORGANIZATION, TENANT], responses=serializers.ProjectSerializer(many=True))
    def get(self, request: Request) -> Response:
        found = access.projects(request.user)
        if slug := request.query_params.get("organization"):
            found = found.filter(organization__slug=slug)
        return paginated(self, request, found, documents.project_resource)

    @extend_schema(
        parameters=[_ORGANIZATION, TENANT],
        request=serializers.NewProjectSerializer,
        responses={200: serializers.ProjectSerializer, 201: serializers.ProjectSerializer},
    )
    def post(self, request: Request) -> Response:
        slug = request.query_params.get("organization")
        organization = access.get_organization(request.user, slug, needs=Role.ADMIN)
        sent = payload(serializers.NewProjectSerializer, request)
        refuse_unknown(sent, ("key", "name"))
        return _made(
            lambda: services.create_project(
                actor=request.user.actor, organization=organization, key=sent["key"], name=sent["name"]
            ),
            organization.projects.filter(key=sent["key"]),
            documents.project_resource,
            sent,
        )


class ProjectView(ManagementView):
    def _project(self, request: Request, key: str, needs: Role) -> Project:
        return access.get_project(request.user, key, needs=needs)

    @extend_schema(parameters=[TENANT], responses=serializers.ProjectSerializer)
    def get(self, request: Request, key: str) -> Response:
        return Response(documents.project_resource(access.get_project(request.user, key, needs=None)))

    @extend_schema(
        parameters=[TENANT], request=serializers.ProjectChangeSerializer, responses=serializers.ProjectSerializer
    )
    def patch(self, request: Request, key: str) -> Response:
        project = self._project(request, key, Role.ADMIN)
        sent = payload(serializers.ProjectChangeSerializer, request)
        changed = services.update_project(
            actor=request.user.actor, project=project, payload=sent, version=sent["version"]
        )
        return Response(documents.project_resource(changed))

    @extend_schema(parameters=[TENANT], responses={204: None})
    def delete(self, request: Request, key: str) -> Response:
        services.delete_project(actor=request.user.actor, project=self._project(request, key, Role.ADMIN))
        return Response(status=204)


class EnvironmentsView(ManagementView):
    """The project's environments."""

    @extend_schema(parameters=[_PROJECT, TENANT], responses=serializers.EnvironmentSerializer(many=True))
    def get(self, request: Request) -> Response:
        found = access.environments(request.user).select_related("project")
        if key := request.query_params.get("project"):
            found = found.filter(project__key=key)
        return paginated(self, request, found, documents.environment_resource)

    @extend_schema(
        parameters=[_PROJECT, TENANT],
        request=serializers.EnvironmentSerializer,
        responses={200: serializers.EnvironmentSerializer, 201: serializers.EnvironmentSerializer},
    )
    def post(self, request: Request) -> Response:
        project = access.get_project(request.user, request.query_params.get("project"), needs=Role.ADMIN)
        sent = payload(serializers.EnvironmentSerializer, request)
        refuse_unknown(sent, ("key", "name", "isProduction", "salt", "pseudonyms", "exposures"))
        return _made(
            lambda: services.create_environment(
                actor=request.user.actor,
                project=project,
                key=sent["key"],
                name=sent["name"],
                is_production=sent.get("isProduction", False),
                salt=sent.get("salt", ""),
                stores_pseudonyms=sent.get("pseudonyms", False),
                exposures=sent.get("exposures", Exposures.ALL),
            ),
            project.environments.filter(key=sent["key"]),
            documents.environment_resource,
            sent,
        )


class EnvironmentDetailView(ManagementView):
    def _environment(self, request: Request, key: str, needs: Role | None) -> Environment:
        return access.get_environment(
            request.user, project=request.query_params.get("project"), environment=key, needs=needs
        )

    @extend_schema(parameters=[_PROJECT, TENANT], responses=serializers.EnvironmentSerializer)
    def get(self, request: Request, key: str) -> Response:
        return Response(documents.environment_resource(self._environment(request, key, None)))

    @extend_schema(
        parameters=[_PROJECT, TENANT],
        request=serializers.EnvironmentChangeSerializer,
        responses=serializers.EnvironmentSerializer,
    )
    def patch(self, request: Request, key: str) -> Response:
        environment = self._environment(request, key, Role.ADMIN)
        sent = payload(serializers.EnvironmentChangeSerializer, request)
        changed = services.update_environment(
            actor=request.user.actor, environment=environment, payload=sent, version=sent["version"]
        )
        return Response(documents.environment_resource(changed))

    @extend_schema(parameters=[_PROJECT, TENANT], responses={204: None})
    def delete(self, request: Request, key: str) -> Response:
        environment = self._environment(request, key, Role.ADMIN)
        services.delete_environment(actor=request.user.actor, environment=environment)
        return Response(status=204)


def scope_of(request: Request, sent: dict[str, Any], needs: Role) -> dict[str, Any]:
    """Return `{organization, project, environment}` as the body names them; check the role on the innermost."""
    project_key, environment_key = sent.get("project"), sent.get("environment")
    if environment_key:
        environment = access.get_environment(
            request.user, project=project_key, environment=environment_key, needs=needs
        )
        project = environment.project
        return {"organization": project.organization, "project": project, "environment": environment}
    if project_key:
        project = access.get_project(request.user, project_key, needs=needs)
        return {"organization": project.organization, "project": project, "environment": None}
    slug = request.query_params.get("organization")
    return {
        "organization": access.get_organization(request.user, slug, needs=needs),
        "project": None,
        "environment": None,
    }
