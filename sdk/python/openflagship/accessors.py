"""The names of generated accessors: what a flag's method is called in Python, TypeScript and Go."""

from __future__ import annotations

import hashlib
import keyword
import re
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Final

_WORD = re.compile(r"[A-Za-z0-9]+")
# The types of the other accessors are looked up in the class first.
_PYTHON_WORDS: Final = frozenset({"self", "keys", "bool", "str", "float"})
# Of the class itself, and of every object; what has a `then` is a promise to `await`.
_TS_WORDS: Final = frozenset({
    "constructor", "prototype", "__proto__", "client", "then", "toString", "valueOf", "toJSON",
})  # fmt: skip
# `go vet` (stdmethods) lets a method of such a name have the standard library's signature alone.
_GO_WORDS: Final = frozenset({
    "Format", "GobDecode", "GobEncode", "MarshalJSON", "MarshalXML", "ReadByte", "ReadFrom", "ReadRune", "Scan", "Seek",
    "UnmarshalJSON", "UnmarshalXML", "UnreadByte", "UnreadRune", "WriteByte", "WriteTo",
})  # fmt: skip
# The mark's length in digits. The longer one is for keys that were made to have the same short one.
_MARK_DIGITS: Final = (8, 64)


def words_of(key: str) -> tuple[str, ...]:
    """The words that names in code are made of."""
    return tuple(_WORD.findall(key)) or ("flag",)


def _snake(key: str) -> str:
    name = "_".join(words_of(key)).lower()
    if name[0].isdigit():
        name = f"flag_{name}"
    return f"{name}_" if keyword.iskeyword(name) or name in _PYTHON_WORDS else name


def _capitalised(key: str) -> str:
    name = "".join(word[0].upper() + word[1:] for word in words_of(key))
    return f"Flag{name}" if name[0].isdigit() else name


def _pascal(key: str) -> str:
    name = _capitalised(key)
    return f"{name}_" if name in _GO_WORDS else name


def _camel(key: str) -> str:
    name = _capitalised(key)
    name = name[0].lower() + name[1:]
    return f"{name}_" if name in _TS_WORDS else name


_PLAIN: Final[dict[str, Callable[[str], str]]] = {"py": _snake, "ts": _camel, "go": _pascal}


def plain_name(language: str, key: str) -> str:
    """The name of a flag's accessor where no other flag would have it too."""
    return _PLAIN[language](key)


def _marked(language: str, key: str, digits: int) -> str:
    """The name with a mark made of the key alone. No plain name has such an end: its underscores part words."""
    mark = hashlib.sha256(key.encode("utf-8", "surrogatepass")).hexdigest()[:digits]
    name = plain_name(language, key).removesuffix("_")
    return f"{name}__{mark}" if language == "py" else f"{name}_{mark}"


def names_for(language: str, keys: Iterable[str]) -> dict[str, str]:
    """The name of each flag's accessor.

    Flags that would share a name all have a mark, and none has the plain name. So another flag of that name, which
    comes or goes, is an error where the plain name is used; the name never becomes that of another flag.
    """
    names = {key: plain_name(language, key) for key in keys}
    for digits in _MARK_DIGITS:
        times = Counter(names.values())
        names |= {key: _marked(language, key, digits) for key, name in names.items() if times[name] > 1}
    return names


def possible_names(language: str, key: str) -> tuple[str, ...]:
    """What a flag's accessor may be called, whichever other flags there are: the plain name, and the marked ones."""
    return (plain_name(language, key), *(_marked(language, key, digits) for digits in _MARK_DIGITS))
