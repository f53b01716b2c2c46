"""Thin views: find the environment, call a service or a selector, answer the resource."""

from collections.abc import Callable
from functools import partial
from typing import Any, ClassVar

from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.response import Response

from experiments import selectors, services
from experiments.analysis import results_of
from experiments.analysis.phase_list import phase_resource
from experiments.api import serializers
from experiments.definitions import metric_resource
from experiments.design import planning
from experiments.design.preflight import check_before_start
from experiments.documents import experiment_resource, stored_result_resource
from experiments.models import Experiment, Metric
from tenancy import access
from tenancy.api.request import Request
from tenancy.api.views import WHERE, EnvironmentView, changed, choice, created, paginated, payload
from tenancy.refusals import refuse_unknown
from tenancy.roles import Role


class MetricsView(EnvironmentView):
    """The project's metrics."""

    @extend_schema(operation_id="metrics_list", parameters=WHERE, responses=serializers.MetricSerializer(many=True))
    def get(self, request: Request) -> Response:
        return paginated(self, request, selectors.metrics(self.environment(request).project), metric_resource)

    @extend_schema(
        parameters=WHERE,
        request=serializers.MetricSerializer,
        responses={200: serializers.MetricSerializer, 201: serializers.MetricSerializer},
    )
    def post(self, request: Request) -> Response:
        """200 with what is there, where it exists with the same content."""
        environment = self.environment(request, Role.EDITOR)
        create = partial(services.create_metric, environment=environment)
        return created(request, serializers.MetricSerializer, create, metric_resource)


class MetricView(EnvironmentView):
    """One metric."""

    @extend_schema(parameters=WHERE, responses=serializers.MetricAnswerSerializer)
    def get(self, request: Request, key: str) -> Response:
        metric = selectors.get_metric(self.environment(request).project, key)
        return Response(_metric_answer(request, metric))

    @extend_schema(parameters=WHERE, request=serializers.MetricSerializer, responses=serializers.MetricAnswerSerializer)
    def put(self, request: Request, key: str) -> Response:
        return self._update(request, key, is_partial=False)

    @extend_schema(parameters=WHERE, request=serializers.MetricSerializer, responses=serializers.MetricAnswerSerializer)
    def patch(self, request: Request, key: str) -> Response:
        return self._update(request, key, is_partial=True)

    @extend_schema(parameters=WHERE, request=None, responses={204: None})
    def delete(self, request: Request, key: str) -> Response:
        environment = self.environment(request, Role.EDITOR)
        services.delete_metric(actor=request.user.actor, environment=environment, key=key)
        return Response(status=204)

    def _update(self, request: Request, key: str, *, is_partial: bool) -> Response:
        environment = self.environment(request, Role.EDITOR)
        update = partial(services.update_metric, environment=environment, key=key, is_partial=is_partial)
        return changed(request, serializers.MetricSerializer, update, partial(_metric_answer, request))


def _metric_answer(request: Request, metric: Metric) -> dict[str, Any]:
    """The metric, and the experiments that keep an older definition of it, as far as the caller may see them."""
    older = selectors.experiments_with_older(metric, access.environments(request.user))
    return {**metric_resource(metric), **({"olderDefinitionIn": older} if older else {})}


class ExperimentsView(EnvironmentView):
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
        status = choice(request, "status", Experiment.Status.values)
        found = selectors.experiments(
            self.environment(request), status=status, flag_key=query.get("flagKey"), search=query.get("search")
        )
        return paginated(self, request, found, experiment_resource)

    @extend_schema(
        parameters=WHERE,
        request=serializers.ExperimentSerializer,
        responses={200: serializers.ExperimentSerializer, 201: serializers.ExperimentSerializer},
    )
    def post(self, request: Request) -> Response:
        """A draft, which changes nothing that is served. 200 with what is there, where its key has the same content."""
        environment = self.environment(request, Role.EDITOR)
        experiment, is_new = services.find_or_create_experiment(
            actor=request.user.actor,
            environment=environment,
            payload=payload(serializers.ExperimentSerializer, request),
        )
        return Response(experiment_resource(experiment), status=201 if is_new else 200)


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
        update = partial(services.update_experiment, environment=environment, pk=pk, is_partial=is_partial)
        return changed(request, serializers.ExperimentSerializer, update, experiment_resource)


class PreflightView(EnvironmentView):
    """What `start` would say, without starting."""

    @extend_schema(parameters=WHERE, responses=serializers.PreflightSerializer)
    def get(self, request: Request, pk: str) -> Response:
        experiment = selectors.get_experiment(self.environment(request), pk)
        return Response(check_before_start(experiment).as_payload())


class ImpactView(EnvironmentView):
    """Whom an act on the experiment would give another variant, and what speaks against a decision."""

    @extend_schema(parameters=WHERE, request=serializers.ActSerializer, responses=serializers.ActImpactSerializer)
    def post(self, request: Request, pk: str) -> Response:
        experiment = selectors.get_experiment(self.environment(request), pk)
        sent = payload(serializers.ActSerializer, request)
        refuse_unknown(sent, serializers.ActSerializer().fields)
        return Response(services.act_impact(experiment, sent))


