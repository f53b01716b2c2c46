"""The forms of evidence about a flag: why it is stale, and its stage with the reasons."""

from typing import Any

from rest_framework import serializers

from flags.api.serializers import FlagSerializer
from flags.lifecycle.stages import REASONS, Stage


class StaleReasonSerializer(serializers.Serializer[Any]):
    code = serializers.ChoiceField(choices=["fully_rolled_out", "switched_off", "not_evaluated"])
    variant = serializers.CharField(allow_null=True)
    since = serializers.DateTimeField(allow_null=True)


class StalenessSerializer(serializers.Serializer[Any]):
    reasons = StaleReasonSerializer(many=True)
    lastChangedAt = serializers.DateTimeField()
    lastEvaluatedAt = serializers.DateTimeField(allow_null=True)


class ReasonOfStageSerializer(serializers.Serializer[Any]):
    code = serializers.ChoiceField(choices=REASONS)
    sentence = serializers.CharField()


class LifecycleSerializer(serializers.Serializer[Any]):
    """The stage is the flag's in its project: environments share it."""

    stage = serializers.ChoiceField(choices=[stage.value for stage in Stage])
    reasons = ReasonOfStageSerializer(many=True)
    permanent = serializers.BooleanField(help_text="As the flag says, else by its kind.")
    overdue = serializers.BooleanField(help_text="Whether its expected end has passed.")
    lastChangedAt = serializers.DateTimeField()
    lastEvaluatedAt = serializers.DateTimeField(allow_null=True, help_text="In any environment of the project.")
    references = serializers.IntegerField(allow_null=True, help_text="In code; null: no repository was scanned.")


class ListedFlagSerializer(FlagSerializer):
    staleness = StalenessSerializer(required=False, help_text="With ?stale=: the evidence.")
    lifecycle = LifecycleSerializer(required=False, help_text="With ?stage=: the stage and its reasons.")
