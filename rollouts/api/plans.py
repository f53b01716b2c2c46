"""A flag's rollout plan, all plans of an environment, and the acts."""

from collections.abc import Callable
from typing import Any, cast

import yaml
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.parsers import BaseParser
from rest_framework.response import Response
from rest_framework.settings import api_settings

from experiments.selectors import get_experiment
from flags.selectors import get_config
from rollouts import selectors, services
from rollouts.api import serializers
from rollouts.api.yaml_bodies import YamlParser
from rollouts.documents import plan_file, plan_resource
from rollouts.models import RolloutPart, RolloutPlan
from rollouts.services.rights import require_reach
from tenancy.api.request import Request
from tenancy.api.views import WHERE, EnvironmentView, choice, paginated, payload
from tenancy.models import Environment
from tenancy.refusals import refuse_unknown
from tenancy.roles import Role

_STATE = OpenApiParameter("state", str, enum=RolloutPlan.State.values)
_AS = OpenApiParameter("as", str, enum=["json", "yaml"], description="yaml: what a PUT takes, as a file.")


def shown(plan: RolloutPlan, key: str) -> dict[str, Any]:
    """The plan as the flag of the address sees it."""
    return plan_resource(plan, _part(plan, key))


def _part(plan: RolloutPlan, key: str) -> RolloutPart | None:
    return next((row for row in plan.parts.all() if row.config.flag.key == key), None)


class RolloutPlansView(EnvironmentView):
    """The environment's rollout plans, the latest first."""

    @extend_schema(parameters=[*WHERE, _STATE], responses=serializers.RolloutPlanSerializer(many=True))
    def get(self, request: Request) -> Response:
        found = selectors.plans(self.environment(request))
        if state := choice(request, "state", RolloutPlan.State.values):
            found = found.filter(state=state)
        return paginated(self, request, found, plan_resource)


class RolloutPlanView(EnvironmentView):
    """The flag's present plan, else its last one."""

    parser_classes = [*cast(list[type[BaseParser]], api_settings.DEFAULT_PARSER_CLASSES), YamlParser]

    @extend_schema(
        operation_id="rollout_plan_retrieve",
        parameters=[*WHERE, _AS],
        responses=serializers.RolloutPlanSerializer,
    )
    def get(self, request: Request, key: str) -> Any:
        plan = selectors.get_plan(self.environment(request), key)
        if choice(request, "as", ("json", "yaml")) == "yaml":
            from django.http import HttpResponse  # noqa: PLC0415 - not DRF's, which renders JSON

            text = yaml.safe_dump(plan_file(plan, _part(plan, key)), sort_keys=False, allow_unicode=True)
            return HttpResponse(text, content_type="application/yaml")
        return Response(shown(plan, key))

    @extend_schema(
        parameters=WHERE,
        request=serializers.RolloutPlanSerializer,
        responses={200: serializers.RolloutPlanSerializer, 201: serializers.RolloutPlanSerializer},
    )
    def put(self, request: Request, key: str) -> Response:
        """Make the plan, or replace the one that is not started, which needs its version. As JSON or YAML."""
        environment = self.environment(request, Role.EDITOR)
        get_config(environment, key)
        sent = payload(serializers.RolloutPlanSerializer, request)
        require_reach(request.user, environment, then=sent.get("then"))
        plan, is_new = services.save_plan(
            actor=request.user.actor, environment=environment, key=key, payload=sent, version=sent.get("version")
        )
        return Response(shown(plan, key), status=201 if is_new else 200)

    @extend_schema(parameters=WHERE, responses={204: None})
    def delete(self, request: Request, key: str) -> Response:
        """Delete a plan that is not started."""
        environment = self.environment(request, Role.EDITOR)
        services.delete_plan(actor=request.user.actor, environment=environment, key=key)
        return Response(status=204)


class _ActView(EnvironmentView):
    def perform(self, request: Request, key: str, act: Callable[..., RolloutPlan]) -> Response:
        environment: Environment = self.environment(request, Role.EDITOR)
        sent = payload(serializers.PlanActSerializer, request)
        refuse_unknown(sent, ("reason", "version"))
        plan = act(
            actor=request.user.actor,
            environment=environment,
            key=key,
            reason=sent.get("reason", ""),
            version=sent.get("version"),
        )
        return Response(shown(plan, key))


def _documented(summary: str) -> Callable[[Any], Any]:
    return extend_schema(
        parameters=WHERE,
        request=serializers.PlanActSerializer,
        responses={200: serializers.RolloutPlanSerializer},
        description=summary,
    )


class StartPlanView(_ActView):
    @_documented("Take the anchor and begin. A first step that waits for nothing is taken at once.")
    def post(self, request: Request, key: str) -> Response:
        environment = self.environment(request, Role.EDITOR)
        require_reach(request.user, environment, then=selectors.get_plan(environment, key).then)
        return self.perform(request, key, services.start_plan)


class HoldPlanView(_ActView):
    @_documented("Stay at the present step: everybody keeps what they have.")
    def post(self, request: Request, key: str) -> Response:
        return self.perform(request, key, services.hold_plan)


class ResumePlanView(_ActView):
    @_documented("Go on. After a rollback the same people get the variant again.")
    def post(self, request: Request, key: str) -> Response:
        return self.perform(request, key, services.resume_plan)


class AdvancePlanView(_ActView):
    @_documented("Approve the next step and take it now.")
    def post(self, request: Request, key: str) -> Response:
        return self.perform(request, key, services.advance_plan)


class RollbackPlanView(_ActView):
    @_documented("Give people back what they had before the plan.")
    def post(self, request: Request, key: str) -> Response:
        return self.perform(request, key, services.rollback_plan)


class CancelPlanView(_ActView):
    @_documented("Give the plan up. The share stays as it is.")
    def post(self, request: Request, key: str) -> Response:
        return self.perform(request, key, services.cancel_plan)


class ReleaseView(EnvironmentView):
    @extend_schema(
        parameters=WHERE,
        request=serializers.ReleaseSerializer,
        responses={201: serializers.RolloutPlanSerializer},
        description="Ship an experiment's variant by a plan in place of a jump.",
    )
    def post(self, request: Request, pk: str) -> Response:
        environment = self.environment(request, Role.EDITOR)
        get_experiment(environment, pk)
        sent = payload(serializers.ReleaseSerializer, request)
        refuse_unknown(sent, ("variant", "steps", "template", "then", "reason", "version"))
        require_reach(request.user, environment, then=sent.get("then"))
        plan = services.release_winner(actor=request.user.actor, environment=environment, pk=pk, payload=sent)
        return Response(plan_resource(plan), status=201)
