"""The table of results in the docs."""

from __future__ import annotations

from typing import Final, TypeAlias

from sdk.conformance.registry import CASES
from sdk.conformance.service import KINDS, ROOT

DOCS: Final = ROOT / "docs" / "reference" / "conformance.md"
HOLDS: Final = "holds"
NOT_APPLICABLE: Final = "not applicable"
# By the case's and the service's name.
Results: TypeAlias = dict[tuple[str, str], str]

_SIGNS = {HOLDS: "yes", NOT_APPLICABLE: "-"}
_HEAD = """# Conformance of the SDKs

One behaviour in every language: `sdk/conformance` puts each SDK through the same cases against mocked servers.
`python -m sdk.conformance --write` writes this table from a run in which every case held. The tests run the same cases,
and compare the names. `-`: the SDK has nothing that the case is about; the reason stands at the end.
"""


def table(results: Results) -> str:
    """The page."""
    names = list(KINDS)
    lines = [_HEAD]
    for group in dict.fromkeys(one.group for one in CASES.values()):
        lines += [f"## {group.capitalize()}", f"| case | {' | '.join(names)} |", f"|---|{'---|' * len(names)}"]
        for one in CASES.values():
            if one.group == group:
                signs = [_SIGNS.get(results[one.name, name], results[one.name, name]) for name in names]
                lines.append(f"| {one.title} | {' | '.join(signs)} |")
        lines.append("")
    lines.append("## What does not apply, and why")
    lines += [f"- `{name}`: {kind.why_not}." for name, kind in KINDS.items() if kind.why_not]
    return "\n".join(lines) + "\n"


def names_in(page: str) -> list[str]:
    """The cases' names that a page lists."""
    found, group = [], ""
    for line in page.splitlines():
        if line.startswith("## "):
            group = line[3:].lower()
        elif line.startswith("| ") and not line.startswith("| case |"):
            found.append(f"{group}: {line[2:].split(' | ')[0]}")
    return found
