"""The shapes of API.md for policies, change requests and freezes."""

from typing import Any

from rest_framework import serializers

from approvals.models import ChangeRequest, Review
from approvals.operations import RESOURCES
from tenancy.api.serializers import ChoiceField, InstantField
from tenancy.roles import Role

_TITLE = "What it changes, in a line."
_REASON = "Kept in the audit log."


def _texts(most_characters: int, **options: Any) -> serializers.ListField:
    return serializers.ListField(child=serializers.CharField(max_length=most_characters), max_length=100, **options)


def _roles(**options: Any) -> serializers.ListField:
    return serializers.ListField(child=ChoiceField(choices=Role.choices), max_length=len(Role), **options)


# -- Policies and freezes -------------------------------------------------------------------------------------------


class WhoSerializer(serializers.Serializer[Any]):
    roles = _roles(required=False, help_text="Each stands for the stronger roles too.")
    groups = _texts(150, required=False, help_text="Names of the identity provider's groups.")


class WhenSerializer(serializers.Serializer[Any]):
    impactPercent = serializers.FloatField(
        required=False, allow_null=True, min_value=0, max_value=100, help_text="A change that moves so many users."
    )
    experiments = serializers.BooleanField(required=False, help_text="A change that touches a running experiment.")
    tags = _texts(60, required=False, help_text="A change of a flag with one of these tags.")


class EmergencySerializer(serializers.Serializer[Any]):
    roles = _roles(required=False, help_text="Who may publish without the approvals; empty: nobody.")


class PolicySerializer(serializers.Serializer[Any]):
    environment = serializers.CharField(read_only=True)
    requiredApprovals = serializers.IntegerField(
        required=False, min_value=0, max_value=20, help_text="0: nothing is asked."
    )
    approvers = WhoSerializer(required=False, help_text="Admins by default.")
    ownApproval = serializers.BooleanField(required=False, help_text="Whether an author's own approval counts.")
    when = WhenSerializer(required=False, help_text="Any of these; with none it asks for every change.")
    emergency = EmergencySerializer(required=False)
    checks = _texts(150, required=False, help_text="The clientIds of service accounts that have to approve as well.")
    version = serializers.IntegerField(required=False, help_text="The version that was read; required to change.")


class FreezeSerializer(serializers.Serializer[Any]):
    id = serializers.UUIDField(read_only=True)
    name = serializers.CharField(max_length=200)
    reason = serializers.CharField(required=False, allow_blank=True, max_length=2000)
    project = serializers.CharField(required=False, allow_null=True, max_length=63, help_text="Null: every project.")
    environment = serializers.CharField(
        required=False, allow_null=True, max_length=63, help_text="Null: every environment of the project."
    )
    since = InstantField(required=False, help_text="Now, when left out.")
    until = InstantField(required=False, allow_null=True)
    cron = serializers.CharField(
        required=False,
        allow_null=True,
        allow_blank=True,
        max_length=100,
        help_text="When it begins again: `0 18 * * 5`.",
    )
    durationMinutes = serializers.IntegerField(
        required=False, allow_null=True, min_value=1, max_value=44_640, help_text="How long each time lasts."
    )
    zone = serializers.CharField(required=False, max_length=60, help_text="Of the expression, as Europe/Berlin.")
    exempt = WhoSerializer(required=False, help_text="Who may publish all the same.")
    createdBy = serializers.CharField(read_only=True, allow_blank=True)
    version = serializers.IntegerField(required=False, help_text="The version that was read; required to change.")
    createdAt = serializers.DateTimeField(read_only=True)
    updatedAt = serializers.DateTimeField(read_only=True)


# -- Change requests ------------------------------------------------------------------------------------------------


class ResourceSerializer(serializers.Serializer[Any]):
    type = ChoiceField(choices=RESOURCES)
    key = serializers.CharField(max_length=200, help_text="An experiment's id or key; an environment's own key.")


class RequestedChangeSerializer(serializers.Serializer[Any]):
    resource = ResourceSerializer()
    action = serializers.CharField(
        max_length=20, required=False, help_text="update by default; create, archive, start and so on."
    )
    patch = serializers.DictField(required=False, help_text="As the resource's own route takes it, without version.")
    baseVersion = serializers.IntegerField(
        required=False, allow_null=True, help_text="The version that it was made for; null: the one that is there."
    )


class ChangeRequestBodySerializer(serializers.Serializer[Any]):
    numbers_unchecked = frozenset({"changes"})
    title = serializers.CharField(max_length=200, required=False, help_text=_TITLE)
    description = serializers.CharField(required=False, allow_blank=True, max_length=10_000)
    changes = RequestedChangeSerializer(many=True, required=False)
    at = InstantField(required=False, allow_null=True, help_text="When it is to be published.")
    publishWhenApproved = serializers.BooleanField(
        required=False, help_text="Publish it by itself as soon as nothing is missing."
    )
    draft = serializers.BooleanField(required=False, help_text="Nobody reviews a draft.")
    version = serializers.IntegerField(required=False, help_text="The version that was read; required to change.")


