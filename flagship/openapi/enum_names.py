"""The names of choices in the OpenAPI document, where drf-spectacular would make one up; by where they stand."""

from typing import Final

ENUM_NAMES: Final = {
    "RoleEnum": "tenancy.roles.Role",
    "ChangeRequestStateEnum": "approvals.models.ChangeRequest.State",
    "TriggerActEnum": "rollouts.models.Trigger.Act",
    "FlagTypeEnum": "flags.models.Flag.Type",
    "MetricTypeEnum": "experiments.analysis.metric_types.CHOICES",
    "CredentialKindEnum": "tenancy.models.Credential.Kind",
    "NotificationFrequencyEnum": "integrations.models.NotificationSetting.Frequency",
    "DeliveryKindEnum": "integrations.models.WebhookDelivery.Kind",
    "DeliveryStateEnum": "integrations.models.WebhookDelivery.State",
    "UsageKindEnum": "flags.api.usage.SOURCE_KINDS",
    "FlagKindEnum": "flags.models.Flag.Kind",
    "StageReasonEnum": "flags.lifecycle.stages.REASONS",
}
