"""Names of things that the audit log knows by an id: found by name, and shown by name. Apps above register theirs."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass

from django.http import HttpRequest


@dataclass(frozen=True, slots=True)
class Naming:
    """`names` maps the ids that this person may see to names; `found` returns the ids whose names hold a text."""

    names: Callable[[HttpRequest, Collection[str]], Mapping[str, str]]
    found: Callable[[HttpRequest, str], Collection[str]]


_NAMINGS: dict[str, Naming] = {}


def register_naming(entity_type: str, naming: Naming) -> None:
    _NAMINGS[entity_type] = naming


def names_of(request: HttpRequest, entity_type: str, ids: Collection[str]) -> Mapping[str, str]:
    naming = _NAMINGS.get(entity_type)
    return naming.names(request, ids) if naming is not None and ids else {}


def ids_named(request: HttpRequest, text: str) -> list[str]:
    """Return the ids of everything whose name holds the text."""
    return [each for naming in _NAMINGS.values() for each in naming.found(request, text)]
