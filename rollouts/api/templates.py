"""The templates of an organization, and those that are built in."""

from functools import partial
from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework.response import Response

from rollouts import selectors, services
from rollouts.api import serializers
from rollouts.documents import template_resource
from rollouts.planning.templates import BUILT_IN
from tenancy import access
from tenancy.api.request import Request
from tenancy.api.views import ORGANIZATION, TENANT, ManagementView, changed, created, paginated
from tenancy.errors import Forbidden
from tenancy.models import Organization
from tenancy.roles import Role

_PARAMETERS = [ORGANIZATION, TENANT]
_Template = serializers.RolloutTemplateSerializer


class _TemplateView(ManagementView):
    def organization(self, request: Request, needs: Role | None = None) -> Organization:
        return access.get_organization(request.user, request.query_params.get("organization"), needs=needs)


class RolloutTemplatesView(_TemplateView):
    """Named steps. Those that are built in come first."""

    @extend_schema(parameters=_PARAMETERS, responses=_Template(many=True))
    def get(self, request: Request) -> Response:
        return paginated(self, request, selectors.templates(self.organization(request)), template_resource)

    @extend_schema(parameters=_PARAMETERS, request=_Template, responses={200: _Template, 201: _Template})
    def post(self, request: Request) -> Response:
        create = partial(services.create_template, organization=self.organization(request, Role.EDITOR))
        return created(request, _Template, create, template_resource)


class RolloutTemplateView(_TemplateView):
    @extend_schema(operation_id="rollout_template_retrieve", parameters=_PARAMETERS, responses=_Template)
    def get(self, request: Request, key: str) -> Response:
        organization = self.organization(request)
        found: Any = BUILT_IN.get(key) or selectors.get_template(organization, key)
        return Response(template_resource(found))

    @extend_schema(parameters=_PARAMETERS, request=_Template, responses=_Template)
    def put(self, request: Request, key: str) -> Response:
        template = self._own(request, key)
        return changed(request, _Template, partial(services.update_template, template=template), template_resource)

    @extend_schema(parameters=_PARAMETERS, responses={204: None})
    def delete(self, request: Request, key: str) -> Response:
        services.delete_template(actor=request.user.actor, template=self._own(request, key))
        return Response(status=204)

    def _own(self, request: Request, key: str) -> Any:
        organization = self.organization(request, Role.EDITOR)
        if key in BUILT_IN:
            raise Forbidden("This template is built in; make one of your own.")
        return selectors.get_template(organization, key)
