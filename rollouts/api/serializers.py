"""The shapes of API.md for plans, templates, scheduled changes and triggers. What they mean is checked by services."""

from typing import Any

from rest_framework import serializers

from flags.api.serializers import Part, PercentField, TrueOrFalse
from rollouts.models import RolloutPlan, ScheduledChange, Trigger
from rollouts.planner import Act, Outcome
from tenancy.api.serializers import ChoiceField, InstantField

_DURATION = "An ISO 8601 duration of days, hours, minutes and seconds: P1D, PT90M."
_VERSION = "The version that was read; required to change."


class RolloutGuardrailSerializer(Part):
    metric = serializers.CharField(max_length=100, help_text="The metric's key.")
    marginPercent = PercentField(help_text="Harm below it, of the rest's figure, passes.")
    action = ChoiceField(choices=[(each.value, each.value) for each in Act], help_text="What a violation does.")
    grace = serializers.CharField(required=False, help_text=f"So long it may be without data. {_DURATION}")
    window = serializers.CharField(
        required=False, help_text=f"So long after a user's first exposure events count. {_DURATION}"
    )


class RolloutStepSerializer(Part):
    percent = PercentField(help_text="The share of the variant, with two decimals at the most.")
    after = serializers.CharField(required=False, help_text=f"Since the last step. {_DURATION}")
    at = InstantField(required=False, help_text="Not before this instant.")
    approval = TrueOrFalse(required=False, help_text="Not before somebody advances the plan.")
    minimumUsers = serializers.IntegerField(
        required=False, min_value=0, help_text="Not before so many users were exposed to the variant on the last step."
    )
    guardrails = RolloutGuardrailSerializer(many=True, required=False)


class PlanFlagSerializer(Part):
    flagKey = serializers.CharField(max_length=100)
    variant = serializers.CharField(max_length=100)
    ruleId = serializers.UUIDField(required=False, allow_null=True)


class AfterEnvironmentSerializer(Part):
    environment = serializers.CharField(max_length=63, help_text="Key of another environment of the project.")
    vars()["for"] = serializers.CharField(required=False, help_text=f"So long everybody has had it there. {_DURATION}")


class WaitingForSerializer(serializers.Serializer[Any]):
    kind = serializers.CharField(help_text="time, approval, users, guardrail, environment, flag_off, freeze or person.")
    detail = serializers.CharField()


class StepApprovalSerializer(serializers.Serializer[Any]):
    step = serializers.IntegerField()
    at = serializers.DateTimeField()
    by = serializers.CharField()


class GuardrailResultSerializer(serializers.Serializer[Any]):
    flagKey = serializers.CharField()
    metric = serializers.CharField()
    marginPercent = serializers.FloatField()
    action = serializers.CharField()
    at = serializers.DateTimeField()
    outcome = serializers.ChoiceField(choices=[(each.value, each.value) for each in Outcome])
    detail = serializers.CharField()
    rest = serializers.JSONField(required=False, help_text="{users, figure} of those without the variant.")
    treated = serializers.JSONField(required=False, help_text="{users, figure} of those with it.")
    difference = serializers.FloatField(required=False)
    interval = serializers.JSONField(required=False, help_text="Of the difference, valid at every look.")


class HistoryLineSerializer(serializers.Serializer[Any]):
    at = serializers.DateTimeField()
    act = serializers.CharField()
    step = serializers.IntegerField()
    percent = serializers.FloatField(allow_null=True)
    why = serializers.CharField(allow_blank=True)
    verdicts = GuardrailResultSerializer(
        many=True, required=False, help_text="Of a step that is over: what its guardrails said the last time."
    )


class RolloutPlanSerializer(serializers.Serializer[Any]):
    id = serializers.UUIDField(read_only=True)
    flagKey = serializers.CharField(read_only=True)
    environment = serializers.CharField(read_only=True)
    variant = serializers.CharField(max_length=100, help_text="Whose share is raised.")
    ruleId = serializers.UUIDField(required=False, allow_null=True, help_text="In a rule; empty: the default rollout.")
    flags = PlanFlagSerializer(many=True, required=False, help_text="Further flags, raised in the same steps.")
    steps = RolloutStepSerializer(many=True, required=False, help_text="May be left out where a template is named.")
    then = ChoiceField(choices=RolloutPlan.Then.choices[1:], required=False, allow_null=True)
    template = serializers.CharField(required=False, allow_null=True, max_length=100)
    afterEnvironment = AfterEnvironmentSerializer(required=False, allow_null=True)
    state = serializers.ChoiceField(choices=RolloutPlan.State.choices, read_only=True)
    currentStep = serializers.IntegerField(read_only=True, help_text="How many steps were taken.")
    percent = serializers.FloatField(read_only=True, help_text="The share that the flag gives the variant now.")
    nextStepAt = serializers.DateTimeField(read_only=True, allow_null=True)
    nextDueAt = serializers.DateTimeField(read_only=True, allow_null=True)
    anchorVersion = serializers.IntegerField(
        read_only=True, allow_null=True, help_text="The flag's version before the plan, which a rollback returns to."
    )
    waitingFor = WaitingForSerializer(read_only=True, allow_null=True)
    approvals = StepApprovalSerializer(many=True, read_only=True)
    guardrails = GuardrailResultSerializer(many=True, read_only=True)
    history = HistoryLineSerializer(many=True, read_only=True)
    startedAt = serializers.DateTimeField(read_only=True, allow_null=True)
    startedBy = serializers.CharField(read_only=True, allow_blank=True)
    stepSince = serializers.DateTimeField(read_only=True, allow_null=True)
    finishedAt = serializers.DateTimeField(read_only=True, allow_null=True)
    version = serializers.IntegerField(required=False, help_text=_VERSION)
    createdAt = serializers.DateTimeField(read_only=True)
    updatedAt = serializers.DateTimeField(read_only=True)


