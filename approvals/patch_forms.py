"""The forms of patches that no route of their own takes."""

from typing import Any

from rest_framework import serializers

from tenancy.api.serializers import ChoiceField
from tenancy.models import Exposures


class CopiedSerializer(serializers.Serializer[Any]):
    # `from` is a word of Python.
    def get_fields(self) -> dict[str, Any]:
        return {"from": serializers.CharField(max_length=63, help_text="The key of the environment to copy from.")}


class ImportedSerializer(serializers.Serializer[Any]):
    # A flag with a number that nothing can carry is refused by its own check.
    numbers_unchecked = frozenset({"data"})
    data = serializers.DictField(help_text="What an export gave.")  # type: ignore[assignment]  # fields are no attributes
    keepExisting = serializers.BooleanField(required=False)


class LoggedExposuresSerializer(serializers.Serializer[Any]):
    exposures = ChoiceField(choices=Exposures.choices)
