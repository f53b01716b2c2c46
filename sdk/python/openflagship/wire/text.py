"""Which text can be stored and sent on: the one check behind every door."""

from __future__ import annotations

from typing import Any, Final

NUL_REFUSAL: Final = "The character U+0000 cannot be stored; leave it out."
SURROGATE_REFUSAL: Final = "Half of a surrogate pair is no character; leave it out."


def text_problem(text: str) -> tuple[str, str] | None:
    """The code and the remedy for text that no store takes; None for any other."""
    if "\x00" in text:
        return "null_characters_not_allowed", NUL_REFUSAL
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError:
            return "surrogate_characters_not_allowed", SURROGATE_REFUSAL
    return None


def first_text_problem(attributes: dict[str, Any]) -> tuple[str, str, str] | None:
    """The name, the code and the remedy of the first attribute whose text no store takes."""
    for name, value in attributes.items():
        if value.__class__ is str and ("\x00" in value or not value.isascii()):
            problem = text_problem(value)
            if problem is not None:
                return name, *problem
    return None
