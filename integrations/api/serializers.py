"""The shapes of API.md for webhooks, their deliveries, and what people are told of."""

from typing import Any

from rest_framework import serializers

from integrations.models import Follow, NotificationSetting, WebhookDelivery
from tenancy.api.serializers import ChoiceField, InstantField

_EVENTS = "Names of events, as flag.killed; all of a kind, as flag.*; or * for all."


def _texts(most_characters: int, **options: Any) -> serializers.ListField:
    return serializers.ListField(child=serializers.CharField(max_length=most_characters), max_length=200, **options)


class WebhookSerializer(serializers.Serializer[Any]):
    id = serializers.UUIDField(read_only=True)
    name = serializers.CharField(max_length=200)
    url = serializers.CharField(max_length=2000, help_text="Of a public host, best https.")
    events = _texts(60, min_length=1, help_text=_EVENTS)
    projects = _texts(63, required=False, help_text="Keys; empty: all.")
    environments = _texts(63, required=False, help_text="Keys; empty: all, and what belongs to none.")
    tags = _texts(100, required=False, help_text="Of flags, one of which is enough; empty: all.")
    enabled = serializers.BooleanField(required=False)
    disabledReason = serializers.CharField(read_only=True, allow_null=True, help_text="Why it is off, in words.")
    failingSince = serializers.DateTimeField(read_only=True, allow_null=True, help_text="Of the event that is next.")
    failedAttempts = serializers.IntegerField(read_only=True, help_text="Of the event that is next.")
    nextAttemptAt = serializers.DateTimeField(read_only=True, allow_null=True)
    previousSecretUntil = serializers.DateTimeField(
        read_only=True, allow_null=True, help_text="Until then deliveries have a signature of either secret."
    )
    createdBy = serializers.CharField(read_only=True, allow_blank=True)
    version = serializers.IntegerField(required=False, help_text="The version that was read; required to change.")
    createdAt = serializers.DateTimeField(read_only=True)
    updatedAt = serializers.DateTimeField(read_only=True)


class IssuedWebhookSerializer(WebhookSerializer):
    secret = serializers.CharField(allow_null=True, help_text="Shown this once: whsec_ and base64.")


class DeliverySerializer(serializers.Serializer[Any]):
    id = serializers.UUIDField()
    kind = serializers.ChoiceField(choices=WebhookDelivery.Kind.choices)
    state = serializers.ChoiceField(choices=WebhookDelivery.State.choices)
    eventId = serializers.CharField(help_text="The header webhook-id: the same on every attempt.")
    eventType = serializers.CharField()
    attempt = serializers.IntegerField()
    responseStatus = serializers.IntegerField(allow_null=True)
    error = serializers.CharField(allow_blank=True)
    durationMs = serializers.IntegerField(allow_null=True)
    createdAt = serializers.DateTimeField()
    sentAt = serializers.DateTimeField(allow_null=True)


class WholeDeliverySerializer(DeliverySerializer):
    requestHeaders = serializers.DictField(child=serializers.CharField())
    requestBody = serializers.CharField()
    responseHeaders = serializers.DictField(child=serializers.CharField(allow_blank=True))
    responseBody = serializers.CharField(allow_blank=True, help_text="The first 64 KiB.")


class SinceSerializer(serializers.Serializer[Any]):
    since = InstantField(help_text="Every event from then on is delivered once more.")


class EventTypeSerializer(serializers.Serializer[Any]):
    name = serializers.CharField()
    label = serializers.CharField()  # type: ignore[assignment]  # the name that the contract gives it
    documentation = serializers.CharField(help_text="When it is sent.")
    entity = serializers.CharField(help_text="The kind of thing that it is about.")
    states = serializers.JSONField(
        allow_null=True, help_text="The JSON schema of data.before and data.after; null where it has neither."
    )


class NotificationSettingSerializer(serializers.Serializer[Any]):
    channel = serializers.ChoiceField(choices=NotificationSetting.Channel.choices, read_only=True)
    url = serializers.CharField(
        max_length=2000, required=False, allow_blank=True, help_text="Of a chat's incoming webhook; e-mail has none."
    )
    mine = ChoiceField(choices=NotificationSetting.Frequency.choices, required=False, help_text="Of what is yours.")
    followed = ChoiceField(choices=NotificationSetting.Frequency.choices, required=False)
    problem = serializers.CharField(read_only=True, allow_blank=True, help_text="Why the last message did not go.")


class FollowSerializer(serializers.Serializer[Any]):
    id = serializers.UUIDField(read_only=True)
    kind = ChoiceField(choices=Follow.Kind.choices)
    project = serializers.CharField(max_length=63, help_text="The project's key.")
    key = serializers.CharField(max_length=200, help_text="Of the flag, the id of the experiment, or the tag.")
    createdAt = serializers.DateTimeField(read_only=True)
