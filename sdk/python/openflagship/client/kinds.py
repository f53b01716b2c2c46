"""What a caller may ask a flag for: the kinds of the typed getters, and further ones for wrappers of the client."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final


@dataclass(frozen=True, slots=True)
class Kind:
    """`flag_type`: the one type of flags that is asked for; None for any whose value `is_right`."""

    name: str
    flag_type: str | None
    is_right: Callable[[Any], bool]

    def problem(self, flag_type: str | None, value: Any) -> str | None:
        """Why a flag of that type with that value is another kind's; None where it is of this one."""
        if self.refuses(flag_type):
            return f"The flag's type is {flag_type}, asked for was {self.name}."
        # A flag says of itself that it is json; what an override or a flag without a type gives, its value says.
        if self.is_right(value) or (flag_type == "json" and self.flag_type == "json"):
            return None
        return f"The flag's value is {type(value).__name__}, asked for was {self.name}."

    def refuses(self, flag_type: str | None) -> bool:
        """Whether no flag of that type can be right."""
        return None not in (flag_type, self.flag_type) and flag_type != self.flag_type


def is_boolean(value: Any) -> bool:
    return isinstance(value, bool)


def is_string(value: Any) -> bool:
    return isinstance(value, str)


def is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def is_structure(value: Any) -> bool:
    return isinstance(value, (dict, list))


BOOLEAN: Final = Kind("boolean", "boolean", is_boolean)
STRING: Final = Kind("string", "string", is_string)
NUMBER: Final = Kind("number", "number", is_number)
JSON: Final = Kind("json", "json", is_structure)