class StartView(EnvironmentView):
    """Starts a draft; the pre-flight check's warnings come back beside the experiment."""

    @extend_schema(parameters=WHERE, request=serializers.StartSerializer, responses=serializers.ExperimentSerializer)
    def post(self, request: Request, pk: str) -> Response:
        environment = self.environment(request, Role.EDITOR)
        sent = payload(serializers.StartSerializer, request)
        experiment, preflight = services.start_experiment(
            actor=request.user.actor,
            environment=environment,
            pk=pk,
            version=sent.get("version"),
            reason=sent.get("reason", ""),
            enable_flag=sent["enableFlag"],
        )
        return Response({**experiment_resource(experiment), "preflight": preflight.as_payload()})


class _ActionView(EnvironmentView):
    """One of the lifecycle's services that needs no more than a reason."""

    act: ClassVar[Callable[..., Experiment]]

    @extend_schema(parameters=WHERE, request=serializers.ActionSerializer, responses=serializers.ExperimentSerializer)
    def post(self, request: Request, pk: str) -> Response:
        environment = self.environment(request, Role.EDITOR)
        sent = payload(serializers.ActionSerializer, request)
        experiment = type(self).act(
            actor=request.user.actor,
            environment=environment,
            pk=pk,
            version=sent.get("version"),
            reason=sent.get("reason", ""),
        )
        return Response(experiment_resource(experiment))


class PauseView(_ActionView):
    """Takes nobody new into the analysis; what is served stays as it is."""

    act = staticmethod(services.pause_experiment)


class ResumeView(_ActionView):
    """Goes on enrolling after a pause."""

    act = staticmethod(services.resume_experiment)


class RestartView(EnvironmentView):
    """Reshuffles: a new phase with a new salt, and on request another split, audience or traffic."""

    @extend_schema(parameters=WHERE, request=serializers.RestartSerializer, responses=serializers.ExperimentSerializer)
    def post(self, request: Request, pk: str) -> Response:
        environment = self.environment(request, Role.EDITOR)
        sent = payload(serializers.RestartSerializer, request)
        version, reason = sent.pop("version", None), sent.pop("reason", "")
        experiment = services.restart_experiment(
            actor=request.user.actor, environment=environment, pk=pk, changes=sent, version=version, reason=reason
        )
        return Response(experiment_resource(experiment))


class CompleteView(EnvironmentView):
    """Ends the experiment: `ship` gives a variant to everyone or the audience, `stop` what everybody else gets."""

    @extend_schema(parameters=WHERE, request=serializers.DecisionSerializer, responses=serializers.ExperimentSerializer)
    def post(self, request: Request, pk: str) -> Response:
        environment = self.environment(request, Role.EDITOR)
        sent = payload(serializers.DecisionSerializer, request)
        experiment = services.complete_experiment(
            actor=request.user.actor,
            environment=environment,
            pk=pk,
            decision=sent["decision"],
            variant=sent.get("variant"),
            to=sent.get("to"),
            version=sent.get("version"),
            reason=sent.get("reason", ""),
        )
        return Response(experiment_resource(experiment))


class PhasesView(EnvironmentView):
    """The experiment's phases, the first one first, each with why it began."""

    @extend_schema(
        operation_id="experiments_phases", parameters=WHERE, responses=serializers.PhaseSerializer(many=True)
    )
    def get(self, request: Request, pk: str) -> Response:
        experiment = selectors.get_experiment(self.environment(request), pk)
        return paginated(self, request, experiment.phases.all(), partial(phase_resource, experiment))


class ResultsView(EnvironmentView):
    """Computed now, from what has been stored of the events; a final result is the stored one, for good."""

    @extend_schema(
        parameters=[
            *WHERE,
            OpenApiParameter(
                "window", str, description="`7d`, `24h`, or `<instant>/<instant>`; the current phase when left out."
            ),
            OpenApiParameter("phase", int, description="A phase by its number, whole; the latest when left out."),
            OpenApiParameter(
                "segment", str, description="An attribute of the exposures to break the primary metric down by."
            ),
        ],
        responses=serializers.ResultsSerializer,
    )
    def get(self, request: Request, pk: str) -> Response:
        experiment = selectors.get_experiment(self.environment(request), pk)
        query = request.query_params
        results = services.read_results(
            experiment=experiment,
            window=query.get("window"),
            phase=query.get("phase"),
            segment=query.get("segment"),
        )
        return Response(results)


class StoredResultsView(EnvironmentView):
    """The time series of stored results, youngest first."""

    @extend_schema(
        operation_id="experiments_results_history",
        parameters=WHERE,
        responses=serializers.StoredResultSerializer(many=True),
    )
    def get(self, request: Request, pk: str) -> Response:
        experiment = selectors.get_experiment(self.environment(request), pk)
        return paginated(self, request, selectors.stored_results(experiment), stored_result_resource)


class StoredResultView(EnvironmentView):
    """One stored result, whole: what a permanent link shows."""

    @extend_schema(parameters=WHERE, responses=serializers.StoredResultSerializer)
    def get(self, request: Request, pk: str, result: str) -> Response:
        experiment = selectors.get_experiment(self.environment(request), pk)
        row = selectors.get_stored_result(experiment, result)
        return Response({**stored_result_resource(row), "results": results_of(row)})


class PowerView(EnvironmentView):
    """Users, effect or power, given the other two."""

    @extend_schema(parameters=WHERE, request=serializers.PowerSerializer, responses=serializers.PowerAnswerSerializer)
    def post(self, request: Request) -> Response:
        self.environment(request)
        sent = payload(serializers.PowerSerializer, request)
        refuse_unknown(sent, serializers.PowerSerializer().fields)
        return Response(planning.solve(sent))
