"""How a flag is asked for in code, and the stand-in for its answer while the code around it is folded."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final

from openflagship.accessors import possible_names, words_of

# A name that nobody's code has. It becomes the value where nothing around it could be folded.
KEPT: Final = "openflagship_kept_value__"

# Calls whose first argument is the key and whose result is the value: of our clients and of OpenFeature's.
PYTHON_CALLS: Final = frozenset({
    "boolean", "string", "number", "json", "is_enabled", "get_boolean_value", "get_string_value", "get_integer_value",
    "get_float_value", "get_object_value", "get_boolean_value_async", "get_string_value_async",
    "get_integer_value_async", "get_float_value_async", "get_object_value_async",
})  # fmt: skip
JAVASCRIPT_CALLS: Final = frozenset({
    "boolean", "string", "number", "json", "isEnabled", "getBooleanValue", "getStringValue", "getNumberValue",
    "getObjectValue", "useBooleanFlagValue", "useStringFlagValue", "useNumberFlagValue", "useObjectFlagValue",
})  # fmt: skip


@dataclass(frozen=True, slots=True)
class Target:
    """The flag to take out, the value to keep, and further calls that ask.

    `constants` are names that hold its key in the file that is cleaned. `doubtful` ones do so elsewhere, or may hold
    something else too: what uses them is left to a person.
    """

    key: str
    value: Any
    constants: frozenset[str] = frozenset()
    calls: frozenset[str] = frozenset()
    doubtful: frozenset[str] = frozenset()

    @property
    def is_plain_word(self) -> bool:
        """Whether its accessor is a single word, which other things may be called too."""
        return len(words_of(self.key)) == 1

    def accessors(self, language: str) -> tuple[str, ...]:
        return possible_names(language, self.key)


@dataclass(frozen=True, slots=True)
class Import:
    """A name that a file imports, and its name there. The module is one of `places`, which are paths from the root."""

    name: str
    local: str
    places: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Names:
    """What a file says about names of a key: `constants` hold nothing else, `others` may, and `imports` are by name."""

    constants: frozenset[str] = frozenset()
    others: frozenset[str] = frozenset()
    imports: tuple[Import, ...] = ()


def is_of_flags(receiver: str) -> bool:
    """Whether a name is that of generated accessors. What else has a method of that name is some other thing."""
    return receiver.lower().endswith("flags")


@dataclass(frozen=True, slots=True)
class ByHand:
    """A place that is left to a person, with the reason. The line is that of the code after the diff."""

    line: int
    why: str


@dataclass(slots=True)
class Cleaned:
    """A file's text without the flag. It is the same text where nothing could be taken out."""

    text: str
    by_hand: list[ByHand] = field(default_factory=list)
