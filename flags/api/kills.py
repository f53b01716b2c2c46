"""The kill switch of a flag or a tag, its release, and who has applied either."""

from collections.abc import Callable
from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework.response import Response

from flags import selectors, services
from flags.api import serializers
from flags.api.kill_serializers import KillStatusSerializer
from flags.models import FlagConfig
from flags.propagation.kill_status import kill_status
from tenancy.api.request import Request
from tenancy.api.views import WHERE, EnvironmentView, payload
from tenancy.refusals import refuse_unknown
from tenancy.roles import Role


class KillView(EnvironmentView):
    @extend_schema(parameters=WHERE, request=serializers.KillSerializer, responses={202: serializers.KilledSerializer})
    def post(self, request: Request, key: str) -> Response:
        environment = self.environment(request, Role.EDITOR)
        sent = payload(serializers.KillSerializer, request)
        config = services.kill_flag(
            actor=request.user.actor,
            environment=environment,
            key=key,
            variant=sent.get("variant"),
            reason=sent.get("reason", ""),
        )
        return Response(_killed(config), status=202)


class ReleaseView(EnvironmentView):
    @extend_schema(
        parameters=WHERE, request=serializers.ReasonSerializer, responses={202: serializers.KilledSerializer}
    )
    def post(self, request: Request, key: str) -> Response:
        environment = self.environment(request, Role.EDITOR)
        reason = payload(serializers.ReasonSerializer, request).get("reason", "")
        config = services.release_flag(actor=request.user.actor, environment=environment, key=key, reason=reason)
        return Response(_killed(config), status=202)


class KillManyView(EnvironmentView):
    @extend_schema(
        parameters=WHERE, request=serializers.KillManySerializer, responses={202: serializers.KilledManySerializer}
    )
    def post(self, request: Request) -> Response:
        """Every flag with the tag, or every active flag of the environment, each to its off variant."""
        return _switch_many(self, request, services.kill_tag, services.kill_everything)


class ReleaseManyView(EnvironmentView):
    @extend_schema(
        parameters=WHERE, request=serializers.KillManySerializer, responses={202: serializers.KilledManySerializer}
    )
    def post(self, request: Request) -> Response:
        """Every flag with the tag, or every killed flag of the environment, whoever killed it."""
        return _switch_many(self, request, services.release_tag, services.release_everything)


def _switch_many(
    view: EnvironmentView,
    request: Request,
    by_tag: Callable[..., list[FlagConfig]],
    everything: Callable[..., list[FlagConfig]],
) -> Response:
    environment = view.environment(request, Role.EDITOR)
    sent = payload(serializers.KillManySerializer, request)
    refuse_unknown(sent, ("tag", "all", "confirm", "reason"))
    actor, reason = request.user.actor, sent.get("reason", "")
    if sent.get("all"):
        environment = view.environment(request, Role.OWNER)
        confirm = sent.get("confirm", "")
        configs = everything(actor=actor, environment=environment, confirm=confirm, reason=reason)
    else:
        configs = by_tag(actor=actor, environment=environment, tag=sent["tag"], reason=reason)
    environment.refresh_from_db(fields=["config_version"])
    body = {
        **({"tag": sent["tag"]} if "tag" in sent else {}),
        "flags": [config.flag.key for config in configs],
        "configVersion": environment.config_version,
    }
    return Response(body, status=202)


def _killed(config: FlagConfig) -> dict[str, Any]:
    return {
        "flagKey": config.flag.key,
        "killSwitchVariant": config.kill_switch_variant or None,
        "configVersion": config.environment.config_version,
    }


class KillStatusView(EnvironmentView):
    """Who has applied the flag's last kill or release."""

    @extend_schema(parameters=WHERE, responses=KillStatusSerializer)
    def get(self, request: Request, key: str) -> Response:
        status = kill_status(selectors.get_config(self.environment(request), key))
        return Response(KillStatusSerializer(status).data)
