"""Problems found in a document, each with the path of the field and a remedy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

Path = tuple["str | int", ...]


@dataclass(frozen=True, slots=True)
class DocumentProblem:
    """One problem: the field, as in `rules[2].conditions[0].value` (empty: the whole document), and the remedy."""

    path: str
    code: str
    message: str


class DecodeError(ValueError):
    """A document was refused; `problems` lists everything wrong with it."""

    def __init__(self, problems: Sequence[DocumentProblem]) -> None:
        self.problems = tuple(problems)
        super().__init__("; ".join(f"{problem.path or 'document'}: {problem.message}" for problem in self.problems))


class Problems:
    """Collects problems while a document is read. After a fatal one there is nothing to evaluate."""

    __slots__ = ("found", "is_fatal")

    def __init__(self) -> None:
        self.found: list[DocumentProblem] = []
        self.is_fatal = False

    def add(self, path: Path, code: str, message: str, *, fatal: bool = False) -> None:
        self.found.append(DocumentProblem(path_text(path), code, message))
        self.is_fatal = self.is_fatal or fatal


def path_text(path: Path) -> str:
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            text += f".{part}" if text else part
    return text
