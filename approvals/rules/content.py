"""The content that an approval is bound to: the documents that would be served, and their hash."""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from audit.chain import canonical

# What a document has under another name, as ranges.
_WORKED_OUT: Final = frozenset({"rollout"})
# What differs in every step without meaning anything else.
_BOOKKEEPING: Final = frozenset({"version", "createdAt", "updatedAt"})


@dataclass(frozen=True, slots=True)
class Part:
    """One thing of an environment before and after a request, as evaluators get it. None: it is not served.

    `environment` is `project/environment`. The presentation is what evaluators do not get: name, description, tags.
    `is_salt_dealt`: the act itself has drawn the salt, and draws another whenever it is made.
    """

    environment: str
    entity: str
    key: str
    before: Mapping[str, Any] | None
    after: Mapping[str, Any] | None
    presentation_before: Mapping[str, Any]
    presentation: Mapping[str, Any]
    is_salt_dealt: bool = False

    @property
    def is_changed(self) -> bool:
        return self.is_served_changed or self.presentation_before != self.presentation

    @property
    def is_served_changed(self) -> bool:
        """Whether the document differs by more than its version, or the tags that a policy may ask for."""
        tags = [shown.get("tags", []) for shown in (self.presentation_before, self.presentation)]
        return plain(self.before, self.before) != plain(self.after, self.before) or tags[0] != tags[1]


def hash_of(parts: Iterable[Part], unseen: Iterable[Any] = ()) -> str:
    """Return the SHA-256 of what the request would leave behind. The order in which it does so plays no part.

    `unseen` is what it says beside its parts: what they do not show.
    """
    listed = sorted(
        (
            [
                part.environment,
                part.entity,
                part.key,
                plain(part.after, part.before, is_salt_dealt=part.is_salt_dealt),
                dict(part.presentation),
            ]
            for part in parts
        ),
        key=lambda row: (row[0], row[1], row[2]),
    )
    content = [listed, said] if (said := list(unseen)) else listed
    return hashlib.sha256(canonical(content).encode()).hexdigest()


def unseen_in(changes: Iterable[Mapping[str, Any]], parts: Iterable[Part]) -> list[Any]:
    """Return the fields of the changes that no part shows, such as an experiment's name, guardrails and decision."""
    shown: dict[tuple[str, str], set[str]] = {}
    for part in parts:
        shown.setdefault((part.entity, part.key), set()).update(part.after or (), part.presentation, _WORKED_OUT)
    found = []
    for change in changes:
        name = change["resource"]["type"], change["resource"]["key"]
        hidden = {field: value for field, value in change["patch"].items() if field not in shown.get(name, ())}
        # An environment's change is of many things, each of which is a part.
        if hidden and name[0] != "environment":
            found.append([*name, change["action"], hidden])
    return sorted(found, key=lambda row: (row[0], row[1]))


def plain(document: Mapping[str, Any] | None, before: Mapping[str, Any] | None, *, is_salt_dealt: bool = False) -> Any:
    """Return the document without what is dealt anew whenever the same change is made: versions, ids, a drawn salt.

    Any other salt says who gets which variant, and somebody has chosen it.
    """
    if document is None:
        return None
    there = before or {}
    found = {name: value for name, value in document.items() if name not in _BOOKKEEPING}
    if "rules" in found:
        known = {rule.get("id") for rule in there.get("rules", ())}
        found["rules"] = [
            rule if rule.get("id") in known else {**rule, "id": f"new {index}"}
            for index, rule in enumerate(found["rules"])
        ]
    if is_salt_dealt:
        found["salt"] = "new"
    return found
