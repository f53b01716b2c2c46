"""The API's shapes of metrics and experiments. Serializers check the form; services check the meaning."""

from typing import Any

from rest_framework import serializers

from experiments.analysis.metric_types import CHOICES, POWER_MODELS
from experiments.models import Experiment, ExperimentMetric, Metric
from tenancy.api.serializers import ChoiceField, InstantField


class MetricSerializer(serializers.Serializer[Any]):
    key = serializers.CharField(max_length=100, required=False)
    name = serializers.CharField(max_length=200, required=False, allow_blank=True)
    type = ChoiceField(choices=CHOICES, required=False)
    eventName = serializers.CharField(max_length=200, required=False)
    denominatorEventName = serializers.CharField(max_length=200, required=False, allow_null=True)
    valueProperty = serializers.CharField(
        max_length=200,
        required=False,
        allow_null=True,
        help_text="The event's property that is its value here, of eventName's events.",
    )
    quantile = serializers.FloatField(required=False, allow_null=True)
    goal = ChoiceField(choices=Metric.Goal.choices, required=False)
    windowHours = serializers.IntegerField(required=False, allow_null=True, min_value=1, max_value=24 * 366)
    cap = serializers.FloatField(required=False, allow_null=True)
    version = serializers.IntegerField(required=False, help_text="The version that was read; required to change.")


class OlderDefinitionSerializer(serializers.Serializer[Any]):
    id = serializers.CharField()
    name = serializers.CharField()
    phase = serializers.IntegerField()


class MetricAnswerSerializer(MetricSerializer):
    olderDefinitionIn = OlderDefinitionSerializer(
        many=True,
        required=False,
        help_text="Running and paused experiments whose phase keeps an older definition; absent if there are none.",
    )


class GuardrailSerializer(serializers.Serializer[Any]):
    metric = serializers.CharField(max_length=100)
    marginPercent = serializers.FloatField(help_text="Harm of the control's figure that would still be acceptable.")
    action = ChoiceField(choices=ExperimentMetric.Action.choices, required=False)


class AnalysisSerializer(serializers.Serializer[Any]):
    method = ChoiceField(choices=Experiment.Method.choices, required=False)
    alpha = serializers.FloatField(required=False)
    correction = ChoiceField(choices=Experiment.Correction.choices, required=False)
    cuped = serializers.BooleanField(required=False)
    winsorizePercent = serializers.FloatField(required=False, allow_null=True)
    minimumEffect = serializers.FloatField(
        required=False,
        allow_null=True,
        help_text="The smallest lift of interest, a fraction: arms whose interval lies within it are equal.",
    )
    liftPriorStandardDeviation = serializers.FloatField(
        required=False,
        allow_null=True,
        help_text="Of lifts expected beforehand, around 0, for the probability to beat; null is a flat prior.",
    )
    plannedUsers = serializers.IntegerField(
        required=False, allow_null=True, min_value=2, max_value=2**31 - 1, help_text="All arms together."
    )


class ExploratorySerializer(serializers.Serializer[Any]):
    metric = serializers.CharField()
    role = serializers.CharField(help_text="secondary or guardrail")
    since = InstantField()


class DecisionSerializer(serializers.Serializer[Any]):
    decision = ChoiceField(choices=Experiment.Decision.choices)
    variant = serializers.CharField(max_length=100, required=False, allow_null=True, help_text="What `ship` gives.")
    to = ChoiceField(
        choices=Experiment.Scope.choices,
        required=False,
        allow_null=True,
        help_text="To whom `ship` gives it: everyone (the flag's rollout; the default) or the audience (a rule).",
    )
    reason = serializers.CharField(
        required=False,
        allow_blank=True,
        max_length=2000,
        help_text="Required where the results speak against shipping the variant.",
    )
    version = serializers.IntegerField(required=False)


class ShareSerializer(serializers.Serializer[Any]):
    variant = serializers.CharField(max_length=100)
    percent = serializers.FloatField(help_text="0 to 100, at most two decimals.")


