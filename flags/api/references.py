"""`references` and `flags/{key}/references`: what scans of code found, per repository and branch."""

from typing import Any

from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.response import Response

from flags.api.serializers import Part, TrueOrFalse
from flags.models import Flag
from flags.models.references import web_address
from flags.references import links, reading, scans
from flags.selectors import get_config
from tenancy import access
from tenancy.api.request import Request
from tenancy.api.serializers import ChoiceField, InstantField
from tenancy.api.views import WHERE, EnvironmentView, ManagementView, paginate, payload
from tenancy.errors import Invalid
from tenancy.models import Project
from tenancy.roles import Role

MOST_FLAGS = 5_000
MOST_PLACES = 200
_MOST_COUNT = 1_000_000
_PROJECT = [WHERE[0], WHERE[2]]


class PlaceSerializer(Part):
    path = serializers.CharField(max_length=1000, trim_whitespace=False)
    line = serializers.IntegerField(min_value=1, max_value=10**9)
    alias = serializers.CharField(max_length=200, required=False, help_text="What stands there for the flag's key.")
    text = serializers.CharField(max_length=500, required=False, allow_blank=True, help_text="The line; a choice.")


class _BranchSerializer(serializers.Serializer[Any]):
    repository = serializers.CharField(max_length=200, help_text="Its name, such as acme/shop.")
    branch = serializers.CharField(max_length=250)
    isDefault = TrueOrFalse(
        required=False, help_text="Left out: the first branch of a repository that is reported is its default one."
    )
    revision = serializers.CharField(max_length=100, required=False, allow_blank=True)
    url = serializers.CharField(max_length=300, required=False, validators=[web_address], help_text="For links.")
    host = ChoiceField(choices=list(links.HOSTS), required=False, help_text="Where the url does not tell.")
    linkTemplate = serializers.CharField(
        max_length=500,
        required=False,
        validators=[web_address],
        help_text="Of another host: an address with {path}, {line}, {revision} and {branch}.",
    )


class ReferencedFlagSerializer(Part):
    key = serializers.CharField(max_length=100)
    count = serializers.IntegerField(min_value=1, max_value=_MOST_COUNT)
    places = serializers.ListField(child=PlaceSerializer(), required=False, max_length=MOST_PLACES)


class GoneFlagSerializer(Part):
    key = serializers.CharField(max_length=100)
    at = InstantField(help_text="When the last reference was taken out of the code.")
    revision = serializers.CharField(max_length=100, required=False, allow_blank=True)


class ScanSerializer(_BranchSerializer):
    scan = serializers.UUIDField(required=False, help_text="One id for all parts of a large scan.")
    isLast = TrueOrFalse(
        required=False, help_text="False: more parts follow. Flags in no part are gone after the last."
    )
    flags = serializers.ListField(child=ReferencedFlagSerializer(), max_length=MOST_FLAGS)
    gone = serializers.ListField(child=GoneFlagSerializer(), required=False, max_length=MOST_FLAGS)


class FlagScanSerializer(_BranchSerializer):
    count = serializers.IntegerField(min_value=0, max_value=_MOST_COUNT)
    places = serializers.ListField(child=PlaceSerializer(), required=False, max_length=MOST_PLACES)
    goneAt = InstantField(required=False, help_text="With count 0: when the last one was taken out.")
    goneRevision = serializers.CharField(max_length=100, required=False, allow_blank=True)


class ScannedSerializer(serializers.Serializer[Any]):
    repository = serializers.CharField()
    branch = serializers.CharField()
    isDefault = serializers.BooleanField()
    flags = serializers.IntegerField(help_text="Flags with references on this branch now.")
    references = serializers.IntegerField()
    gone = serializers.ListField(child=serializers.CharField(), help_text="Flags without references since this report.")
    unknownFlags = serializers.ListField(child=serializers.CharField(), help_text="Keys that no flag has.")


class OnBranchSerializer(serializers.Serializer[Any]):
    count = serializers.IntegerField()
    goneAt = serializers.DateTimeField(allow_null=True)


class CountedFlagSerializer(serializers.Serializer[Any]):
    key = serializers.CharField()
    isArchived = serializers.BooleanField()
    references = serializers.IntegerField(allow_null=True, help_text="null: no scan has looked for the flag.")
    onBranch = OnBranchSerializer(
        required=False, allow_null=True, help_text="Where a repository and branch are named; null: it was not scanned."
    )


class LinkedPlaceSerializer(serializers.Serializer[Any]):
    path = serializers.CharField()
    line = serializers.IntegerField()
    alias = serializers.CharField()
    text = serializers.CharField()
    url = serializers.CharField()


class BranchReferencesSerializer(OnBranchSerializer):
    repository = serializers.CharField()
    branch = serializers.CharField()
    isDefault = serializers.BooleanField()
    isCounted = serializers.BooleanField(help_text="The default branch, and others that were reported in 30 days.")
    revision = serializers.CharField()
    scannedAt = serializers.DateTimeField(allow_null=True)
    goneRevision = serializers.CharField()
    places = LinkedPlaceSerializer(many=True)


