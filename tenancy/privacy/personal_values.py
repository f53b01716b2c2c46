"""Values that look like personal data. In a flag every service with a key reads them, and the history keeps them."""

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

_PATTERNS: Final = {
    "an e-mail address": re.compile(r"[\w.+-]{1,64}@[\w-]{1,63}(?:\.[\w-]{1,63}){0,4}\.[A-Za-z]{2,24}\b", re.ASCII),
    "a phone number": re.compile(r"(?<![\w+])\+[1-9]\d{0,2}(?:[ .-]?\d){7,12}(?!\d)", re.ASCII),
    "a bank account": re.compile(r"\b[A-Z]{2}\d{2}(?: ?[A-Z0-9]{4}){3,7}\b", re.ASCII),
    "a social security number": re.compile(r"(?<![\d-])\d{3}-\d{2}-\d{4}(?![\d-])", re.ASCII),
}
_CARD: Final = re.compile(r"(?<!\d)\d(?:[ -]?\d){12,18}(?!\d)", re.ASCII)
_LONGEST_LOOKED_AT: Final = 64 * 1024


def personal_data(value: Any) -> str:
    """Return what the value looks like, such as "an e-mail address"; "" where it looks like nothing personal."""
    return next((kind for text in _texts(value) if (kind := _kind(text[:_LONGEST_LOOKED_AT]))), "")


def personal_variants(variants: Iterable[Mapping[str, Any]]) -> dict[str, str]:
    """Return what values of a flag's variants look like, by the variant's key."""
    found = {str(variant.get("key")): personal_data(variant.get("value")) for variant in variants}
    return {key: kind for key, kind in found.items() if kind}


def _kind(text: str) -> str:
    for kind, pattern in _PATTERNS.items():
        if pattern.search(text):
            return kind
    return "a card number" if any(_is_card(match.group()) for match in _CARD.finditer(text)) else ""


def _is_card(text: str) -> bool:
    """Whether the last digit checks the others, as on payment cards (Luhn)."""
    digits = [int(character) for character in reversed(text) if character.isdigit()]
    doubled = [sum(divmod(2 * digit, 10)) for digit in digits[1::2]]
    return digits.count(digits[0]) < len(digits) and (sum(digits[::2]) + sum(doubled)) % 10 == 0


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for inner in value.values():
            yield from _texts(inner)
    elif isinstance(value, (list, tuple)):
        for inner in value:
            yield from _texts(inner)
