"""Semantic versions as keys that compare by semver.org precedence."""

from __future__ import annotations

import re
from functools import lru_cache

_NUMBER = r"(0|[1-9][0-9]*)"
_PATTERN = re.compile(
    rf"[vV]?{_NUMBER}(?:\.{_NUMBER})?(?:\.{_NUMBER})?"
    r"(?:-([0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*))?"
    r"(?:\+[0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*)?"
)
# A number is stored as (digits, text), which sorts like the number and has no limit on its length.
Number = tuple[int, str]
Identifier = tuple[int, int, str]
VersionKey = tuple[Number, Number, Number, tuple[Identifier, ...]]

# A release stands above its pre-releases: its only identifier is higher than any real one.
_RELEASE: tuple[Identifier, ...] = ((2, 0, ""),)
_LONGEST_REMEMBERED = 64


def version_key(text: str) -> VersionKey | None:
    """A key that sorts like the version; None where the text is not a version.

    A leading v or V is allowed, missing minor and patch numbers are 0, build metadata is ignored.
    """
    # Few versions are in use at a time. A long text is more likely an attack on memory than a version.
    return _remembered_key(text) if len(text) <= _LONGEST_REMEMBERED else _key(text)


def _key(text: str) -> VersionKey | None:
    match = _PATTERN.fullmatch(text)
    if match is None:
        return None
    major, minor, patch, identifiers = match.groups()
    if identifiers is None:
        return _number(major), _number(minor), _number(patch), _RELEASE
    keys = []
    for identifier in identifiers.split("."):
        if not identifier.isdigit():
            keys.append((1, 0, identifier))
        elif identifier[0] == "0" and identifier != "0":
            return None
        else:
            keys.append((0, len(identifier), identifier))
    return _number(major), _number(minor), _number(patch), tuple(keys)


_remembered_key = lru_cache(maxsize=1024)(_key)


def _number(digits: str | None) -> Number:
    return (1, "0") if digits is None else (len(digits), digits)
