"""The shapes of previews and impacts in API.md."""

from typing import Any

from rest_framework import serializers

from flags.api.serializers import FlagSerializer
from tenancy.api.serializers import InstantField


class PreviewSerializer(serializers.Serializer[Any]):
    flagKey = serializers.CharField()
    userId = serializers.CharField(required=False, allow_null=True)
    attributes = serializers.DictField(required=False, allow_null=True)
    defaultValue = serializers.JSONField(required=False, allow_null=True)
    configVersion = serializers.IntegerField(required=False, allow_null=True, help_text="The environment's, back then.")
    at = InstantField(required=False, allow_null=True, help_text="What was served at that moment.")
    config = FlagSerializer(required=False, allow_null=True, help_text="What a PATCH would carry, not stored.")


class PreviewedSerializer(serializers.Serializer[Any]):
    flagKey = serializers.CharField()
    userId = serializers.CharField(allow_null=True)
    variant = serializers.CharField(allow_null=True)
    value = serializers.JSONField(allow_null=True)
    reason = serializers.CharField()
    ruleId = serializers.CharField(required=False)
    experiment = serializers.CharField(required=False)
    errorCode = serializers.CharField(required=False)
    detail = serializers.CharField(required=False)
    configVersion = serializers.IntegerField()
    stale = serializers.BooleanField()
    unit = serializers.CharField(allow_null=True)
    trace = serializers.ListField(child=serializers.DictField(), help_text="Every step that was taken, in order.")


class ImpactRequestSerializer(serializers.Serializer[Any]):
    config = FlagSerializer(help_text="What a PATCH would carry.")


class MoveSerializer(serializers.Serializer[Any]):
    def get_fields(self) -> dict[str, Any]:
        # `from` is a keyword of Python, so it cannot be an attribute.
        return {
            "from": serializers.CharField(allow_null=True),
            "to": serializers.CharField(allow_null=True),
            "share": serializers.FloatField(required=False, help_text="0 to 1."),
            "users": serializers.IntegerField(required=False),
        }


class VariantShareSerializer(serializers.Serializer[Any]):
    variant = serializers.CharField(allow_null=True)
    share = serializers.FloatField(help_text="0 to 1.")


class RecentlyExposedSerializer(serializers.Serializer[Any]):
    days = serializers.IntegerField()
    users = serializers.IntegerField(help_text="Who saw the flag in these days.")
    examined = serializers.IntegerField(help_text="Of these, evaluated before and after.")
    changed = serializers.IntegerField(allow_null=True, help_text="Of the examined, would get another variant.")
    known = serializers.IntegerField(
        help_text="Of the examined, those for whom every attribute that is asked for is known."
    )
    undetermined = serializers.IntegerField(
        allow_null=True, help_text="Of the others, those for whom the known ones do not explain what they saw."
    )
    moves = MoveSerializer(many=True, required=False)
    caveat = serializers.CharField(allow_null=True)


class TouchedExperimentSerializer(serializers.Serializer[Any]):
    id = serializers.CharField()
    flagKey = serializers.CharField()
    relation = serializers.CharField()


class PhaseCostSerializer(serializers.Serializer[Any]):
    experiment = serializers.CharField(help_text="The running or paused experiment's id.")
    name = serializers.CharField()
    reason = serializers.CharField(help_text="What of the flag changed.")
    usersSoFar = serializers.IntegerField(
        allow_null=True,
        help_text="Of its present phase: the next one counts anew. Null where they could not be counted.",
    )
    days = serializers.FloatField(help_text="Since its present phase began.")


class OutdatedServicesSerializer(serializers.Serializer[Any]):
    sdk = serializers.CharField()
    version = serializers.CharField(allow_blank=True, help_text="Of the SDK.")
    instances = serializers.IntegerField()
    features = serializers.ListField(child=serializers.CharField(), help_text="What the SDK does not understand.")


class ImpactSerializer(serializers.Serializer[Any]):
    flagKey = serializers.CharField()
    configVersion = serializers.IntegerField()
    basis = serializers.CharField(help_text="everyone, or undecided: those whom no target and no rule decides.")
    changed = serializers.FloatField(help_text="0 to 1, exact.")
    moves = MoveSerializer(many=True)
    before = VariantShareSerializer(many=True)
    after = VariantShareSerializer(many=True)
    recentlyExposed = RecentlyExposedSerializer()
    experiments = TouchedExperimentSerializer(many=True)
    notUnderstoodBy = OutdatedServicesSerializer(
        many=True, allow_null=True, help_text="Connected services that are too old for it; null while Redis is away."
    )
    beginsPhase = PhaseCostSerializer(
        many=True, help_text="Experiments of which the change begins a phase; their users are then counted anew."
    )
