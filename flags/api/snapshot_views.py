"""Whole environments for those who evaluate themselves, and what they report back."""

from typing import Any

from django.conf import settings
from django.http import HttpResponse, HttpResponseRedirect
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema, extend_schema_view
from rest_framework import serializers
from rest_framework.permissions import AllowAny
from rest_framework.response import Response
from rest_framework.views import APIView

from flags import selectors
from flags.propagation import signing
from flags.propagation.acknowledgements import ACKNOWLEDGEMENTS, parse
from flags.propagation.kill_status import kill_status
from flags.propagation.snapshots import snapshot_of
from flags.services.signing import retire_previous_signing_key, rotate_signing_key
from tenancy import access
from tenancy.api.authentication import IsServerKey
from tenancy.api.request import Request
from tenancy.api.views import WHERE, EnvironmentView, ManagementView
from tenancy.errors import Invalid, NotFound, Unavailable
from tenancy.models import Environment
from tenancy.roles import Role


class SnapshotView(APIView):
    """The environment that the server key belongs to, from memory."""

    permission_classes = [IsServerKey]

    @extend_schema(
        parameters=[OpenApiParameter("If-None-Match", str, OpenApiParameter.HEADER)],
        responses={
            200: OpenApiResponse(
                OpenApiTypes.OBJECT,
                description="Canonical JSON; `X-Signature: sha256=<HMAC of the uncompressed body>`, and "
                "`X-Signature-Previous` while the secret before it is still valid.",
            ),
            304: OpenApiResponse(description="It is what you have."),
        },
    )
    def get(self, request: Request, environment_key: str | None = None) -> HttpResponse:
        environment_id = request.user.environment_id or 0
        snapshot = snapshot_of(environment_id)
        if snapshot is None:
            raise Unavailable(
                "This process has not heard of the environment's configuration yet.", retry_after_seconds=1
            )
        if environment_key is not None and environment_key != snapshot.environment_key:
            raise NotFound(f"There is no environment {environment_key!r}, or it belongs to another tenant.")
        is_gzip = "gzip" in request.META.get("HTTP_ACCEPT_ENCODING", "")
        etag = snapshot.gzip_etag if is_gzip else snapshot.etag
        wanted = {part.strip().removeprefix("W/") for part in request.META.get("HTTP_IF_NONE_MATCH", "").split(",")}
        if wanted & {snapshot.etag, snapshot.gzip_etag, "*"}:
            response = HttpResponse(status=304)
        else:
            response = HttpResponse(snapshot.gzipped if is_gzip else snapshot.body, content_type="application/json")
            if is_gzip:
                response["Content-Encoding"] = "gzip"
            for header, signature in zip(
                ("X-Signature", "X-Signature-Previous"), snapshot.signatures(environment_id), strict=False
            ):
                response[header] = signature
        response["ETag"] = etag
        response["Vary"] = "Accept-Encoding"
        response["Cache-Control"] = "private, no-cache"
        return response


class StreamView(APIView):
    """Streams are held by a process of their own; this names it."""

    authentication_classes: list[Any] = []
    permission_classes = [AllowAny]

    @extend_schema(
        parameters=[OpenApiParameter("Last-Event-ID", str, OpenApiParameter.HEADER)],
        responses={307: OpenApiResponse(description="`Location` is the stream process; send the credential to it.")},
    )
    def get(self, request: Request, environment_key: str | None = None) -> HttpResponse:  # noqa: ARG002 - it is in the path
        return HttpResponseRedirect(settings.STREAM_URL + request.get_full_path(), preserve_request=True)


@extend_schema_view(get=extend_schema(operation_id="stream_of_environment"))
class NamedStreamView(StreamView):
    """The same with the environment in the path, as SDKs of another make ask for it."""


class AcknowledgementSerializer(serializers.Serializer[Any]):
    instance = serializers.CharField(max_length=100, help_text="Whoever reports, such as host and process id.")
    version = serializers.IntegerField(min_value=0, help_text="The configuration version it has applied.")
    sdk = serializers.CharField(max_length=100, required=False, allow_blank=True)


