"""A person's data over HTTP: jobs that erase it or hand it out, and what they found place by place."""

from uuid import UUID

from django.http import HttpResponse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema
from rest_framework.response import Response

from tenancy import access, documents
from tenancy.api import serializers
from tenancy.api.request import Request
from tenancy.api.views import ORGANIZATION, TENANT, ManagementView, paginated, payload
from tenancy.errors import NotFound
from tenancy.models import Organization, PrivacyJob
from tenancy.privacy.jobs import request_privacy_job
from tenancy.refusals import refuse_unknown
from tenancy.roles import Role

_PARAMETERS = [ORGANIZATION, TENANT]


class _PrivacyView(ManagementView):
    def organization(self, request: Request) -> Organization:
        return access.get_organization(request.user, request.query_params.get("organization"), needs=Role.ADMIN)

    def ask(self, request: Request, act: str) -> Response:
        organization = self.organization(request)
        sent = payload(serializers.PersonSerializer, request)
        refuse_unknown(sent, ("kind", "id"))
        job = request_privacy_job(
            actor=request.user.actor, organization=organization, act=act, kind=sent["kind"], person_id=sent["id"]
        )
        return Response(documents.privacy_job_resource(job), status=202)

    def job(self, request: Request, job_id: UUID) -> PrivacyJob:
        job = self.organization(request).privacy_jobs.defer("file").filter(pk=job_id).first()
        if job is None:
            raise NotFound("There is no such job.")
        return job


class EraseView(_PrivacyView):
    @extend_schema(
        parameters=_PARAMETERS,
        request=serializers.PersonSerializer,
        responses={202: serializers.PrivacyJobSerializer},
        operation_id="privacy_erase",
    )
    def post(self, request: Request) -> Response:
        """Erase what is stored of a person, wherever it stands; the job's report names what has to stay."""
        return self.ask(request, PrivacyJob.Act.ERASE)


class ExportView(_PrivacyView):
    @extend_schema(
        parameters=_PARAMETERS,
        request=serializers.PersonSerializer,
        responses={202: serializers.PrivacyJobSerializer},
        operation_id="privacy_export",
    )
    def post(self, request: Request) -> Response:
        """Make a file of what is stored of a person."""
        return self.ask(request, PrivacyJob.Act.EXPORT)


class PrivacyJobsView(_PrivacyView):
    """The organization's jobs, the newest first."""

    @extend_schema(parameters=_PARAMETERS, responses=serializers.PrivacyJobSerializer(many=True))
    def get(self, request: Request) -> Response:
        rows = self.organization(request).privacy_jobs.defer("file").order_by("-created_at")
        return paginated(self, request, rows, documents.privacy_job_resource)


class PrivacyJobView(_PrivacyView):
    @extend_schema(parameters=_PARAMETERS, responses=serializers.PrivacyJobSerializer)
    def get(self, request: Request, job_id: UUID) -> Response:
        """The job with its progress and its report."""
        return Response(documents.privacy_job_resource(self.job(request, job_id)))


class PrivacyFileView(_PrivacyView):
    @extend_schema(parameters=_PARAMETERS, responses={(200, "application/gzip"): OpenApiTypes.BINARY})
    def get(self, request: Request, job_id: UUID) -> HttpResponse:
        """The file of an export: JSON lines, compressed. It is kept for seven days."""
        return export_file(self.job(request, job_id))


def export_file(job: PrivacyJob) -> HttpResponse:
    """Answer with a job's file. Raises NotFound."""
    if job.file is None:
        raise NotFound("The job has no file: it erased, is not done yet, or the file was let go after seven days.")
    name = f"person-{job.trace[:12]}.jsonl.gz"
    headers = {"Content-Disposition": f'attachment; filename="{name}"', "Cache-Control": "no-store"}
    return HttpResponse(bytes(job.file), content_type="application/gzip", headers=headers)
