"""Thin views: find the environment through the door, call a service or a selector, show the resource."""

from typing import Any

from django.db.models import QuerySet
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.pagination import PageNumberPagination
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.settings import api_settings

from experiments import planning, selectors, services
from experiments.analysis import results_for
from experiments.api import serializers
from experiments.documents import experiment_resource, metric_resource
from experiments.models import Experiment
from experiments.preflight import check_before_start
from flags.api.views import EnvironmentView
from tenancy.errors import Invalid
from tenancy.models import Role

WHERE = [
    OpenApiParameter("project", str, description="Project key; may be left out where there is only one."),
    OpenApiParameter("environment", str, description="Environment key; likewise."),
    OpenApiParameter(
        "X-Tenant-ID", str, OpenApiParameter.HEADER, description="Organization slug, with a management token."
    ),
]


def checked(serializer: type[Any], request: Request) -> dict[str, Any]:
    """Check the form of the body; return what was sent, unknown names included so that the service can refuse them."""
    data = request.data if request.data not in (None, "") else {}
    if not isinstance(data, dict):
        raise Invalid("Send a JSON object.", code="invalid_type")
    found = serializer(data=data)
    found.is_valid(raise_exception=True)
    return {**data, **found.validated_data}


def _version(payload: dict[str, Any]) -> int:
    if "version" not in payload:
        raise Invalid(
            "Send the version that you read, so that nobody's change is overwritten.", attr="version", code="required"
        )
    return int(payload["version"])


class _ListView(EnvironmentView):
    def page(self, request: Request, found: QuerySet[Any], resource: Any) -> Response:
        paginator: PageNumberPagination = api_settings.DEFAULT_PAGINATION_CLASS()
        rows = paginator.paginate_queryset(found, request, view=self)
        return paginator.get_paginated_response([resource(row) for row in rows or []])


class MetricsView(_ListView):
    """The project's metrics."""

    @extend_schema(operation_id="metrics_list", parameters=WHERE, responses=serializers.MetricSerializer(many=True))
    def get(self, request: Request) -> Response:
        return self.page(request, selectors.metrics(self.environment(request).project), metric_resource)

    @extend_schema(
        parameters=WHERE,
        request=serializers.MetricSerializer,
        responses={200: serializers.MetricSerializer, 201: serializers.MetricSerializer},
    )
    def post(self, request: Request) -> Response:
        environment = self.environment(request, Role.EDITOR)
        payload = checked(serializers.MetricSerializer, request)
        metric, is_new = services.create_metric(actor=request.user.actor, environment=environment, payload=payload)
        return Response(metric_resource(metric), status=201 if is_new else 200)


class MetricView(EnvironmentView):
    """One metric."""

    @extend_schema(parameters=WHERE, responses=serializers.MetricSerializer)
    def get(self, request: Request, key: str) -> Response:
        return Response(metric_resource(selectors.get_metric(self.environment(request).project, key)))

    @extend_schema(parameters=WHERE, request=serializers.MetricSerializer, responses=serializers.MetricSerializer)
    def put(self, request: Request, key: str) -> Response:
        return self._update(request, key, is_partial=False)

    @extend_schema(parameters=WHERE, request=serializers.MetricSerializer, responses=serializers.MetricSerializer)
    def patch(self, request: Request, key: str) -> Response:
        return self._update(request, key, is_partial=True)

    @extend_schema(parameters=WHERE, request=None, responses={204: None})
    def delete(self, request: Request, key: str) -> Response:
        environment = self.environment(request, Role.EDITOR)
        services.delete_metric(actor=request.user.actor, environment=environment, key=key)
        return Response(status=204)

    def _update(self, request: Request, key: str, *, is_partial: bool) -> Response:
        environment = self.environment(request, Role.EDITOR)
        payload = checked(serializers.MetricSerializer, request)
        metric = services.update_metric(
            actor=request.user.actor,
            environment=environment,
            key=key,
            payload=payload,
            version=_version(payload),
            is_partial=is_partial,
        )
        return Response(metric_resource(metric))


class ExperimentsView(_ListView):
    """The environment's experiments."""

    @extend_schema(
        operation_id="experiments_list",
        parameters=[
            *WHERE,
            OpenApiParameter("status", str, enum=Experiment.Status.values),
            OpenApiParameter("flagKey", str),
            OpenApiParameter("search", str),
        ],
        responses=serializers.ExperimentSerializer(many=True),
    )
    def get(self, request: Request) -> Response:
        query = request.query_params
        status = query.get("status")
        if status is not None and status not in Experiment.Status.values:
            raise Invalid(f"Use one of: {', '.join(Experiment.Status.values)}.", attr="status", code="invalid_choice")
        found = selectors.experiments(
            self.environment(request), status=status, flag_key=query.get("flagKey"), search=query.get("search")
        )
        return self.page(request, found, experiment_resource)

    @extend_schema(
        parameters=WHERE,
        request=serializers.ExperimentSerializer,
        responses={201: serializers.ExperimentSerializer},
    )
    def post(self, request: Request) -> Response:
        environment = self.environment(request, Role.EDITOR)
        payload = checked(serializers.ExperimentSerializer, request)
        experiment = services.create_experiment(actor=request.user.actor, environment=environment, payload=payload)
        return Response(experiment_resource(experiment), status=201)


