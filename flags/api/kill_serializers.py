"""The shapes of the kill board: each service with what it has applied, and what it does not understand."""

from typing import Any

from openflagship.wire.acknowledgements import MOST_KEYS
from rest_framework import serializers


class NotUnderstoodSerializer(serializers.Serializer[Any]):
    flags = serializers.ListField(child=serializers.CharField(max_length=100), max_length=MOST_KEYS, required=False)
    segments = serializers.ListField(child=serializers.CharField(max_length=100), max_length=MOST_KEYS, required=False)
    count = serializers.IntegerField(min_value=0, required=False, help_text="Of all keys, also those not listed.")


class KillServiceSerializer(serializers.Serializer[Any]):
    instance = serializers.CharField()
    sdk = serializers.CharField()
    version = serializers.IntegerField(allow_null=True)
    status = serializers.ChoiceField(["applied", "late", "waiting", "not_heard"])
    tookMs = serializers.IntegerField(source="took_ms", allow_null=True)
    seenAt = serializers.DateTimeField(source="seen_at")
    features = serializers.ListField(child=serializers.CharField(), allow_null=True)
    notUnderstood = NotUnderstoodSerializer(source="not_understood", allow_null=True)


class KillStatusSerializer(serializers.Serializer[Any]):
    flagKey = serializers.CharField(source="flag_key")
    killSwitchVariant = serializers.CharField(source="kill_switch_variant", allow_null=True)
    reason = serializers.CharField(allow_blank=True)
    configVersion = serializers.IntegerField(source="config_version", allow_null=True)
    at = serializers.DateTimeField(allow_null=True)
    isAvailable = serializers.BooleanField(source="is_available")
    isComplete = serializers.BooleanField(source="is_complete")
    applied = serializers.IntegerField()
    late = serializers.IntegerField()
    waiting = serializers.IntegerField()
    notHeard = serializers.IntegerField(source="not_heard")
    p50Ms = serializers.IntegerField(source="p50_ms", allow_null=True)
    p99Ms = serializers.IntegerField(source="p99_ms", allow_null=True)
    lateAfterMs = serializers.IntegerField(source="late_after_ms")
    services = KillServiceSerializer(many=True)
