"""The forms of requests and answers. The services check what a valid form may not say."""

from collections.abc import Callable
from functools import partial
from typing import Any

from drf_spectacular.utils import extend_schema_field, extend_schema_serializer
from rest_framework import serializers
from rest_framework.exceptions import ErrorDetail

from flags.fields import RESOURCE_FIELDS
from flags.models import MAX_LINKS, MAX_UNIT_NAME_CHARACTERS, Flag
from tenancy.api.serializers import ChoiceField
from tenancy.models import Exposures
from tenancy.refusals import unknown_field


class Part(serializers.Serializer[Any]):
    """A part of a flag. It refuses unknown fields: a rule with `condition` for `conditions` would match everybody."""

    def to_internal_value(self, data: Any) -> Any:
        if isinstance(data, dict):
            unknown = [str(name) for name in data if name not in self.fields]
            if unknown:
                raise serializers.ValidationError({
                    name: ErrorDetail(unknown_field(name), code="unknown_field") for name in unknown
                })  # fmt: skip
        return super().to_internal_value(data)


class TrueOrFalse(serializers.BooleanField):
    """Takes JSON booleans only."""

    def to_internal_value(self, data: Any) -> bool:
        if not isinstance(data, bool):
            self.fail("invalid", input=data)
        return data


class PercentField(serializers.FloatField):
    """Takes JSON numbers only."""

    def to_internal_value(self, data: Any) -> float:
        if isinstance(data, (bool, str)):
            self.fail("invalid")
        return super().to_internal_value(data)


class VariantSerializer(Part):
    key = serializers.CharField(max_length=100)
    value = serializers.JSONField()


class PrerequisiteSerializer(Part):
    flagKey = serializers.CharField(max_length=100)
    variants = serializers.ListField(child=serializers.CharField(max_length=100), allow_empty=False)


class TargetSerializer(Part):
    variant = serializers.CharField(max_length=100)
    userIds = serializers.ListField(child=serializers.CharField(max_length=1024))


@extend_schema_serializer(component_name="RolloutShare")
class ShareSerializer(Part):
    variant = serializers.CharField(max_length=100)
    percent = PercentField(help_text="0 to 100, at most two decimals.")


class LinkSerializer(Part):
    title = serializers.CharField(max_length=200, default="", allow_blank=True)
    url = serializers.CharField(max_length=2000, help_text="http or https.")


class DayField(serializers.DateField):
    """A day as text, which documents and the audit log hold."""

    def to_internal_value(self, value: Any) -> Any:
        return super().to_internal_value(value).isoformat()


_CONDITION_SCHEMA = {
    "type": "object",
    "description": "A condition {attribute, operator, value}, or a group {all: […]}, {any: […]} or {not: …}.",
    "additionalProperties": {},
}


@extend_schema_field({"oneOf": [{"type": "array", "items": _CONDITION_SCHEMA}, _CONDITION_SCHEMA]})
class ConditionsField(serializers.JSONField):
    """A rule's conditions: a list, all of which have to hold, or a tree. The contract's own reader checks the rest."""

    def to_internal_value(self, data: Any) -> Any:
        if not isinstance(data, (list, dict)):
            raise serializers.ValidationError(
                "Give a list of conditions, or one all, any or not group.", code="wrong_type"
            )
        return super().to_internal_value(data)


_NAME_SCHEMA = {"type": "string", "minLength": 1, "maxLength": MAX_UNIT_NAME_CHARACTERS}


@extend_schema_field({
    "oneOf": [_NAME_SCHEMA, {"type": "array", "items": _NAME_SCHEMA, "minItems": 1, "maxItems": 3}],
    "description": "The attribute that is hashed, or up to three distinct ones: the first that is there.",
})  # fmt: skip
class UnitNamesField(serializers.CharField):
    """The name of an attribute, or a list of them. A list of one is its name."""

    def to_internal_value(self, data: Any) -> Any:
        if not isinstance(data, list):
            return super().to_internal_value(data)
        problems: dict[Any, Any] = {}
        for index, name in enumerate(data):
            try:
                if not isinstance(name, str):
                    self.fail("invalid")
                self.run_validation(name)
            except serializers.ValidationError as error:
                problems[index] = error.detail
        if problems:
            raise serializers.ValidationError(problems)
        names = [super(UnitNamesField, self).to_internal_value(name) for name in data]
        return names[0] if len(names) == 1 else names

    def run_validators(self, value: Any) -> None:
        if not isinstance(value, list):
            super().run_validators(value)

    def to_representation(self, value: Any) -> Any:
        return value


class RuleSerializer(Part):
    id = serializers.UUIDField(required=False)
    priority = serializers.IntegerField(min_value=0, max_value=2**31 - 1)
    name = serializers.CharField(max_length=200, required=False, allow_blank=True)
    conditions = ConditionsField(required=False)
    variant = serializers.CharField(max_length=100, required=False)
    rollout = ShareSerializer(many=True, required=False)


