"""The shapes of API.md for organizations, projects, environments, members, credentials and the audit log."""

from datetime import datetime
from typing import Any

from rest_framework import serializers

from tenancy.models import Credential, Exposures, PrivacyJob
from tenancy.refusals import NEEDS_ZONE
from tenancy.roles import Role


class ChoiceField(serializers.ChoiceField):
    """A choice whose refusal names the choices."""

    def __init__(self, choices: Any, **kwargs: Any) -> None:
        super().__init__(choices, **kwargs)
        self.error_messages["invalid_choice"] = f"Use one of: {', '.join(map(str, self.choices))}."


class InstantField(serializers.DateTimeField):
    """An instant that is sent. DRF's own field takes one without a zone as UTC, whatever zone its sender meant."""

    default_error_messages = dict.fromkeys(("invalid", "date"), NEEDS_ZONE)

    def enforce_timezone(self, value: datetime) -> datetime:
        if value.tzinfo is None:
            self.fail("invalid")
        found: datetime = super().enforce_timezone(value)
        return found


_VERSION = "The version that was read; required to change."


class OrganizationSerializer(serializers.Serializer[Any]):
    slug = serializers.CharField(max_length=63)
    name = serializers.CharField(max_length=200)
    version = serializers.IntegerField(required=False, help_text=_VERSION)
    createdAt = serializers.DateTimeField(read_only=True)


class OrganizationChangeSerializer(serializers.Serializer[Any]):
    name = serializers.CharField(max_length=200, required=False)
    version = serializers.IntegerField(help_text=_VERSION)


def _days(least: int, most: int, what: str) -> serializers.IntegerField:
    return serializers.IntegerField(
        min_value=least, max_value=most, required=False, allow_null=True, help_text=f"{what}; null: the default."
    )


class _FlagDaysSerializer(serializers.Serializer[Any]):
    flagNewDays = _days(1, 365, "A flag is new for so long")
    flagUnchangedDays = _days(1, 3650, "It may be complete once nobody changed it for so long")
    flagUnusedDays = _days(7, 3650, "It is unused once nobody asked for it for so long")


class NewProjectSerializer(serializers.Serializer[Any]):
    key = serializers.CharField(max_length=63)
    name = serializers.CharField(max_length=200)


class ProjectSerializer(_FlagDaysSerializer, NewProjectSerializer):
    version = serializers.IntegerField(required=False, help_text=_VERSION)
    createdAt = serializers.DateTimeField(read_only=True)


class ProjectChangeSerializer(OrganizationChangeSerializer, _FlagDaysSerializer):
    pass


class EnvironmentSerializer(serializers.Serializer[Any]):
    key = serializers.CharField(max_length=63)
    project = serializers.CharField(read_only=True)
    name = serializers.CharField(max_length=200)
    isProduction = serializers.BooleanField(required=False)
    salt = serializers.CharField(
        max_length=64, required=False, allow_blank=True, help_text="Fixed at creation; empty: as in other environments."
    )
    pseudonyms = serializers.BooleanField(
        required=False, help_text="Chosen at creation: events name users by keyed hashes alone. It never ends."
    )
    exposures = ChoiceField(
        choices=Exposures.choices, required=False, help_text="What is logged of flags without a choice of their own."
    )
    configVersion = serializers.IntegerField(read_only=True)
    version = serializers.IntegerField(required=False, help_text=_VERSION)
    createdAt = serializers.DateTimeField(read_only=True)


class EnvironmentChangeSerializer(serializers.Serializer[Any]):
    name = serializers.CharField(max_length=200, required=False)
    isProduction = serializers.BooleanField(required=False)
    exposures = ChoiceField(choices=Exposures.choices, required=False)
    version = serializers.IntegerField(help_text=_VERSION)


class MemberSerializer(serializers.Serializer[Any]):
    id = serializers.IntegerField(read_only=True)
    username = serializers.CharField(max_length=150)
    isService = serializers.BooleanField(read_only=True)
    role = ChoiceField(choices=Role.choices)
    project = serializers.CharField(required=False, allow_null=True, help_text="Empty: on the whole organization.")
    environment = serializers.CharField(required=False, allow_null=True, help_text="Empty: on the whole project.")
    version = serializers.IntegerField(read_only=True)
    createdAt = serializers.DateTimeField(read_only=True)


class NewMemberSerializer(serializers.Serializer[Any]):
    username = serializers.CharField(max_length=150)
    role = ChoiceField(choices=Role.choices)
    project = serializers.CharField(max_length=63, required=False, allow_null=True)
    environment = serializers.CharField(max_length=63, required=False, allow_null=True)
    password = serializers.CharField(
        max_length=200, required=False, trim_whitespace=False, help_text="Creates the person, who must be new."
    )
    email = serializers.EmailField(required=False)


class MemberChangeSerializer(serializers.Serializer[Any]):
    role = ChoiceField(choices=Role.choices)
    version = serializers.IntegerField(help_text=_VERSION)