class FlagReferencesSerializer(serializers.Serializer[Any]):
    count = serializers.IntegerField(allow_null=True, help_text="Of all repositories; null: nothing was scanned.")
    lastScannedAt = serializers.DateTimeField(allow_null=True)
    goneAt = serializers.DateTimeField(allow_null=True, help_text="With count 0: when the last reference went.")
    branches = BranchReferencesSerializer(many=True)


class ReferencesView(ManagementView):
    """The project's flags with how often code refers to each, and the report of a whole scan."""

    server_key_methods = frozenset({"GET", "PUT"})

    @extend_schema(
        parameters=[
            *_PROJECT,
            OpenApiParameter("repository", str, description="With `branch`: what is known of each flag there."),
            OpenApiParameter("branch", str),
        ],
        responses=CountedFlagSerializer(many=True),
    )
    def get(self, request: Request) -> Response:
        project = _project(request, Role.VIEWER)
        repository, branch = _place_asked(request)
        paginator, page = paginate(self, request, Flag.objects.filter(project=project).order_by("key"))
        counts = reading.reference_counts(page)
        shown = [{"key": flag.key, "isArchived": flag.is_archived, "references": counts[flag.pk]} for flag in page]
        if repository is not None and branch is not None:
            scanned, rows = reading.on_branch(project.pk, repository, branch)
            for flag, resource in zip(page, shown, strict=True):
                row = rows.get(flag.pk)
                there = {"count": row.count if row else 0, "goneAt": row.gone_at if row else None}
                resource["onBranch"] = there if scanned is not None and scanned.scanned_at else None
        return paginator.get_paginated_response([CountedFlagSerializer(each).data for each in shown])

    @extend_schema(parameters=_PROJECT, request=ScanSerializer, responses=ScannedSerializer)
    def put(self, request: Request) -> Response:
        """Replaces what is known of a repository's branch. A large scan comes in parts."""
        project = _project(request, Role.EDITOR)
        sent = payload(ScanSerializer, request)
        return Response(_scanned(scans.record_scan(actor=request.user.actor, project=project, payload=sent)))

    @extend_schema(
        parameters=[
            *_PROJECT,
            OpenApiParameter("repository", str, required=True),
            OpenApiParameter("branch", str, description="Left out: every branch."),
        ],
        request=None,
        responses={204: None},
    )
    def delete(self, request: Request) -> Response:
        """Forgets a repository that is gone, or one branch of it."""
        project = _project(request, Role.EDITOR)
        repository = request.query_params.get("repository")
        if repository is None:
            raise Invalid("Name the repository.", attr="repository", code="required")
        scans.forget_branches(
            actor=request.user.actor,
            project=project,
            repository=repository,
            branch=request.query_params.get("branch"),
        )
        return Response(status=204)


class FlagReferencesView(EnvironmentView):
    """One flag's references: counts and places, on each scanned branch."""

    server_key_methods = frozenset({"PUT"})

    @extend_schema(parameters=WHERE, responses=FlagReferencesSerializer)
    def get(self, request: Request, key: str) -> Response:
        found = reading.references_of(get_config(self.environment(request), key).flag)
        answer = {
            "count": found.count,
            "lastScannedAt": found.last_scanned_at,
            "goneAt": found.gone_at,
            "branches": [_on_branch(each) for each in found.branches],
        }
        return Response(FlagReferencesSerializer(answer).data)

    @extend_schema(parameters=_PROJECT, request=FlagScanSerializer, responses=ScannedSerializer)
    def put(self, request: Request, key: str) -> Response:
        """Replaces what is known of this flag on one branch; other flags stay as they are."""
        flag = reading.flag_in(_project(request, Role.EDITOR), key)
        sent = payload(FlagScanSerializer, request)
        recorded = scans.record_flag(actor=request.user.actor, flag=flag, payload=sent)
        return Response(_scanned(recorded))


def _project(request: Request, needs: Role) -> Project:
    """Return the project of a request. A server key has no role; the view says what it may do in its own project."""
    key = request.query_params.get("project")
    return access.get_project(request.user, key, needs=None if request.user.is_key else needs)


def _place_asked(request: Request) -> tuple[str | None, str | None]:
    repository, branch = (request.query_params.get(name) for name in ("repository", "branch"))
    if (repository is None) != (branch is None):
        missing = "repository" if repository is None else "branch"
        raise Invalid("Name the repository and the branch, or neither.", attr=missing, code="required")
    return repository, branch


def _scanned(recorded: scans.Recorded) -> Any:
    answer = {
        "repository": recorded.branch.repository,
        "branch": recorded.branch.branch,
        "isDefault": recorded.branch.is_default,
        "flags": recorded.flags,
        "references": recorded.references,
        "gone": recorded.gone,
        "unknownFlags": recorded.unknown,
    }
    return ScannedSerializer(answer).data


def _on_branch(each: reading.OnBranch) -> dict[str, Any]:
    return {
        "repository": each.branch.repository,
        "branch": each.branch.branch,
        "isDefault": each.branch.is_default,
        "isCounted": each.is_counted,
        "revision": each.branch.revision,
        "scannedAt": each.branch.scanned_at,
        "count": each.count,
        "goneAt": each.gone_at,
        "goneRevision": each.gone_revision,
        "places": each.places,
    }