class AskSerializer(serializers.Serializer[Any]):
    environment = serializers.CharField()
    requiredApprovals = serializers.IntegerField()
    ownApproval = serializers.BooleanField()
    checks = serializers.ListField(child=serializers.CharField())
    why = serializers.ListField(child=serializers.CharField(), help_text="What in the policy asks, in words.")


class ListedChangeRequestSerializer(serializers.Serializer[Any]):
    id = serializers.UUIDField()
    title = serializers.CharField()
    description = serializers.CharField(allow_blank=True)
    environment = serializers.CharField()
    state = ChoiceField(choices=ChangeRequest.State.choices)
    author = serializers.CharField()
    changes = RequestedChangeSerializer(many=True)
    content = serializers.CharField(help_text="The hash of what publishing it would serve; approvals are bound to it.")
    asks = AskSerializer(many=True, help_text="What the policies of the environments that it reaches ask.")
    at = serializers.DateTimeField(allow_null=True)
    publishWhenApproved = serializers.BooleanField()
    heldBecause = serializers.CharField(allow_null=True, help_text="Why the schedule did not publish it.")
    reverts = serializers.UUIDField(allow_null=True)
    emergencyReason = serializers.CharField(allow_null=True)
    reviewOwed = serializers.BooleanField()
    publishedAt = serializers.DateTimeField(allow_null=True)
    publishedBy = serializers.CharField(allow_null=True)
    configVersion = serializers.IntegerField(allow_null=True, help_text="The version that serves it.")
    version = serializers.IntegerField()
    createdAt = serializers.DateTimeField()
    updatedAt = serializers.DateTimeField()


class PartSerializer(serializers.Serializer[Any]):
    environment = serializers.CharField()
    type = serializers.CharField()
    key = serializers.CharField()
    before = serializers.JSONField(allow_null=True, help_text="The document that is served; null: none.")
    after = serializers.JSONField(allow_null=True)
    shownBefore = serializers.JSONField(help_text="What evaluators do not get: name, description, tags.")
    shownAfter = serializers.JSONField()


class ReviewSerializer(serializers.Serializer[Any]):
    id = serializers.UUIDField()
    reviewer = serializers.CharField()
    verdict = ChoiceField(choices=Review.Verdict.choices)
    text = serializers.CharField(allow_blank=True)
    content = serializers.CharField()
    baseVersions = serializers.ListField(
        child=serializers.IntegerField(allow_null=True), help_text="The versions that each change was built on."
    )
    current = serializers.BooleanField(help_text="Whether it is about the content that the request has now.")
    at = serializers.DateTimeField()


class MissingSerializer(serializers.Serializer[Any]):
    why = ChoiceField(choices=["not_open", "objected", "approvals_missing", "check_missing"])
    detail = serializers.CharField()
    environment = serializers.CharField(allow_blank=True)
    count = serializers.IntegerField()


class ClashSerializer(serializers.Serializer[Any]):
    change = serializers.IntegerField(help_text="Which of the changes.")
    resource = ResourceSerializer()
    field = serializers.CharField(help_text="`*` where the whole thing was made or deleted.")
    base = serializers.JSONField(allow_null=True)
    theirs = serializers.JSONField(allow_null=True)
    mine = serializers.JSONField(allow_null=True)


class ChangeRequestSerializer(ListedChangeRequestSerializer):
    parts = PartSerializer(many=True)
    reviews = ReviewSerializer(many=True)
    missing = MissingSerializer(many=True, help_text="What stands in the way of publishing it.")
    clashes = ClashSerializer(many=True, help_text="What somebody else has changed since; decide it and rebase.")


class VerdictSerializer(serializers.Serializer[Any]):
    text = serializers.CharField(required=False, allow_blank=True, max_length=10_000)
    content = serializers.CharField(
        required=False, max_length=64, help_text="The hash that was looked at; refused where it is another by now."
    )


class ApprovalSerializer(VerdictSerializer):
    content = serializers.CharField(
        max_length=64, help_text="The hash that was looked at, as the request has it; another by now is refused."
    )


class ObjectionSerializer(VerdictSerializer):
    withdraw = serializers.BooleanField(required=False, help_text="Take your objection back.")


class EmergencyPublishSerializer(serializers.Serializer[Any]):
    reason = serializers.CharField(max_length=2000, help_text="Everybody concerned is told.")


class CancelSerializer(serializers.Serializer[Any]):
    reason = serializers.CharField(required=False, allow_blank=True, max_length=2000, help_text=_REASON)


class RebaseSerializer(serializers.Serializer[Any]):
    keep = serializers.BooleanField(
        required=False, help_text="Let this request's values win where somebody else changed the same."
    )
