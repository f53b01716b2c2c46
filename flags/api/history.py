"""The history of a flag: its versions, rollback, and its part of the audit log."""

from drf_spectacular.utils import extend_schema
from rest_framework.response import Response

from audit.documents import entry_resource
from audit.models import Entry
from audit.selectors import rows_about
from flags import selectors, services
from flags.api import serializers
from flags.api.flags import with_project_editor
from flags.documents import flag_resource
from flags.versions import history
from tenancy.api.request import Request
from tenancy.api.serializers import AuditEntrySerializer
from tenancy.api.views import WHERE, EnvironmentView, paginate, paginated, payload
from tenancy.refusals import refuse_unknown


class VersionsView(EnvironmentView):
    """Every version the flag had here, the newest first, each with what it changed."""

    @extend_schema(parameters=WHERE, responses=serializers.VersionSerializer(many=True))
    def get(self, request: Request, key: str) -> Response:
        environment = self.environment(request)
        flag = selectors.get_config(environment, key).flag
        paginator, steps = paginate(self, request, history.flag_changes(environment, key))
        return paginator.get_paginated_response(list(history.version_resources(environment, flag, steps)))


class RollbackView(EnvironmentView):
    @extend_schema(parameters=WHERE, request=serializers.RollbackSerializer, responses=serializers.FlagSerializer)
    def post(self, request: Request, key: str) -> Response:
        """An earlier version becomes current, as a new version."""
        environment = with_project_editor(self, request)
        sent = payload(serializers.RollbackSerializer, request)
        refuse_unknown(sent, ("version", "reason"))
        config = services.rollback_flag(
            actor=request.user.actor,
            environment=environment,
            key=key,
            version=sent["version"],
            reason=sent.get("reason", ""),
        )
        return Response(flag_resource(config))


class FlagAuditView(EnvironmentView):
    """Who did what to the flag and to its experiments in this environment, the newest first."""

    @extend_schema(parameters=WHERE, responses=AuditEntrySerializer(many=True))
    def get(self, request: Request, key: str) -> Response:
        environment = self.environment(request)
        selectors.get_config(environment, key)
        found = Entry.objects.filter(
            organization_id=environment.project.organization_id,
            project=environment.project.key,
            environment=environment.key,
        )
        return paginated(self, request, rows_about(found, "flag", key).order_by("-id"), entry_resource)
