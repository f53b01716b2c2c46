"""What a person is told of, and how, over HTTP. Everybody has settings of their own; programs have none."""

from uuid import UUID

from drf_spectacular.utils import extend_schema
from rest_framework.response import Response

from integrations import documents, services
from integrations.api import serializers
from integrations.models import NotificationSetting
from tenancy import access
from tenancy.api.request import Request
from tenancy.api.views import ORGANIZATION, TENANT, ManagementView, paginated, payload
from tenancy.errors import Forbidden, NotFound
from tenancy.models import Organization, User
from tenancy.refusals import refuse_unknown

_PARAMETERS = [ORGANIZATION, TENANT]


class _PersonalView(ManagementView):
    def organization(self, request: Request) -> Organization:
        return access.get_organization(request.user, request.query_params.get("organization"), needs=None)

    def person(self, request: Request) -> User:
        user = User.objects.filter(pk=request.user.user_id or 0, service_of__isnull=True).first()
        if user is None:
            raise Forbidden("Notifications are for people; use a management token of your own.")
        return user


class NotificationSettingsView(_PersonalView):
    """The channels that tell the caller."""

    @extend_schema(parameters=_PARAMETERS, responses=serializers.NotificationSettingSerializer(many=True))
    def get(self, request: Request) -> Response:
        rows = NotificationSetting.objects.filter(user=self.person(request), organization=self.organization(request))
        return paginated(self, request, rows.order_by("channel"), documents.notification_setting_resource)


class NotificationSettingView(_PersonalView):
    @extend_schema(
        parameters=_PARAMETERS,
        request=serializers.NotificationSettingSerializer,
        responses=serializers.NotificationSettingSerializer,
    )
    def put(self, request: Request, channel: str) -> Response:
        """Set how often the channel tells the caller. What came before is not told by it again."""
        person, organization = self.person(request), self.organization(request)
        sent = payload(serializers.NotificationSettingSerializer, request)
        setting = services.set_channel(user=person, organization=organization, channel=channel, payload=sent)
        return Response(documents.notification_setting_resource(setting))

    @extend_schema(parameters=_PARAMETERS, responses={204: None})
    def delete(self, request: Request, channel: str) -> Response:
        rows = NotificationSetting.objects.filter(user=self.person(request), organization=self.organization(request))
        setting = rows.filter(channel=channel).first()
        if setting is None:
            raise NotFound("You have not set this channel.")
        services.remove_channel(setting=setting)
        return Response(status=204)


class FollowsView(_PersonalView):
    """What the caller follows."""

    @extend_schema(parameters=_PARAMETERS, responses=serializers.FollowSerializer(many=True))
    def get(self, request: Request) -> Response:
        rows = self.person(request).follows.filter(organization=self.organization(request))
        return paginated(self, request, rows.order_by("project", "kind", "key"), documents.follow_resource)

    @extend_schema(
        parameters=_PARAMETERS,
        request=serializers.FollowSerializer,
        responses={200: serializers.FollowSerializer, 201: serializers.FollowSerializer},
    )
    def post(self, request: Request) -> Response:
        """Follow a flag, an experiment or a tag; 200 where the caller does so already."""
        person = self.person(request)
        sent = payload(serializers.FollowSerializer, request)
        refuse_unknown(sent, ("kind", "project", "key"))
        project = access.get_project(request.user, sent["project"], needs=None)
        made, is_new = services.follow(user=person, project=project, kind=sent["kind"], key=sent["key"])
        return Response(documents.follow_resource(made), status=201 if is_new else 200)


class FollowView(_PersonalView):
    @extend_schema(parameters=_PARAMETERS, responses={204: None})
    def delete(self, request: Request, follow_id: UUID) -> Response:
        found = self.person(request).follows.filter(pk=follow_id, organization=self.organization(request)).first()
        if found is None:
            raise NotFound("You follow no such thing.")
        services.unfollow(follow=found)
        return Response(status=204)
