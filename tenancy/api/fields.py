"""Serializer fields whose refusals name the allowed values."""

from typing import Any

from rest_framework import serializers


class ChoiceField(serializers.ChoiceField):
    """A choice whose refusal names the choices."""

    def __init__(self, choices: Any, **kwargs: Any) -> None:
        super().__init__(choices, **kwargs)
        self.error_messages["invalid_choice"] = f"Use one of: {', '.join(map(str, self.choices))}."
