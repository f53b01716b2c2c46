"""Two people edit one thing at once. The page shows the other's change beside one's own, and neither is lost."""

from collections.abc import Collection, Mapping
from typing import Any

from django.db.models import QuerySet

from audit.models import Entry
from audit.services import diff


def notice_of(
    entries: QuerySet[Entry], base: Mapping[str, Any], theirs: Mapping[str, Any], mine: Collection[str]
) -> dict[str, Any]:
    """Return what `console/conflict.html` shows: who saved, what they changed since `base`, and what both changed.

    `entries` are the thing's in the audit log; `mine` are the names of the fields that this person changed.
    """
    last = entries.order_by("-id").first()
    changes = list(diff(dict(base), dict(theirs)))
    return {
        "who": last.actor_label if last else "Somebody",
        "when": last.occurred_at if last else None,
        "changes": changes,
        "both": sorted({change["path"].partition(".")[0] for change in changes} & set(mine)),
    }


def merge(
    entries: QuerySet[Entry], mine: Mapping[str, Any], theirs: Mapping[str, Any], *, version: int
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return `theirs` with this person's changes over it, and the notice.

    `mine` holds each field of the form as it was sent. What it was opened with stands in the audit log, as the state
    before the first change of `version`.
    """
    first = entries.filter(before__version=version).order_by("-id").first()
    before = first.before if first and first.before else theirs
    base = {name: before.get(name) for name in mine}
    changed = {name: value for name, value in mine.items() if value != base[name]}
    notice = notice_of(entries, base, {name: theirs.get(name) for name in mine}, changed)
    return {**theirs, **changed}, notice
