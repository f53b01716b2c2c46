"""A scan's way to the server: which flags there are, and what was found of them, in as few requests as fit."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlencode

from openflagship.management import CommandError, Server
from openflagship.references.history import Gone
from openflagship.references.repository import Repository
from openflagship.references.scanning import Found

_PAGE_SIZE = 200
# Below the server's own limits: 5,000 flags, and a body of a megabyte.
_MOST_FLAGS = 4_000
_MOST_BYTES: Final = 700_000


@dataclass(frozen=True, slots=True)
class KnownFlag:
    """A flag of the project. `on_branch` is its count there; None where the branch was never scanned."""

    key: str
    is_archived: bool
    on_branch: int | None


def known_flags(server: Server, project: str, repository: Repository) -> list[KnownFlag]:
    """Every flag of the project, archived ones too: code may still refer to them. Raises CommandError."""
    asked = {"pageSize": str(_PAGE_SIZE)}
    if project:
        asked["project"] = project
    if repository.name and repository.branch:
        asked |= {"repository": repository.name, "branch": repository.branch}
    found: list[KnownFlag] = []
    page: int | None = 1
    while page is not None:
        answer = server.call("GET", f"/api/references?{urlencode({**asked, 'page': str(page)})}")
        try:
            for row in answer["results"]:
                there = row.get("onBranch")
                found.append(KnownFlag(str(row["key"]), bool(row["isArchived"]), there and int(there["count"])))
            page = page + 1 if answer.get("next") else None
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise CommandError(f"{server.url} does not list flags as FlagShip does") from error
    return found


def report(
    server: Server,
    project: str,
    branch: Mapping[str, Any],
    found: Mapping[str, Found],
    gone: Mapping[str, Gone],
) -> dict[str, Any]:
    """Replace what the server knows of the branch, in parts; returns the answer to the last. Raises CommandError."""
    flags = [_flag(key, each) for key, each in sorted(found.items())]
    lost = [{"key": key, "at": each.at.isoformat(), "revision": each.revision} for key, each in sorted(gone.items())]
    parts = list(_parts(flags, lost))
    path = "/api/references" + (f"?{urlencode({'project': project})}" if project else "")
    common = {**branch, "scan": str(uuid.uuid4())}
    answer: dict[str, Any] = {}
    for number, part in enumerate(parts, start=1):
        answer = server.call("PUT", path, {**common, **part, "isLast": number == len(parts)})
    return answer


def _flag(key: str, found: Found) -> dict[str, Any]:
    places = [
        {"path": place.path, "line": place.line, "alias": place.alias, **({"text": place.text} if place.text else {})}
        for place in found.places
    ]
    return {"key": key, "count": found.count, "places": places}


def _parts(flags: Iterable[dict[str, Any]], lost: Iterable[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """At least one part, so that a branch without references is known to have none."""
    part: dict[str, list[Any]] = {"flags": [], "gone": []}
    size = 0
    for name, row in [*(("flags", row) for row in flags), *(("gone", row) for row in lost)]:
        row_size = len(json.dumps(row))
        if size + row_size > _MOST_BYTES or len(part[name]) >= _MOST_FLAGS:
            yield part
            part, size = {"flags": [], "gone": []}, 0
        part[name].append(row)
        size += row_size
    yield part
