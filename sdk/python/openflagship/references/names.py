"""What stands for a flag in code: its key, accessors of `openflagship generate`, and aliases by pattern."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Final

from openflagship.accessors import possible_names, words_of

_HUMP = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+")
_FORM = re.compile(r"\{([^{}]*)\}")
_IDENTIFIER = re.compile(r"[A-Za-z_$][A-Za-z0-9_$]*\Z")
_TYPESCRIPT: Final = frozenset({".ts", ".tsx", ".mts", ".cts", ".js", ".jsx", ".mjs", ".cjs", ".vue", ".svelte"})
# The files in which the accessors of a language are called.
_ACCESSOR_FILES: Final = {"py": frozenset({".py", ".pyi"}), "ts": _TYPESCRIPT, "go": frozenset({".go"})}


class Kind(Enum):
    """How a name must stand in the text to count."""

    KEY = "key"
    # A key that is one plain word, such as `beta`: it counts in quotes alone.
    QUOTED = "quoted"
    ALIAS = "alias"
    # The accessor of a key with several words is called on anything; that of a plain word on something named flags.
    ACCESSOR = "accessor"
    WORD_ACCESSOR = "word accessor"


@dataclass(frozen=True, slots=True)
class Name:
    """A text that stands for a flag; in files of these suffixes alone, where there are any."""

    key: str
    text: str
    kind: Kind
    suffixes: frozenset[str] = frozenset()


class AliasError(ValueError):
    """An alias pattern that cannot be used; the message says why."""


def _pascal(words: Sequence[str]) -> str:
    return "".join(word[0].upper() + word[1:] for word in words)


def _camel(words: Sequence[str]) -> str:
    joined = _pascal(words)
    return joined[0].lower() + joined[1:]


FORMS: Final[dict[str, Callable[[Sequence[str]], str]]] = {
    "camelCase": _camel,
    "PascalCase": _pascal,
    "snake_case": "_".join,
    "UPPER_SNAKE": lambda words: "_".join(words).upper(),
    "kebab-case": "-".join,
    "dot.case": ".".join,
}


def check_template(template: str) -> str:
    """Return the template as it is: the name of a form, or text around one, such as `is{PascalCase}Enabled`.

    Raises AliasError.
    """
    forms = [template] if template in FORMS else _FORM.findall(template)
    if len(forms) != 1 or forms[0] not in FORMS:
        raise AliasError(f"{template!r} is no alias: use one of {', '.join(FORMS)}, or text around one in braces")
    return template


def names_of(key: str, templates: Iterable[str] = ()) -> Iterator[Name]:
    """Everything that stands for a flag in code."""
    is_word = key.isalnum() and len(_HUMP.findall(key)) == 1
    yield Name(key, key, Kind.QUOTED if is_word else Kind.KEY)
    for language, suffixes in _ACCESSOR_FILES.items():
        is_plain = len(words_of(key)) == 1
        for name in possible_names(language, key):
            yield Name(key, name, Kind.WORD_ACCESSOR if is_plain else Kind.ACCESSOR, suffixes)
    words = [part.lower() for word in words_of(key) for part in _HUMP.findall(word) or [word]]
    for template in templates:
        text = (
            FORMS[template](words) if template in FORMS else _FORM.sub(lambda found: FORMS[found[1]](words), template)
        )
        if text != key:
            yield alias(key, text)


def alias(key: str, text: str) -> Name:
    return Name(key, text, Kind.ALIAS if _IDENTIFIER.match(text) else Kind.KEY)
