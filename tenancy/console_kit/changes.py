"""What changed, in plain English: one sentence for each field, with words of its own where an app gives some."""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

# (before, after) of one field, to its sentences.
Words = Callable[[Any, Any], Iterable[str]]
# Every change sets these fields, and pages show them elsewhere.
BOOKKEEPING = frozenset({"version", "updatedAt", "createdAt"})
_LONGEST = 80
_MOST_LISTED = 8
_words: dict[str, Words] = {}


def register_words(field: str, words: Words) -> None:
    """Give a field, by its name in documents, words of its own."""
    _words[field] = words


def sentences(changes: Iterable[Mapping[str, Any]]) -> list[str]:
    """Return what the changes `{path, before, after}` say."""
    said: list[str] = []
    for change in changes:
        path = str(change["path"])
        if path in BOOKKEEPING:
            continue
        words = _words.get(path)
        before, after = change["before"], change["after"]
        try:
            found = list(words(before, after)) if words is not None else []
        except (AttributeError, IndexError, KeyError, TypeError, ValueError):
            found = []  # An entry of an old release has another shape. The plain words fit any.
        said += found or [plain(label_of(path), before, after)]
    return said


def label_of(path: str) -> str:
    """Return a field's path in words: `analysis.plannedUsers` is "Analysis, planned users"."""
    parts = [re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", part).replace("_", " ").lower() for part in path.split(".")]
    text = ", ".join(parts)
    return text[:1].upper() + text[1:]


def plain(label: str, before: Any, after: Any) -> str:
    if isinstance(before, bool) or isinstance(after, bool):
        return f"{label}: {said(after)}." if before is None else f"{label}: {said(after)}, was {said(before)}."
    if _is_list_of_names(before) and _is_list_of_names(after):
        gone = [item for item in before or [] if item not in (after or [])]
        come = [item for item in after or [] if item not in (before or [])]
        parts = [f"adds {_listed(come)}" if come else "", f"removes {_listed(gone)}" if gone else ""]
        return f"{label}: {'; '.join(part for part in parts if part) or 'in another order'}."
    if before in (None, "", [], {}):
        return f"{label}: {said(after)}."
    if after in (None, "", [], {}):
        return f"{label}: removed, was {said(before)}."
    return f"{label}: {said(after)}, was {said(before)}."


def said(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if value in (None, "", [], {}):
        return "nothing"
    if isinstance(value, (list, dict)):
        return f"{len(value)} entries" if len(value) != 1 else "1 entry"
    text = str(value)
    return f"“{text[:_LONGEST]}…”" if len(text) > _LONGEST else f"“{text}”" if isinstance(value, str) else text


def _is_list_of_names(value: Any) -> bool:
    return value is None or (isinstance(value, list) and all(isinstance(item, (str, int)) for item in value))


def _listed(items: Sequence[Any]) -> str:
    shown = ", ".join(str(item) for item in items[:_MOST_LISTED])
    return f"{shown} and {len(items) - _MOST_LISTED:,} more" if len(items) > _MOST_LISTED else shown