class AcknowledgeView(APIView):
    """A service tells which version it has applied; the kill status shows who is up to date."""

    permission_classes = [IsServerKey]

    @extend_schema(request=AcknowledgementSerializer, responses={202: AcknowledgementSerializer})
    def post(self, request: Request) -> Response:
        try:
            instance, version, sdk = parse(request.data)
        except ValueError as error:
            raise Invalid(str(error)) from error
        ACKNOWLEDGEMENTS.add(request.user.environment_id, instance, sdk, version)
        ACKNOWLEDGEMENTS.flush()
        return Response({"instance": instance, "version": version}, status=202)


class KillServiceSerializer(serializers.Serializer[Any]):
    instance = serializers.CharField()
    sdk = serializers.CharField()
    version = serializers.IntegerField(allow_null=True)
    status = serializers.ChoiceField(["applied", "late", "waiting", "not_heard"])
    tookMs = serializers.IntegerField(source="took_ms", allow_null=True)
    seenAt = serializers.DateTimeField(source="seen_at")


class KillStatusSerializer(serializers.Serializer[Any]):
    flagKey = serializers.CharField(source="flag_key")
    killSwitchVariant = serializers.CharField(source="kill_switch_variant", allow_null=True)
    reason = serializers.CharField(allow_blank=True)
    configVersion = serializers.IntegerField(source="config_version", allow_null=True)
    at = serializers.DateTimeField(allow_null=True)
    isAvailable = serializers.BooleanField(source="is_available")
    isComplete = serializers.BooleanField(source="is_complete")
    applied = serializers.IntegerField()
    late = serializers.IntegerField()
    waiting = serializers.IntegerField()
    notHeard = serializers.IntegerField(source="not_heard")
    p50Ms = serializers.IntegerField(source="p50_ms", allow_null=True)
    p99Ms = serializers.IntegerField(source="p99_ms", allow_null=True)
    lateAfterMs = serializers.IntegerField(source="late_after_ms")
    services = KillServiceSerializer(many=True)


class KillStatusView(EnvironmentView):
    """How far the flag's last kill, or its release, has come."""

    @extend_schema(parameters=WHERE, responses=KillStatusSerializer)
    def get(self, request: Request, key: str) -> Response:
        status = kill_status(selectors.get_config(self.environment(request), key))
        return Response(KillStatusSerializer(status).data)


class SigningKeySerializer(serializers.Serializer[Any]):
    generation = serializers.IntegerField()
    secret = serializers.CharField(help_text="The key of the HMAC, as text.")


class SigningKeysSerializer(serializers.Serializer[Any]):
    keys = SigningKeySerializer(many=True, help_text="The one in use first; the one before it while it is valid.")


class SigningKeysView(ManagementView):
    """The secrets that sign an environment's snapshots; for admins."""

    @extend_schema(parameters=WHERE[:1] + WHERE[2:], responses=SigningKeysSerializer)
    def get(self, request: Request, environment_key: str) -> Response:
        return Response(_signing_keys(self._environment(request, environment_key)))

    @extend_schema(parameters=WHERE[:1] + WHERE[2:], request=None, responses={201: SigningKeysSerializer})
    def post(self, request: Request, environment_key: str) -> Response:
        """Rotates: a new secret signs from now on, the one in use so far stays valid beside it."""
        environment = self._environment(request, environment_key)
        rotate_signing_key(actor=request.user.actor, environment=environment)
        return Response(_signing_keys(environment), status=201)

    @extend_schema(parameters=WHERE[:1] + WHERE[2:], request=None, responses={200: SigningKeysSerializer})
    def delete(self, request: Request, environment_key: str) -> Response:
        """Retires the secret before the one in use."""
        environment = self._environment(request, environment_key)
        retire_previous_signing_key(actor=request.user.actor, environment=environment)
        return Response(_signing_keys(environment))

    def _environment(self, request: Request, environment_key: str) -> Environment:
        return access.get_environment(
            request.user,
            project=request.query_params.get("project"),
            environment=environment_key,
            needs=Role.ADMIN,
        )


def _signing_keys(environment: Environment) -> dict[str, Any]:
    row = signing.SnapshotSigning.objects.filter(pk=environment.pk).first()
    keys = [signing.signing_key(environment.pk, generation) for generation in (row.generations if row else (1,))]
    return {"keys": [{"generation": key.generation, "secret": key.secret} for key in keys]}
