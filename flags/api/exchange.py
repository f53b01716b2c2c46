"""Configuration that crosses environments: copies, export and import."""

from dataclasses import asdict
from typing import Any

from django.conf import settings
from drf_spectacular.utils import extend_schema
from rest_framework.response import Response

from flags import services
from flags.api import serializers
from flags.api.exchange_serializers import ExportSerializer, ImportSerializer, ReportSerializer
from flags.documents import flag_resource
from flags.exchange import export
from flags.exchange.reading import read_export
from flags.services.imports import ImportReport
from tenancy import access
from tenancy.api.request import Request
from tenancy.api.views import TENANT, WHERE, EnvironmentView, payload
from tenancy.models import Environment
from tenancy.refusals import refuse_unknown
from tenancy.roles import Role

_PROJECT = [WHERE[0], TENANT]


class CopyView(EnvironmentView):
    @extend_schema(parameters=WHERE, request=serializers.CopySerializer, responses=serializers.FlagSerializer)
    def post(self, request: Request, key: str) -> Response:
        """Do in the environment `to` what the flag does in this one."""
        source = self.environment(request)
        sent = payload(serializers.CopySerializer, request)
        refuse_unknown(sent, ("to", "reason"))
        target = access.get_environment(
            request.user, project=source.project.key, environment=sent["to"], needs=Role.EDITOR
        )
        config = services.copy_flag(
            actor=request.user.actor, source=source, target=target, key=key, reason=sent.get("reason", "")
        )
        return Response(flag_resource(config))


class _OneEnvironmentView(EnvironmentView):
    def named(self, request: Request, key: str, needs: Role) -> Environment:
        return access.get_environment(
            request.user, project=request.query_params.get("project"), environment=key, needs=needs
        )


class ExportView(_OneEnvironmentView):
    """The whole environment as one document, which `import` takes."""

    @extend_schema(parameters=_PROJECT, responses=ExportSerializer)
    def get(self, request: Request, key: str) -> Response:
        environment = self.named(request, key, Role.VIEWER)
        body = export.export_environment(environment)
        name = f"{environment.project.key}-{environment.key}.json"
        return Response(body, headers={"Content-Disposition": f'attachment; filename="{name}"'})


class ImportView(_OneEnvironmentView):
    """An exported environment, or an export file of another product."""

    max_body_bytes = settings.MAX_IMPORT_BODY_BYTES

    @extend_schema(
        parameters=_PROJECT,
        request=ImportSerializer,
        responses=ReportSerializer,
    )
    def post(self, request: Request, key: str) -> Response:
        """Creates what is missing, changes what differs, deletes nothing; the report says what was left out."""
        environment = self.named(request, key, Role.EDITOR)
        access.require(request.user, environment.project, Role.EDITOR)
        sent = payload(ImportSerializer, request)
        refuse_unknown(sent, ("format", "data", "sourceEnvironment", "dryRun", "keepExisting"))
        data, notes = read_export(sent)
        is_dry_run = sent.get("dryRun", False)
        report = services.import_environment(
            actor=request.user.actor,
            environment=environment,
            data=data,
            is_dry_run=is_dry_run,
            keeps_existing=sent.get("keepExisting", False),
        )
        report.notes = notes
        return Response(_shown(report, is_dry_run=is_dry_run))


def _shown(report: ImportReport, *, is_dry_run: bool) -> dict[str, Any]:
    return {"dryRun": is_dry_run, **asdict(report)}
