"""A pull request's comment: which flags it adds to the code, takes out of it, and touches."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import quote

from openflagship.management import CommandError, answer_of, decoded
from openflagship.references.history import Change
from openflagship.references.scanning import Found

# By it the next run finds the comment, and changes it instead of adding one.
MARK: Final = "<!-- openflagship refs -->"
_MOST_ROWS = 50
_PAGES = 10
_PAGE_SIZE = 100


@dataclass(frozen=True, slots=True)
class PullRequest:
    api_url: str
    repository: str
    number: int
    token: str


def markdown(changes: Mapping[str, Change], found: Mapping[str, Found]) -> str:
    """The comment. `found` is what the code has with the change."""
    counts = {key: each.count for key, each in found.items()}
    groups: dict[str, list[str]] = {"Added": [], "Removed": [], "Still referenced": []}
    for key, change in sorted(changes.items()):
        now = counts.get(key, 0)
        before = now - change.added + change.removed
        if now and before <= 0:
            groups["Added"].append(f"| `{key}` | first reference | {now} |")
        elif not now:
            groups["Removed"].append(
                f"| `{key}` | no reference is left: it can be archived once this is released | 0 |"
            )
        else:
            groups["Still referenced"].append(
                f"| `{key}` | {change.added} lines added, {change.removed} removed | {now} |"
            )
    lines = [MARK, "### Feature flags in this change"]
    if not changes:
        lines += ["", "No line that refers to a flag is added or removed."]
    for title, rows in groups.items():
        if rows:
            lines += ["", f"**{title}**", "", "| flag | what | references now |", "|---|---|---|", *rows[:_MOST_ROWS]]
        if len(rows) > _MOST_ROWS:
            lines += ["", f"And {len(rows) - _MOST_ROWS} more."]
    return "\n".join(lines) + "\n"


def post(pull: PullRequest, text: str, *, wait_seconds: float) -> str:
    """Write the comment on GitHub, or change the one of an earlier run. Raises CommandError."""
    comments = f"/repos/{quote(pull.repository)}/issues/{pull.number}/comments"
    earlier = _earlier(pull, comments, wait_seconds)
    if earlier is not None:
        _call(pull, "PATCH", f"/repos/{quote(pull.repository)}/issues/comments/{earlier}", {"body": text}, wait_seconds)
        return "changed"
    _call(pull, "POST", comments, {"body": text}, wait_seconds)
    return "written"


def _earlier(pull: PullRequest, comments: str, wait_seconds: float) -> int | None:
    for page in range(1, _PAGES + 1):
        found = _call(pull, "GET", f"{comments}?per_page={_PAGE_SIZE}&page={page}", None, wait_seconds)
        rows = found if isinstance(found, list) else []
        for row in rows:
            if isinstance(row, dict) and str(row.get("body", "")).startswith(MARK) and isinstance(row.get("id"), int):
                return int(row["id"])
        if len(rows) < _PAGE_SIZE:
            break
    return None


def _call(pull: PullRequest, method: str, path: str, body: dict[str, Any] | None, wait_seconds: float) -> Any:
    headers = {
        "Authorization": f"Bearer {pull.token}",
        "Accept": "application/vnd.github+json",
        "Content-Type": "application/json",
        "User-Agent": "openflagship",
    }
    response = answer_of(pull.api_url, method, path, headers, body, wait_seconds=wait_seconds)
    if response.status >= 300:
        said = decoded(response)
        message = said.get("message") if isinstance(said, dict) else None
        raise CommandError(f"{pull.api_url} answered {response.status}: {message or 'no reason given'}")
    return decoded(response)