# The forms of a flag's fields in the API, by the names that `flags.fields` uses.
FORMS: dict[str, Callable[[], serializers.Field[Any, Any, Any, Any]]] = {
    "key": partial(serializers.CharField, max_length=100, required=False),
    "name": partial(serializers.CharField, max_length=200, required=False),
    "text": partial(serializers.CharField, required=False, allow_blank=True, max_length=10_000),
    "unit_names": partial(UnitNamesField, max_length=MAX_UNIT_NAME_CHARACTERS, required=False),
    "type": partial(ChoiceField, choices=Flag.Type.choices, required=False),
    "tags": lambda: serializers.ListField(child=serializers.CharField(max_length=60), required=False),
    "person": partial(
        serializers.CharField,
        max_length=150,
        required=False,
        allow_null=True,
        help_text="The user name of somebody with a role in the project.",
    ),
    "team": partial(serializers.CharField, max_length=60, required=False, allow_null=True),
    "kind": partial(ChoiceField, choices=Flag.Kind.choices, required=False, allow_null=True),
    "boolean_or_null": partial(TrueOrFalse, required=False, allow_null=True, help_text="null: as its kind is."),
    "day": partial(DayField, required=False, allow_null=True),
    "links": partial(LinkSerializer, many=True, required=False, max_length=MAX_LINKS),  # type: ignore[call-arg]  # of a list
    "object": partial(serializers.DictField, required=False),
    "variants": partial(VariantSerializer, many=True, required=False),
    "boolean": partial(TrueOrFalse, required=False),
    "prerequisites": partial(PrerequisiteSerializer, many=True, required=False),
    "targets": partial(TargetSerializer, many=True, required=False),
    "rules": partial(RuleSerializer, many=True, required=False),
    "rollout": partial(ShareSerializer, many=True, required=False),
    "exposures": partial(ChoiceField, choices=Exposures.choices, required=False, allow_null=True),
    "version": partial(
        serializers.IntegerField, required=False, help_text="The version that was read; required to change."
    ),
    "shown": partial(serializers.CharField, read_only=True),
    "shown_or_null": partial(serializers.CharField, read_only=True, allow_null=True),
    "moment": partial(serializers.DateTimeField, read_only=True),
}


class FlagSerializer(serializers.Serializer[Any]):
    """A flag as one environment sees it."""

    def get_fields(self) -> dict[str, Any]:
        return {field.name: FORMS[field.form]() for field in RESOURCE_FIELDS} | super().get_fields()


class KillSerializer(serializers.Serializer[Any]):
    variant = serializers.CharField(max_length=100, required=False, help_text="The off variant when left out.")
    reason = serializers.CharField(required=False, allow_blank=True, max_length=2000)


class ReasonSerializer(serializers.Serializer[Any]):
    reason = serializers.CharField(required=False, allow_blank=True, max_length=2000)


class KilledSerializer(serializers.Serializer[Any]):
    flagKey = serializers.CharField()
    killSwitchVariant = serializers.CharField(allow_null=True)
    configVersion = serializers.IntegerField(help_text="Whoever has applied this version obeys.")


class PurgeSerializer(serializers.Serializer[Any]):
    confirm = serializers.CharField(max_length=200, help_text="The flag's key.")
    reason = serializers.CharField(required=False, allow_blank=True, max_length=2000)


class KillManySerializer(serializers.Serializer[Any]):
    """Either `tag`, or `all` with `confirm`."""

    tag = serializers.CharField(required=False, max_length=60)
    all = serializers.BooleanField(required=False, help_text="Every active flag. An owner alone may do it.")
    confirm = serializers.CharField(required=False, max_length=200, help_text="With `all`: the environment's key.")
    reason = serializers.CharField(required=False, allow_blank=True, max_length=2000)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if bool(attrs.get("all")) == ("tag" in attrs):
            raise serializers.ValidationError(
                {"tag": "Name a tag, or send all: true with confirm: <the environment's key>; not both."}, "required"
            )
        if "tag" in attrs and "confirm" in attrs:
            raise serializers.ValidationError({"confirm": "It belongs to all: true; leave it out."}, "unknown_field")
        return attrs


class KilledManySerializer(serializers.Serializer[Any]):
    tag = serializers.CharField(required=False, help_text="The tag that was sent.")
    flags = serializers.ListField(child=serializers.CharField(), help_text="The keys of the flags it concerns.")
    configVersion = serializers.IntegerField(help_text="Whoever has applied this version obeys.")


class RollbackSerializer(serializers.Serializer[Any]):
    version = serializers.IntegerField(help_text="The flag's version to go back to.")
    reason = serializers.CharField(required=False, allow_blank=True, max_length=2000)


