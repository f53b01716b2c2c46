"""Flags: the list, one flag, archiving and restoring."""

from functools import partial
from typing import Any

from django.db.models import QuerySet
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.response import Response

from audit.services import is_same
from flags import selectors, services, staleness
from flags.api import serializers
from flags.api.lifecycle import lifecycle_resource, lifecycles_by_config
from flags.api.lifecycle_serializers import ListedFlagSerializer
from flags.documents import flag_resource
from flags.fields import SHARED_FIELDS
from flags.lifecycle.evidence import Known
from flags.lifecycle.stages import Stage
from flags.models import Flag
from flags.versions import history
from tenancy import access
from tenancy.api.audit import instant
from tenancy.api.request import Request
from tenancy.api.views import WHERE, EnvironmentView, choice, created, paginate, payload, version_of
from tenancy.models import Environment
from tenancy.refusals import refuse_unknown
from tenancy.roles import Role

_STAGES = [stage.value for stage in Stage]


def with_project_editor(view: EnvironmentView, request: Request) -> Environment:
    """Return the environment of a change that reaches the project's other environments too."""
    environment = view.environment(request, Role.EDITOR)
    access.require(request.user, environment.project, Role.EDITOR)
    return environment


class FlagsView(EnvironmentView):
    """The environment's flags."""

    @extend_schema(
        parameters=[
            *WHERE,
            OpenApiParameter("state", str, enum=selectors.STATES),
            OpenApiParameter("type", str, enum=Flag.Type.values),
            OpenApiParameter("kind", str, enum=Flag.Kind.values),
            *(OpenApiParameter(name, str) for name in ("tag", "owner", "team", "prefix", "search")),
            OpenApiParameter("stale", bool, description="Only stale flags, or only the others; with the evidence."),
            OpenApiParameter("stage", str, enum=_STAGES, description="Only flags in this stage; with the reasons."),
        ],
        responses=ListedFlagSerializer(many=True),
    )
    def get(self, request: Request) -> Response:
        environment = self.environment(request)
        query = request.query_params
        stage, stale = choice(request, "stage", _STAGES), choice(request, "stale", ("true", "false"))
        state = choice(request, "state", selectors.STATES)
        found = selectors.search_configs(
            environment,
            state=state or ("archived" if stage == Stage.ARCHIVED else None),
            type=choice(request, "type", Flag.Type.values),
            kind=choice(request, "kind", Flag.Kind.values),
            **{name: query.get(name) for name in ("tag", "owner", "team", "prefix", "search")},
        )
        pks: QuerySet[Any] | list[int] = found.values_list("pk", flat=True)
        known: dict[int, Known] = {}
        if stage is not None:
            known = lifecycles_by_config(environment, found.prefetch_related(None))
            pks = [pk for pk, each in known.items() if each.found.stage == stage]
        if stale is not None:
            those = staleness.stale_pks(environment, found)
            pks = [pk for pk in pks if (pk in those) == (stale == "true")]
        paginator, page = paginate(self, request, pks)
        configs = selectors.configs_of(environment, page)
        shown = [flag_resource(config, rules) for config, rules in configs]
        evidence = staleness.evidence_of(environment, configs) if stale is not None else {}
        for resource, (config, _) in zip(shown, configs, strict=True):
            if config.pk in evidence:
                resource["staleness"] = evidence[config.pk]
            if config.pk in known:
                resource["lifecycle"] = lifecycle_resource(known[config.pk])
        return paginator.get_paginated_response(shown)

    @extend_schema(
        parameters=WHERE,
        request=serializers.FlagSerializer,
        responses={200: serializers.FlagSerializer, 201: serializers.FlagSerializer},
    )
    def post(self, request: Request) -> Response:
        environment = with_project_editor(self, request)
        create = partial(services.create_flag, environment=environment)
        return created(request, serializers.FlagSerializer, create, flag_resource)


class FlagView(EnvironmentView):
    """One flag."""

    @extend_schema(
        parameters=[*WHERE, OpenApiParameter("at", OpenApiTypes.DATETIME, description="The flag as it was then.")],
        responses=serializers.FlagSerializer,
    )
    def get(self, request: Request, key: str) -> Response:
        environment = self.environment(request)
        moment = instant(request, "at")
        if moment is not None:
            return Response(history.resource_at(environment, key, moment))
        return Response(flag_resource(selectors.get_config(environment, key)))

    @extend_schema(parameters=WHERE, request=serializers.FlagSerializer, responses=serializers.FlagSerializer)
    def put(self, request: Request, key: str) -> Response:
        return self._update(request, key, is_partial=False)

    @extend_schema(parameters=WHERE, request=serializers.FlagSerializer, responses=serializers.FlagSerializer)
    def patch(self, request: Request, key: str) -> Response:
        return self._update(request, key, is_partial=True)

    @extend_schema(
        parameters=[
            *WHERE,
            OpenApiParameter("confirm", str, description="The flag's key: archive it although it is evaluated."),
        ],
        request=None,
        responses={200: serializers.FlagSerializer},
    )
    def delete(self, request: Request, key: str) -> Response:
        """Archives the flag; one that was evaluated in the last 7 days with `confirm` alone. `restore` undoes it."""
        environment = self.environment(request, Role.EDITOR)
        access.require(request.user, environment.project, Role.EDITOR)
        confirm = request.query_params.get("confirm", "")
        config = services.archive_flag(actor=request.user.actor, environment=environment, key=key, confirm=confirm)
        return Response(flag_resource(config))

    def _update(self, request: Request, key: str, *, is_partial: bool) -> Response:
        environment = self.environment(request, Role.EDITOR)
        sent = payload(serializers.FlagSerializer, request)
        version = version_of(sent)
        if not is_partial or self._is_shared_changed(environment, key, sent):
            access.require(request.user, environment.project, Role.EDITOR)
        config = services.update_flag(
            actor=request.user.actor,
            environment=environment,
            key=key,
            payload=sent,
            version=version,
            is_partial=is_partial,
        )
        return Response(flag_resource(config))

    @staticmethod
    def _is_shared_changed(environment: Environment, key: str, sent: dict[str, Any]) -> bool:
        """Whether the change reaches the other environments, where the caller may have no role."""
        asked = [field for field in SHARED_FIELDS if field.name in sent]
        if not asked:
            return False
        there = selectors.get_config(environment, key)
        return any(not is_same(sent[field.name], field.read(there)) for field in asked)


class RestoreView(EnvironmentView):
    @extend_schema(parameters=WHERE, request=serializers.ReasonSerializer, responses=serializers.FlagSerializer)
    def post(self, request: Request, key: str) -> Response:
        environment = with_project_editor(self, request)
        reason = payload(serializers.ReasonSerializer, request).get("reason", "")
        config = services.restore_flag(actor=request.user.actor, environment=environment, key=key, reason=reason)
        return Response(flag_resource(config))


class PurgeView(EnvironmentView):
    @extend_schema(parameters=WHERE, request=serializers.PurgeSerializer, responses={204: None})
    def post(self, request: Request, key: str) -> Response:
        """Delete an archived flag for good, in every environment of the project."""
        environment = self.environment(request, Role.ADMIN)
        access.require(request.user, environment.project, Role.ADMIN)
        selectors.get_config(environment, key)
        sent = payload(serializers.PurgeSerializer, request)
        refuse_unknown(sent, ("confirm", "reason"))
        services.purge_flag(
            actor=request.user.actor,
            environment=environment,
            key=key,
            confirm=sent["confirm"],
            reason=sent.get("reason", ""),
        )
        return Response(status=204)