class ServiceAccountSerializer(serializers.Serializer[Any]):
    clientId = serializers.CharField()
    name = serializers.CharField()
    roles = MemberSerializer(many=True)
    createdAt = serializers.DateTimeField()


class NewServiceAccountSerializer(serializers.Serializer[Any]):
    name = serializers.CharField(max_length=60)
    role = ChoiceField(choices=Role.choices)
    project = serializers.CharField(max_length=63, required=False, allow_null=True)
    environment = serializers.CharField(max_length=63, required=False, allow_null=True)


class IssuedServiceAccountSerializer(ServiceAccountSerializer):
    clientSecret = serializers.CharField(allow_null=True, help_text="Shown this once.")


class CredentialSerializer(serializers.Serializer[Any]):
    id = serializers.UUIDField()
    kind = ChoiceField(choices=Credential.Kind.choices)
    name = serializers.CharField()
    prefix = serializers.CharField(help_text="The secret's beginning, which is public.")
    project = serializers.CharField(allow_null=True)
    environment = serializers.CharField(allow_null=True)
    environments = serializers.ListField(
        child=serializers.CharField(), help_text="Of an edge credential, each as `project/environment`; else empty."
    )
    username = serializers.CharField(allow_null=True)
    createdAt = serializers.DateTimeField()
    createdBy = serializers.CharField(allow_blank=True)
    expiresAt = serializers.DateTimeField(allow_null=True)
    revokedAt = serializers.DateTimeField(allow_null=True)
    lastUsedAt = serializers.DateTimeField(allow_null=True, help_text="To about a minute.")


class NewCredentialSerializer(serializers.Serializer[Any]):
    kind = ChoiceField(choices=Credential.Kind.choices)
    name = serializers.CharField(max_length=200)
    project = serializers.CharField(max_length=63, required=False, allow_null=True)
    environment = serializers.CharField(max_length=63, required=False, allow_null=True)
    environments = serializers.ListField(
        child=serializers.CharField(max_length=127),
        max_length=200,
        required=False,
        help_text="Of an edge credential: what the edge serves, each as `project/environment`.",
    )
    username = serializers.CharField(
        max_length=150,
        required=False,
        help_text="Of a service account; a management token is the caller's own without.",
    )
    expiresAt = InstantField(required=False, allow_null=True)


class IssuedCredentialSerializer(CredentialSerializer):
    secret = serializers.CharField(allow_null=True, help_text="Shown this once.")


class TokenRequestSerializer(serializers.Serializer[Any]):
    clientId = serializers.CharField(max_length=254)
    clientSecret = serializers.CharField(max_length=254)


class TokenSerializer(serializers.Serializer[Any]):
    accessToken = serializers.CharField()
    tokenType = serializers.CharField()
    expiresIn = serializers.IntegerField(help_text="Seconds.")


class AuditChangeSerializer(serializers.Serializer[Any]):
    path = serializers.CharField()
    before = serializers.JSONField(allow_null=True)
    after = serializers.JSONField(allow_null=True)


class AuditEntrySerializer(serializers.Serializer[Any]):
    id = serializers.IntegerField()
    occurredAt = serializers.DateTimeField()
    actor = serializers.CharField()
    actorKind = serializers.CharField()
    credential = serializers.CharField(allow_blank=True)
    requestId = serializers.CharField(allow_blank=True)
    action = serializers.CharField()
    entity = serializers.CharField()
    key = serializers.CharField()
    project = serializers.CharField(allow_blank=True)
    environment = serializers.CharField(allow_blank=True)
    before = serializers.JSONField(allow_null=True)
    after = serializers.JSONField(allow_null=True)
    changes = AuditChangeSerializer(many=True)
    reason = serializers.CharField(allow_blank=True)
    position = serializers.IntegerField(help_text="In the organization's chain.")
    hash = serializers.CharField()


class PersonSerializer(serializers.Serializer[Any]):
    kind = serializers.CharField(max_length=100, help_text="The attribute that has the id: userId, or another unit.")
    id = serializers.CharField(max_length=1024)


class PlaceReportSerializer(serializers.Serializer[Any]):
    place = serializers.CharField()
    count = serializers.IntegerField()
    remains = serializers.CharField(allow_blank=True, help_text="Why it was not erased; empty where it was.")


class PrivacyJobSerializer(serializers.Serializer[Any]):
    id = serializers.UUIDField()
    act = serializers.ChoiceField(choices=PrivacyJob.Act.choices)
    kind = serializers.CharField()
    trace = serializers.CharField(help_text="A keyed hash of the id, as the audit log has it.")
    state = serializers.ChoiceField(choices=PrivacyJob.State.choices)
    done = serializers.IntegerField(help_text="Steps that are over, of `total`.")
    total = serializers.IntegerField()
    report = PlaceReportSerializer(many=True)
    hasFile = serializers.BooleanField()
    error = serializers.CharField(allow_blank=True)
    requestedBy = serializers.CharField()
    createdAt = serializers.DateTimeField()
    finishedAt = serializers.DateTimeField(allow_null=True)