class ChangeSerializer(serializers.Serializer[Any]):
    path = serializers.CharField()
    before = serializers.JSONField(allow_null=True)
    after = serializers.JSONField(allow_null=True)


class VersionSerializer(serializers.Serializer[Any]):
    version = serializers.IntegerField(allow_null=True, help_text="The flag's; null where it was archived.")
    configVersion = serializers.IntegerField(help_text="The environment's, after this change.")
    kind = serializers.CharField()
    actor = serializers.CharField()
    createdAt = serializers.DateTimeField()
    flag = FlagSerializer(allow_null=True)
    changes = ChangeSerializer(many=True)


class SegmentSerializer(serializers.Serializer[Any]):
    key = serializers.CharField(max_length=100, required=False)
    name = serializers.CharField(max_length=200, required=False)
    included = serializers.ListField(child=serializers.CharField(max_length=1024), required=False)
    excluded = serializers.ListField(child=serializers.CharField(max_length=1024), required=False)
    conditions = serializers.JSONField(
        required=False, allow_null=True, help_text="A condition, or {all: […]}, {any: […]}, {not: …}."
    )
    version = serializers.IntegerField(required=False, help_text="The version that was read; required to change.")
    createdAt = serializers.DateTimeField(read_only=True)
    updatedAt = serializers.DateTimeField(read_only=True)


class LayerSlotSerializer(serializers.Serializer[Any]):
    id = serializers.UUIDField(help_text="The experiment's.")
    start = serializers.IntegerField()
    end = serializers.IntegerField(help_text="Exclusive.")


class HoldoutSerializer(serializers.Serializer[Any]):
    start = serializers.IntegerField()
    end = serializers.IntegerField(help_text="Exclusive.")


class LayerSerializer(serializers.Serializer[Any]):
    key = serializers.CharField(max_length=100, required=False)
    name = serializers.CharField(max_length=200, required=False)
    salt = serializers.CharField(read_only=True)
    experiments = LayerSlotSerializer(many=True, read_only=True)
    holdoutPercent = PercentField(
        required=False, min_value=0, max_value=100, help_text="Of the users, for no experiment of the layer."
    )
    holdout = HoldoutSerializer(read_only=True, allow_null=True)
    version = serializers.IntegerField(required=False, help_text="The version that was read; required to change.")
    createdAt = serializers.DateTimeField(read_only=True)
    updatedAt = serializers.DateTimeField(read_only=True)


class CopySerializer(serializers.Serializer[Any]):
    to = serializers.CharField(max_length=63, help_text="The key of another environment of the project.")
    reason = serializers.CharField(required=False, allow_blank=True, max_length=2000)


_SOURCE = "Who asks; else the credential's name."


class PublishedSerializer(serializers.Serializer[Any]):
    flagKey = serializers.CharField()
    version = serializers.IntegerField()
    configVersion = serializers.IntegerField()
    published = serializers.BooleanField(help_text="Whether this request published a change that waited.")


class EvaluateSerializer(serializers.Serializer[Any]):
    flagKey = serializers.CharField()
    userId = serializers.CharField(required=False, allow_null=True)
    attributes = serializers.DictField(required=False)
    defaultValue = serializers.JSONField(required=False)
    source = serializers.CharField(required=False, max_length=100, help_text=_SOURCE)  # type: ignore[assignment]  # as above


class EvaluateAllSerializer(serializers.Serializer[Any]):
    userId = serializers.CharField(required=False, allow_null=True)
    attributes = serializers.DictField(required=False)
    flagKeys = serializers.ListField(child=serializers.CharField(), required=False)
    source = serializers.CharField(required=False, max_length=100, help_text=_SOURCE)  # type: ignore[assignment]  # as above


class AnswerOfManySerializer(serializers.Serializer[Any]):
    flagKey = serializers.CharField()
    variant = serializers.CharField(allow_null=True)
    value = serializers.JSONField(allow_null=True)
    reason = serializers.CharField()
    ruleId = serializers.CharField(required=False)
    experiment = serializers.CharField(required=False)
    errorCode = serializers.CharField(required=False)
    detail = serializers.CharField(required=False)
    evaluationId = serializers.UUIDField()
    configVersion = serializers.IntegerField()
    stale = serializers.BooleanField()


class AnswerSerializer(AnswerOfManySerializer):
    userId = serializers.CharField(allow_null=True)


class AnswersSerializer(serializers.Serializer[Any]):
    userId = serializers.CharField(allow_null=True)
    configVersion = serializers.IntegerField()
    flags = serializers.DictField(child=AnswerOfManySerializer())


class SigningKeySerializer(serializers.Serializer[Any]):
    generation = serializers.IntegerField()
    secret = serializers.CharField(help_text="The key of the HMAC, as text.")


class SigningKeysSerializer(serializers.Serializer[Any]):
    keys = SigningKeySerializer(many=True, help_text="The one in use first; the one before it while it is valid.")
