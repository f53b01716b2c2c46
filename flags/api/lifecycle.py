"""`GET flags/{key}/lifecycle`, and the same evidence in the list of flags: which stage a flag is in, and why."""

from collections.abc import Iterable
from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework.response import Response

from flags.api.lifecycle_serializers import LifecycleSerializer
from flags.lifecycle.evidence import Known, lifecycles
from flags.models import FlagConfig
from flags.selectors import get_config
from tenancy.api.request import Request
from tenancy.api.views import WHERE, EnvironmentView
from tenancy.models import Environment


class FlagLifecycleView(EnvironmentView):
    """The stage of a flag in its project, with the reasons in plain sentences."""

    @extend_schema(parameters=WHERE, responses=LifecycleSerializer)
    def get(self, request: Request, key: str) -> Response:
        environment = self.environment(request)
        return Response(lifecycle_resource(lifecycles(environment.project, [get_config(environment, key).flag])[0]))


def lifecycles_by_config(environment: Environment, configs: Iterable[FlagConfig]) -> dict[int, Known]:
    """What is known of the flags of these configurations, by the configurations' ids."""
    flags = {config.pk: config.flag for config in configs}
    known = {each.flag.pk: each for each in lifecycles(environment.project, flags.values())}
    return {pk: known[flag.pk] for pk, flag in flags.items()}


def lifecycle_resource(known: Known) -> dict[str, Any]:
    return {
        "stage": known.found.stage.value,
        "reasons": [{"code": reason.code, "sentence": reason.sentence} for reason in known.found.reasons],
        "permanent": known.evidence.is_lasting,
        "overdue": known.found.is_overdue,
        "lastChangedAt": known.evidence.changed_at,
        "lastEvaluatedAt": known.evidence.asked_at,
        "references": known.evidence.references,
    }