class ExperimentSerializer(serializers.Serializer[Any]):
    id = serializers.UUIDField(read_only=True)
    key = serializers.CharField(
        max_length=100, required=False, help_text="Stands for the id in routes; made from the name when left out."
    )
    name = serializers.CharField(max_length=200, required=False)
    hypothesis = serializers.CharField(required=False, allow_blank=True)
    flagKey = serializers.CharField(max_length=100, required=False)
    controlVariant = serializers.CharField(max_length=100, required=False)
    layer = serializers.CharField(max_length=100, required=False, allow_null=True)
    trafficPercent = serializers.FloatField(required=False, help_text="Above 0, up to 100, at most two decimals.")
    audience = serializers.JSONField(required=False, allow_null=True)
    # With `many` each share might be null, too.
    allocation: serializers.ListSerializer[Any] = serializers.ListSerializer(
        child=ShareSerializer(),
        required=False,
        allow_null=True,
        help_text="The experiment's own split; even when left out. A control that is not named gets the rest. Null of "
        "an experiment started before splits of their own: the flag's allocation splits its users.",
    )
    priority = serializers.IntegerField(
        required=False,
        allow_null=True,
        min_value=-(2**31),
        max_value=2**31 - 1,
        help_text="Its place among the flag's rules, whose priorities are others; null is after all of them.",
    )
    fromRule = serializers.UUIDField(
        required=False,
        write_only=True,
        allow_null=True,
        help_text="A rule of the flag to take audience, place and shares from, at creation.",
    )
    primaryMetric = serializers.CharField(max_length=100, required=False)
    secondaryMetrics = serializers.ListField(child=serializers.CharField(max_length=100), required=False)
    guardrails = GuardrailSerializer(many=True, required=False)
    exploratory = ExploratorySerializer(
        many=True,
        required=False,
        help_text="Read only: metrics added after the start, which decide nothing; left out where there are none.",
    )
    analysis = AnalysisSerializer(required=False)
    breakdowns = serializers.ListField(
        child=serializers.CharField(max_length=100),
        required=False,
        help_text="Attributes kept with the experiment's exposures, to break its results down by; at most 10.",
    )
    autoPauseOnSrm = serializers.BooleanField(required=False)
    status = ChoiceField(choices=Experiment.Status.choices, read_only=True)
    phase = serializers.IntegerField(read_only=True, allow_null=True)
    decision = DecisionSerializer(read_only=True, allow_null=True)
    startsAt = InstantField(required=False, allow_null=True)
    endsAt = InstantField(required=False, allow_null=True)
    startedAt = serializers.DateTimeField(read_only=True, allow_null=True)
    endedAt = serializers.DateTimeField(read_only=True, allow_null=True)
    version = serializers.IntegerField(required=False, help_text="The version that was read; required to change.")
    createdAt = serializers.DateTimeField(read_only=True)
    updatedAt = serializers.DateTimeField(read_only=True)


class ActionSerializer(serializers.Serializer[Any]):
    reason = serializers.CharField(required=False, allow_blank=True, max_length=2000)
    version = serializers.IntegerField(
        required=False, help_text="Refused with 409 when the experiment has changed since."
    )


class StartSerializer(ActionSerializer):
    enableFlag = serializers.BooleanField(
        required=False,
        default=False,
        help_text="Switch on a flag that is off; the preflight check says what those who take no part then get.",
    )


class RestartSerializer(ActionSerializer):
    allocation = ShareSerializer(many=True, required=False, help_text="A new split.")
    rollout = ShareSerializer(many=True, required=False, help_text="The former name of allocation.")
    audience = serializers.JSONField(required=False, allow_null=True)
    trafficPercent = serializers.FloatField(required=False)


class RefusalSerializer(serializers.Serializer[Any]):
    attr = serializers.CharField(allow_null=True)
    code = serializers.CharField()
    detail = serializers.CharField()


class ServedShareSerializer(serializers.Serializer[Any]):
    variant = serializers.CharField(allow_null=True)
    share = serializers.FloatField(help_text="0 to 1.")


class EnablingSerializer(serializers.Serializer[Any]):
    before = ServedShareSerializer(many=True)
    after = ServedShareSerializer(many=True, help_text="Of those whom no target and no rule decides.")
    changed = serializers.FloatField(help_text="0 to 1: the share of them who get another variant.")
    decidedByRules = serializers.BooleanField(help_text="Whether targets or rules decide for some users.")
    text = serializers.CharField()


class ActSerializer(serializers.Serializer[Any]):
    act = ChoiceField(choices=["start", "pause", "resume", "complete"])
    enableFlag = serializers.BooleanField(required=False, default=False, help_text="Of `start`.")
    decision = ChoiceField(choices=Experiment.Decision.choices, required=False, help_text="Of `complete`.")
    variant = serializers.CharField(max_length=100, required=False, allow_null=True)
    to = ChoiceField(choices=Experiment.Scope.choices, required=False, allow_null=True)


class GroupImpactSerializer(serializers.Serializer[Any]):
    group = serializers.CharField(help_text="participants, audience (the others of it) or others.")
    before = ServedShareSerializer(many=True)
    after = ServedShareSerializer(many=True)
    changed = serializers.FloatField(help_text="0 to 1: the share of the group that gets another variant.")
    text = serializers.CharField()


class ActImpactSerializer(serializers.Serializer[Any]):
    act = serializers.CharField()
    groups = GroupImpactSerializer(
        many=True, help_text="None where nothing that is served changes. Of those whom no target and no rule decides."
    )
    objections = serializers.ListField(
        child=serializers.CharField(),
        help_text="What speaks against shipping the variant: with any, a reason is needed.",
    )


