"""The forms of an export, an import and its report."""

from typing import Any

from rest_framework import serializers

from tenancy.api.serializers import ChoiceField


class ExportSerializer(serializers.Serializer[Any]):
    format = serializers.CharField()
    formatVersion = serializers.IntegerField()
    exportedAt = serializers.DateTimeField()
    environment = serializers.DictField()
    flags = serializers.ListField(child=serializers.DictField())
    segments = serializers.ListField(child=serializers.DictField())
    layers = serializers.ListField(child=serializers.DictField())
    rolloutPlans = serializers.ListField(
        child=serializers.DictField(), required=False, help_text="Those that are not at their end."
    )


class ImportSerializer(serializers.Serializer[Any]):
    # A flag with a number that nothing can carry is skipped alone.
    numbers_unchecked = frozenset({"data"})
    format = ChoiceField(
        choices=["flagship", "launchdarkly", "unleash", "flagsmith", "growthbook"],
        required=False,
        help_text="flagship by default.",
    )
    data = serializers.DictField(help_text="The exported document.")  # type: ignore[assignment]  # fields are no attributes
    sourceEnvironment = serializers.CharField(
        max_length=100, required=False, help_text="Which environment of another product's file."
    )
    dryRun = serializers.BooleanField(required=False, help_text="Report what would happen, and change nothing.")
    keepExisting = serializers.BooleanField(required=False, help_text="Leave alone what is there already.")


class SkippedSerializer(serializers.Serializer[Any]):
    entity = serializers.CharField()
    key = serializers.CharField(allow_null=True)
    problems = serializers.ListField(child=serializers.DictField())


class ImportedChangeSerializer(serializers.Serializer[Any]):
    entity = serializers.CharField()
    key = serializers.CharField()
    changes = serializers.ListField(child=serializers.DictField(), help_text="Field by field: path, before, after.")
    movedPercent = serializers.FloatField(allow_null=True, help_text="Of the users who get another variant of a flag.")
    basis = serializers.CharField(allow_null=True, help_text="As in an impact: everyone, or undecided.")


class NoteSerializer(serializers.Serializer[Any]):
    entity = serializers.CharField()
    key = serializers.CharField(allow_null=True)
    detail = serializers.CharField()


class ReportSerializer(serializers.Serializer[Any]):
    dryRun = serializers.BooleanField()
    created = serializers.ListField(child=serializers.CharField())
    updated = serializers.ListField(child=serializers.CharField())
    unchanged = serializers.ListField(child=serializers.CharField())
    kept = serializers.ListField(child=serializers.CharField(), help_text="With keepExisting: what stayed as it is.")
    changes = ImportedChangeSerializer(many=True, help_text="What is different in each thing of `updated`.")
    skipped = SkippedSerializer(many=True)
    notes = NoteSerializer(many=True, help_text="What another product's file says that could not be carried over.")
