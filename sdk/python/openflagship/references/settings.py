"""The file `.openflagship.json` at the root of a repository: aliases, constants that name flags, what is left out."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import re2

from openflagship.references.names import AliasError, check_template

FILE: Final = ".openflagship.json"
MOST_FILE_BYTES: Final = 1_000_000
_FIELDS: Final = ("aliases", "constants", "ignore", "maxFileBytes")


class SettingsError(ValueError):
    """The file cannot be used; the message names the field."""


@dataclass(frozen=True, slots=True)
class Constants:
    """A pattern with the groups `alias` and `key`, and the files in which it finds names for keys."""

    files: str
    pattern: Any


@dataclass(frozen=True, slots=True)
class Settings:
    aliases: tuple[str, ...] = ()
    constants: tuple[Constants, ...] = ()
    ignore: tuple[str, ...] = ()
    most_file_bytes: int = MOST_FILE_BYTES
    notes: list[str] = field(default_factory=list)


def read_settings(root: Path, aliases: Iterable[str] = ()) -> Settings:
    """The settings of a repository, with the aliases of the command line. Raises SettingsError."""
    try:
        document: Any = json.loads((root / FILE).read_bytes())
    except FileNotFoundError:
        document = {}
    except (OSError, ValueError, RecursionError) as error:
        raise SettingsError(f"{FILE}: {error}") from error
    if not isinstance(document, dict) or set(document) - set(_FIELDS):
        raise SettingsError(f"{FILE}: use an object with some of {', '.join(_FIELDS)}")
    most = document.get("maxFileBytes", MOST_FILE_BYTES)
    if not isinstance(most, int) or isinstance(most, bool) or most < 1:
        raise SettingsError(f"{FILE}: maxFileBytes is no count of bytes")
    try:
        templates = tuple(check_template(each) for each in (*_texts(document, "aliases"), *aliases))
    except AliasError as error:
        raise SettingsError(str(error)) from error
    return Settings(templates, tuple(_constants(document)), tuple(_texts(document, "ignore")), most)


def _texts(document: dict[str, Any], name: str) -> list[str]:
    value = document.get(name, [])
    if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
        raise SettingsError(f"{FILE}: {name} is no list of texts")
    return value


def _constants(document: dict[str, Any]) -> list[Constants]:
    found = []
    rows = document.get("constants", [])
    for row in rows if isinstance(rows, list) else [rows]:
        if (
            not isinstance(row, dict)
            or not isinstance(row.get("files"), str)
            or not isinstance(row.get("pattern"), str)
        ):
            raise SettingsError(f'{FILE}: constants is a list of {{"files": "…", "pattern": "…"}}')
        try:
            # Linear in the text whatever the pattern, which Python's own engine is not.
            pattern = re2.compile(row["pattern"].encode())
        except re2.error as error:
            raise SettingsError(f"{FILE}: constants: {row['pattern']!r} is no RE2 pattern: {error}") from error
        if not {b"alias", b"key"} <= set(pattern.groupindex):
            raise SettingsError(f"{FILE}: constants: {row['pattern']!r} lacks the group (?P<alias>…) or (?P<key>…)")
        found.append(Constants(row["files"], pattern))
    return found
