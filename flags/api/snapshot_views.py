"""Whole environments for those who evaluate themselves, and what they report back."""

from typing import Any, cast

from django.conf import settings
from django.http import HttpResponse, HttpResponseRedirect
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema, extend_schema_view
from openflagship.wire import conditional, credentials, sse
from openflagship.wire.acknowledgements import FEATURES, MAX_BODY_BYTES, MOST_FEATURES, acknowledgement_of
from rest_framework import serializers
from rest_framework.permissions import AllowAny
from rest_framework.response import Response

from flags.api.kill_serializers import NotUnderstoodSerializer
from flags.propagation.acknowledgements import ACKNOWLEDGEMENTS, future_version
from flags.propagation.runtime import RUNTIME
from flags.propagation.snapshots import snapshot_of
from tenancy.api.authentication import IsEdgeCredential, IsServerKey
from tenancy.api.data_plane import DataPlaneView
from tenancy.api.request import Request
from tenancy.authentication.edges import edge_configuration
from tenancy.authentication.keyring import Key
from tenancy.errors import Unavailable
from tenancy.models import Environment

# Where the stream is served.
_STREAM_HEADER = "X-FlagShip-Stream"


class SnapshotView(DataPlaneView):
    """The environment that the server key belongs to, from memory."""

    permission_classes = [IsServerKey]

    @extend_schema(
        parameters=[OpenApiParameter("If-None-Match", str, OpenApiParameter.HEADER)],
        responses={
            200: OpenApiResponse(
                {"$ref": "#/components/schemas/Snapshot"},
                description="Canonical JSON; `X-Signature: sha256=<HMAC of the uncompressed body>`, and "
                "`X-Signature-Previous` while the secret before it is still valid. `X-FlagShip-Stream` is the address "
                "of the stream.",
            ),
            304: OpenApiResponse(description="It is what you have."),
        },
    )
    def get(self, request: Request, environment_key: str | None = None) -> HttpResponse:
        environment_id = request.user.environment_id or 0
        snapshot = snapshot_of(environment_id)
        if snapshot is None:
            raise Unavailable(credentials.NOT_READY, retry_after_seconds=1)
        credentials.check_environment(environment_key or "", snapshot.environment_key)
        is_gzip = "gzip" in request.META.get("HTTP_ACCEPT_ENCODING", "")
        etag = snapshot.gzip_etag if is_gzip else snapshot.etag
        if conditional.is_known(request.META.get("HTTP_IF_NONE_MATCH", ""), snapshot.etag, snapshot.gzip_etag):
            response = HttpResponse(status=304)
        else:
            response = HttpResponse(snapshot.gzipped if is_gzip else snapshot.body, content_type="application/json")
            if is_gzip:
                response["Content-Encoding"] = "gzip"
            for header, signature in zip(
                ("X-Signature", "X-Signature-Previous"), snapshot.signatures(environment_id), strict=False
            ):
                response[header] = signature
        if age := sse.age_text(RUNTIME.age_seconds):
            response[sse.AGE_HEADER] = age
        response["ETag"] = etag
        response[_STREAM_HEADER] = settings.STREAM_URL
        response["Vary"] = "Accept-Encoding"
        response["Cache-Control"] = "private, no-cache"
        return response


class EdgeConfigurationView(DataPlaneView):
    """What the edge with this credential serves: environments, and the digests of the keys that it takes."""

    permission_classes = [IsEdgeCredential]

    @extend_schema(responses={200: OpenApiTypes.OBJECT})
    def get(self, request: Request) -> Response:
        response = Response(edge_configuration(cast(Key, request.auth)))
        response[_STREAM_HEADER] = settings.STREAM_URL
        response["Cache-Control"] = "private, no-cache"
        return response


class StreamView(DataPlaneView):
    """Streams are held by a process of their own; this names it."""

    authentication_classes: list[Any] = []
    permission_classes = [AllowAny]

    @extend_schema(
        parameters=[OpenApiParameter("Last-Event-ID", str, OpenApiParameter.HEADER)],
        responses={
            (200, "text/event-stream"): {"$ref": "#/components/schemas/StreamEvent"},
            307: OpenApiResponse(description="`Location` is the stream process; send the credential to it."),
        },
    )
    def get(self, request: Request, environment_key: str | None = None) -> HttpResponse:  # noqa: ARG002 - it is in the path
        return HttpResponseRedirect(settings.STREAM_URL + request.get_full_path(), preserve_request=True)


@extend_schema_view(get=extend_schema(operation_id="stream_of_environment"))
class NamedStreamView(StreamView):
    """The same with the environment in the path, as SDKs of another make ask for it."""


@extend_schema_view(get=extend_schema(operation_id="stream_as_events"))
class EventsStreamView(StreamView):
    """The same under another name."""


@extend_schema_view(get=extend_schema(operation_id="stream_of_edge"))
class EdgeStreamView(StreamView):
    """The stream of an edge's own configuration."""


class AcknowledgementSerializer(serializers.Serializer[Any]):
    instance = serializers.CharField(max_length=100, help_text="Whoever reports, such as host and process id.")
    version = serializers.IntegerField(min_value=0, help_text="The configuration version it has applied.")
    sdk = serializers.CharField(max_length=100, required=False, allow_blank=True)
    features = serializers.ListField(
        child=serializers.CharField(max_length=100),
        max_length=MOST_FEATURES,
        required=False,
        help_text=f"What it understands beyond the first form of a flag, such as {', '.join(FEATURES)}.",
    )
    notUnderstood = NotUnderstoodSerializer(required=False)
    goodbye = serializers.BooleanField(required=False, help_text="The process ends: it leaves the board at once.")


class AcknowledgedSerializer(serializers.Serializer[Any]):
    instance = serializers.CharField()
    version = serializers.IntegerField()


class AcknowledgeView(DataPlaneView):
    """A service tells which version it has applied; the kill status shows who is up to date."""

    permission_classes = [IsServerKey]
    max_body_bytes = MAX_BODY_BYTES

    @extend_schema(request=AcknowledgementSerializer, responses={202: AcknowledgedSerializer})
    def post(self, request: Request) -> Response:
        said = acknowledgement_of(self.sent(request))
        _refuse_future(request.user.own_environment_id, said.version)
        ACKNOWLEDGEMENTS.take(request.user.environment_id, said)
        ACKNOWLEDGEMENTS.flush()
        return Response(said.answer, status=202)


def _refuse_future(environment_id: int, version: int) -> None:
    """Raise RefusedError for a version that does not exist yet."""
    environment = RUNTIME.environments.get(environment_id)
    if environment is None or version <= environment.version:
        return
    # Another process may be some milliseconds ahead of this one.
    known = Environment.objects.filter(pk=environment_id).values_list("config_version", flat=True).first()
    if known is not None and version > known:
        raise future_version(known)
