"""Finding many names in a text in one pass, however many flags there are.

The pass splits the text into words once. A name can only be there if all of its words are, so that the exact search is
made for the few names that are likely.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from openflagship.references.names import Kind, Name

_WORD = re.compile(rb"\w+")
_QUOTES: Final = b"\"'`"
_WORD_BYTES: Final = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_")
# What continues a key, and what continues an identifier.
_KEY_BYTES: Final = _WORD_BYTES | frozenset(b"-")
# Every byte that is of no word becomes a space: splitting there takes half the time that a pattern takes.
_SPACED: Final = bytes(byte if byte in _WORD_BYTES else ord(" ") for byte in range(256))
_IDENTIFIER_BYTES: Final = _WORD_BYTES | frozenset(b"$")
_CALLED = re.compile(rb"\s*\(")
_ON_FLAGS = re.compile(rb"[Ff]lags\s*(?:\(\))?\s*\??\.\s*\Z")
_LOOK_BACK_BYTES = 40


@dataclass(frozen=True, slots=True)
class Hit:
    """A flag on a line, which counts from 1. `alias` is what stands there for the key."""

    key: str
    line: int
    alias: str


@dataclass(frozen=True, slots=True)
class _Sought:
    name: Name
    text: bytes
    words: frozenset[bytes]


class Matcher:
    """All names of all flags, ready to look at one text after the other."""

    def __init__(self, names: Iterable[Name]) -> None:
        sought = [
            _Sought(name, text, words)
            for name in dict.fromkeys(names)
            if (words := frozenset(_WORD.findall(text := name.text.encode())))
        ]
        # Of a name's words the one that fewest names have is looked up, so that a word of many flags costs nothing.
        names_with = Counter(word for one in sought for word in one.words)
        by_rarest: defaultdict[bytes, list[_Sought]] = defaultdict(list)
        for one in sought:
            by_rarest[min(one.words, key=lambda word: (names_with[word], -len(word), word))].append(one)
        self._by_rarest = dict(by_rarest)
        self._rarest = frozenset(by_rarest)

    def hits(self, text: bytes, suffix: str) -> list[Hit]:
        """Each flag once on each line that refers to it, by line. `suffix`: of the file, such as `.py`."""
        words = set(text.translate(_SPACED).split())
        found: list[tuple[int, Name]] = []
        for word in words.intersection(self._rarest):
            for sought in self._by_rarest[word]:
                name = sought.name
                if sought.words <= words and (not name.suffixes or suffix in name.suffixes):
                    found += ((at, name) for at in _places(text, sought))
        if not found:
            return []
        found.sort(key=lambda one: (one[0], one[1].text))
        return list(_on_lines(text, found))


def _on_lines(text: bytes, found: list[tuple[int, Name]]) -> Iterator[Hit]:
    line, counted_to = 1, 0
    seen: set[str] = set()
    for at, name in found:
        passed = text.count(b"\n", counted_to, at)
        if passed:
            seen.clear()
        line, counted_to = line + passed, at
        if name.key not in seen:
            seen.add(name.key)
            yield Hit(name.key, line, name.text)


def _places(text: bytes, sought: _Sought) -> Iterator[int]:
    at = text.find(sought.text)
    while at >= 0:
        end = at + len(sought.text)
        if _counts(text, at, end, sought.name.kind):
            yield at
        at = text.find(sought.text, at + 1)


def _counts(text: bytes, at: int, end: int, kind: Kind) -> bool:
    before, after = text[at - 1 : at], text[end : end + 1]
    if kind is Kind.QUOTED:
        return bool(before) and before == after and before in _QUOTES
    continued = _KEY_BYTES if kind is Kind.KEY else _IDENTIFIER_BYTES
    if (before and before[0] in continued) or (after and after[0] in continued):
        return False
    if kind is Kind.ACCESSOR:
        return before == b"."
    if kind is Kind.WORD_ACCESSOR:
        head = text[max(0, at - _LOOK_BACK_BYTES) : at]
        return _CALLED.match(text, end) is not None and _ON_FLAGS.search(head) is not None
    return True