class ExperimentView(EnvironmentView):
    """One experiment."""

    @extend_schema(parameters=WHERE, responses=serializers.ExperimentSerializer)
    def get(self, request: Request, pk: str) -> Response:
        return Response(experiment_resource(selectors.get_experiment(self.environment(request), pk)))

    @extend_schema(
        parameters=WHERE, request=serializers.ExperimentSerializer, responses=serializers.ExperimentSerializer
    )
    def put(self, request: Request, pk: str) -> Response:
        return self._update(request, pk, is_partial=False)

    @extend_schema(
        parameters=WHERE, request=serializers.ExperimentSerializer, responses=serializers.ExperimentSerializer
    )
    def patch(self, request: Request, pk: str) -> Response:
        return self._update(request, pk, is_partial=True)

    @extend_schema(parameters=WHERE, request=None, responses={204: None})
    def delete(self, request: Request, pk: str) -> Response:
        """Drafts alone: what has run is kept, with its results."""
        environment = self.environment(request, Role.EDITOR)
        services.delete_experiment(actor=request.user.actor, environment=environment, pk=pk)
        return Response(status=204)

    def _update(self, request: Request, pk: str, *, is_partial: bool) -> Response:
        environment = self.environment(request, Role.EDITOR)
        payload = checked(serializers.ExperimentSerializer, request)
        experiment = services.update_experiment(
            actor=request.user.actor,
            environment=environment,
            pk=pk,
            payload=payload,
            version=_version(payload),
            is_partial=is_partial,
        )
        return Response(experiment_resource(experiment))


class PreflightView(EnvironmentView):
    """What `start` would say, without starting."""

    @extend_schema(parameters=WHERE, responses=serializers.PreflightSerializer)
    def get(self, request: Request, pk: str) -> Response:
        experiment = selectors.get_experiment(self.environment(request), pk)
        return Response(check_before_start(experiment).as_resource())


class StartView(EnvironmentView):
    """Starts a draft; the pre-flight check's warnings come back beside the experiment."""

    @extend_schema(parameters=WHERE, request=serializers.ActionSerializer, responses=serializers.ExperimentSerializer)
    def post(self, request: Request, pk: str) -> Response:
        environment = self.environment(request, Role.EDITOR)
        sent = checked(serializers.ActionSerializer, request)
        experiment, preflight = services.start_experiment(
            actor=request.user.actor,
            environment=environment,
            pk=pk,
            version=sent.get("version"),
            reason=sent.get("reason", ""),
        )
        return Response({**experiment_resource(experiment), "preflight": preflight.as_resource()})


class PauseView(EnvironmentView):
    @extend_schema(parameters=WHERE, request=serializers.ActionSerializer, responses=serializers.ExperimentSerializer)
    def post(self, request: Request, pk: str) -> Response:
        environment = self.environment(request, Role.EDITOR)
        sent = checked(serializers.ActionSerializer, request)
        experiment = services.pause_experiment(
            actor=request.user.actor,
            environment=environment,
            pk=pk,
            version=sent.get("version"),
            reason=sent.get("reason", ""),
        )
        return Response(experiment_resource(experiment))


class ResumeView(EnvironmentView):
    @extend_schema(parameters=WHERE, request=serializers.ActionSerializer, responses=serializers.ExperimentSerializer)
    def post(self, request: Request, pk: str) -> Response:
        environment = self.environment(request, Role.EDITOR)
        sent = checked(serializers.ActionSerializer, request)
        experiment = services.resume_experiment(
            actor=request.user.actor,
            environment=environment,
            pk=pk,
            version=sent.get("version"),
            reason=sent.get("reason", ""),
        )
        return Response(experiment_resource(experiment))


class RestartView(EnvironmentView):
    """Reshuffles: a new phase with a new salt, and on request another split, audience or traffic."""

    @extend_schema(parameters=WHERE, request=serializers.RestartSerializer, responses=serializers.ExperimentSerializer)
    def post(self, request: Request, pk: str) -> Response:
        environment = self.environment(request, Role.EDITOR)
        sent = checked(serializers.RestartSerializer, request)
        version, reason = sent.pop("version", None), sent.pop("reason", "")
        experiment = services.restart_experiment(
            actor=request.user.actor, environment=environment, pk=pk, changes=sent, version=version, reason=reason
        )
        return Response(experiment_resource(experiment))


class CompleteView(EnvironmentView):
    @extend_schema(parameters=WHERE, request=serializers.DecisionSerializer, responses=serializers.ExperimentSerializer)
    def post(self, request: Request, pk: str) -> Response:
        environment = self.environment(request, Role.EDITOR)
        sent = checked(serializers.DecisionSerializer, request)
        experiment = services.complete_experiment(
            actor=request.user.actor,
            environment=environment,
            pk=pk,
            decision=sent["decision"],
            variant=sent.get("variant"),
            version=sent.get("version"),
            reason=sent.get("reason", ""),
        )
        return Response(experiment_resource(experiment))


class ResultsView(EnvironmentView):
    """Computed now, from what has been stored of the events."""

    @extend_schema(
        parameters=[
            *WHERE,
            OpenApiParameter(
                "window", str, description="`7d`, `24h`, or `<instant>/<instant>`; the current phase when left out."
            ),
        ],
        responses=serializers.ResultsSerializer,
    )
    def get(self, request: Request, pk: str) -> Response:
        experiment = selectors.get_experiment(self.environment(request), pk)
        return Response(results_for(experiment, request.query_params.get("window")))


class PowerView(EnvironmentView):
    """Users, effect or power, given the other two."""

    @extend_schema(parameters=WHERE, request=serializers.PowerSerializer, responses=serializers.PowerAnswerSerializer)
    def post(self, request: Request) -> Response:
        self.environment(request)
        form = serializers.PowerSerializer(data=request.data)
        form.is_valid(raise_exception=True)
        return Response(planning.solve(form.validated_data))
