"""What a unit would get, and what a change would do. Nothing is stored and nothing is logged."""

from drf_spectacular.utils import extend_schema
from rest_framework.response import Response

from flags.api import what_if_serializers as serializers
from flags.evaluation.explanation import explain_evaluation
from flags.evaluation.impact import impact_of
from tenancy.api.request import Request
from tenancy.api.views import WHERE, EnvironmentView, payload
from tenancy.refusals import refuse_unknown


class PreviewView(EnvironmentView):
    """What a unit would get, or got, and why. Nothing is logged."""

    @extend_schema(parameters=WHERE, request=serializers.PreviewSerializer, responses=serializers.PreviewedSerializer)
    def post(self, request: Request) -> Response:
        environment = self.environment(request)
        return Response(explain_evaluation(environment, payload(serializers.PreviewSerializer, request)))


class ImpactView(EnvironmentView):
    """What a change would do, before it is saved."""

    @extend_schema(
        parameters=WHERE, request=serializers.ImpactRequestSerializer, responses=serializers.ImpactSerializer
    )
    def post(self, request: Request, key: str) -> Response:
        environment = self.environment(request)
        sent = payload(serializers.ImpactRequestSerializer, request)
        refuse_unknown(sent, ("config",))
        return Response(impact_of(environment, key, sent["config"]))