class PreflightSerializer(serializers.Serializer[Any]):
    mayStart = serializers.BooleanField()
    refusals = RefusalSerializer(many=True)
    warnings = serializers.ListField(child=serializers.CharField())
    estimate = serializers.DictField(allow_null=True)
    enabling = EnablingSerializer(
        allow_null=True, help_text="What switching the flag on would do to those who take no part; null where it is on."
    )


class PowerSerializer(serializers.Serializer[Any]):
    """Two of users, effect and power are given; the third is what is asked."""

    type = ChoiceField(choices=list(POWER_MODELS), default="binary")
    baseline = serializers.FloatField(help_text="The control's rate (0 to 1), or its mean.")
    standardDeviation = serializers.FloatField(required=False, allow_null=True, help_text="Per user; not for rates.")
    minimumDetectableEffect = serializers.FloatField(
        required=False, allow_null=True, help_text="Relative to the baseline: 0.1 is a change by a tenth."
    )
    users = serializers.IntegerField(required=False, allow_null=True, min_value=2, help_text="All arms together.")
    power = serializers.FloatField(required=False, allow_null=True)
    alpha = serializers.FloatField(required=False, default=0.05)
    treatmentShare = serializers.FloatField(required=False, default=0.5, help_text="Of the users of both arms.")
    method = ChoiceField(choices=Experiment.Method.choices, required=False, default="fixed")
    looks = serializers.IntegerField(required=False, default=14, min_value=1, max_value=60)


class PowerAnswerSerializer(serializers.Serializer[Any]):
    users = serializers.IntegerField(allow_null=True)
    usersPerArm = serializers.DictField(child=serializers.IntegerField(), allow_null=True)
    minimumDetectableEffect = serializers.FloatField(allow_null=True)
    absoluteEffect = serializers.FloatField(allow_null=True)
    power = serializers.FloatField(allow_null=True)
    inflation = serializers.FloatField()
    reason = serializers.CharField(allow_null=True)


class VariantResultSerializer(serializers.Serializer[Any]):
    key = serializers.CharField()
    users = serializers.IntegerField(allow_null=True)
    conversions = serializers.IntegerField(allow_null=True)
    rate = serializers.FloatField(allow_null=True)
    mean = serializers.FloatField(allow_null=True)


class StoredResultSerializer(serializers.Serializer[Any]):
    id = serializers.UUIDField()
    phase = serializers.IntegerField()
    since = serializers.DateTimeField()
    until = serializers.DateTimeField()
    watermark = serializers.DateTimeField(allow_null=True)
    configVersions = serializers.ListField(child=serializers.IntegerField())
    computedAt = serializers.DateTimeField()
    durationMs = serializers.IntegerField()
    codeVersion = serializers.CharField()
    digest = serializers.CharField()
    final = serializers.BooleanField(help_text="Of a whole phase, once nothing that counts can arrive any more.")
    intact = serializers.BooleanField(help_text="Whether its content still has its digest; if not, figures are null.")
    comparisons = serializers.ListField(child=serializers.DictField(), help_text="Of the primary metric.")
    srm = serializers.DictField()
    recommendation = serializers.DictField()


class ResultsSerializer(serializers.Serializer[Any]):
    experiment = serializers.DictField()
    window = serializers.DictField()
    configVersions = serializers.ListField(child=serializers.IntegerField())
    watermark = serializers.DateTimeField(allow_null=True)
    variants = VariantResultSerializer(many=True)
    comparisons = serializers.ListField(child=serializers.DictField())
    srm = serializers.DictField()
    guardrails = serializers.ListField(child=serializers.DictField())
    excluded = serializers.DictField(child=serializers.IntegerField(allow_null=True))
    prefetched = serializers.IntegerField(
        required=False,
        help_text="Exposures of bulk answers, whose users need not have seen the variant; absent in older rows.",
    )
    sensitivity = serializers.DictField(help_text="`byFirstVariant`: crossovers kept in; null up to 1 % of them.")
    recommendation = serializers.DictField()
    caveats = serializers.ListField(child=serializers.CharField())
    breakdown = serializers.DictField(required=False, help_text="With `segment`: the primary metric per value.")
    intact = serializers.BooleanField(
        required=False, help_text="False where the stored row was changed: every figure is null; else left out."
    )


class PhaseSerializer(serializers.Serializer[Any]):
    number = serializers.IntegerField()
    reason = serializers.CharField(help_text="Why it began; empty where an older release began it.")
    startedAt = serializers.DateTimeField()
    endedAt = serializers.DateTimeField(allow_null=True)
    configVersion = serializers.IntegerField(help_text="The environment's version that opened it.")
    split = ShareSerializer(many=True)
    users = serializers.IntegerField(help_text="Who count in its figures.")
    crossovers = serializers.IntegerField(help_text="Who saw several variants in it, and are left out.")
    metrics = serializers.DictField(help_text="Its metrics as they were defined when it began.")
    final = serializers.BooleanField(help_text="Whether its figures can change no more.")
    results = serializers.CharField(help_text="The path of its results.")