class PlanActSerializer(serializers.Serializer[Any]):
    reason = serializers.CharField(required=False, allow_blank=True, max_length=500, help_text="For the audit log.")
    version = serializers.IntegerField(
        required=False, help_text="The plan's version that was read: the act is then about what was seen, or refused."
    )


class ReleaseSerializer(serializers.Serializer[Any]):
    variant = serializers.CharField(max_length=100, help_text="The winner.")
    steps = RolloutStepSerializer(many=True, required=False)
    template = serializers.CharField(required=False, max_length=100)
    then = ChoiceField(choices=RolloutPlan.Then.choices[1:], required=False, allow_null=True)
    reason = serializers.CharField(required=False, allow_blank=True, max_length=2000)
    version = serializers.IntegerField(required=False, help_text="Of the experiment.")


class RolloutTemplateSerializer(serializers.Serializer[Any]):
    key = serializers.CharField(max_length=100)
    name = serializers.CharField(max_length=200, required=False)
    steps = RolloutStepSerializer(many=True)
    isBuiltIn = serializers.BooleanField(read_only=True)
    version = serializers.IntegerField(required=False, help_text=_VERSION)
    createdAt = serializers.DateTimeField(read_only=True, allow_null=True)
    updatedAt = serializers.DateTimeField(read_only=True, allow_null=True)


class ScheduledResourceSerializer(Part):
    type = ChoiceField(choices=ScheduledChange.Resource.choices)
    key = serializers.CharField(max_length=100)


class ScheduledChangeSerializer(serializers.Serializer[Any]):
    id = serializers.UUIDField(read_only=True)
    resource = ScheduledResourceSerializer()
    patch = serializers.DictField(help_text="Fields of the resource, as its PATCH takes them, without a version.")
    baseVersion = serializers.IntegerField(help_text="The version that was read.")
    at = InstantField(required=False, allow_null=True, help_text="Once, at this instant.")
    cron = serializers.CharField(
        required=False, allow_null=True, max_length=100, help_text="Again and again: five fields, on the zone's clock."
    )
    zone = serializers.CharField(required=False, max_length=60, help_text="As Europe/Berlin; UTC by default.")
    title = serializers.CharField(required=False, allow_blank=True, max_length=200)
    state = serializers.ChoiceField(choices=ScheduledChange.State.choices, read_only=True)
    reason = serializers.CharField(read_only=True, allow_blank=True, help_text="Why it is held.")
    nextDueAt = serializers.DateTimeField(read_only=True, allow_null=True)
    publishedAt = serializers.DateTimeField(read_only=True, allow_null=True)
    createdBy = serializers.CharField(read_only=True)
    version = serializers.IntegerField(required=False, help_text=_VERSION)
    createdAt = serializers.DateTimeField(read_only=True)
    updatedAt = serializers.DateTimeField(read_only=True)


class TriggerSerializer(serializers.Serializer[Any]):
    id = serializers.UUIDField(read_only=True)
    name = serializers.CharField(max_length=200)
    flagKey = serializers.CharField(max_length=100)
    act = ChoiceField(choices=Trigger.Act.choices)
    enabled = TrueOrFalse(required=False)
    prefix = serializers.CharField(read_only=True, help_text="How the token begins, by which it is known.")
    lastCalledAt = serializers.DateTimeField(read_only=True, allow_null=True)
    lastActedAt = serializers.DateTimeField(read_only=True, allow_null=True)
    createdBy = serializers.CharField(read_only=True)
    version = serializers.IntegerField(required=False, help_text=_VERSION)
    createdAt = serializers.DateTimeField(read_only=True)
    updatedAt = serializers.DateTimeField(read_only=True)


class IssuedTriggerSerializer(TriggerSerializer):
    token = serializers.CharField(allow_null=True, help_text="Shown this once.")
    url = serializers.CharField(allow_null=True, help_text="What the alert calls; it holds the token.")


class AlertSerializer(serializers.Serializer[Any]):
    """The plain form. Payloads of Alertmanager and Grafana are taken as they come."""

    status = serializers.CharField(required=False, help_text="firing or resolved.")
    fingerprint = serializers.CharField(required=False, help_text="The same one within an hour does nothing.")


class CalledSerializer(serializers.Serializer[Any]):
    acted = serializers.BooleanField()
    why = serializers.CharField()
