"""A Python module as text and tree together, and edits of the text by positions of the tree."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from openflagship.references.cleanup.flags import KEPT


@dataclass(frozen=True, slots=True)
class Edit:
    """Replace the bytes from `start` to `end`."""

    start: int
    end: int
    text: str


class Source:
    """Positions are offsets in the bytes of the text, as Python's parser counts columns. Raises SyntaxError."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.bytes = text.encode()
        self.tree = ast.parse(text)
        self._line_starts = [0]
        for line in self.bytes.splitlines(keepends=True) if b"\f" not in self.bytes else _lines(self.bytes):
            self._line_starts.append(self._line_starts[-1] + len(line))
        self._parents = {child: node for node in ast.walk(self.tree) for child in ast.iter_child_nodes(node)}

    def edited(self, edits: Sequence[Edit]) -> Source:
        """The module after edits. Where one lies in another, the outer one is made alone."""
        found = self.bytes
        begin = len(found) + 1
        for edit in _outermost(edits):
            if edit.end <= begin:
                found = found[: edit.start] + edit.text.encode() + found[edit.end :]
                begin = edit.start
        return Source(found.decode())

    def parent(self, node: ast.AST) -> ast.AST | None:
        return self._parents.get(node)

    def ancestors(self, node: ast.AST) -> Iterator[ast.AST]:
        up = self._parents.get(node)
        while up is not None:
            yield up
            up = self._parents.get(up)

    def is_in_fstring(self, node: ast.AST) -> bool:
        return any(isinstance(each, ast.JoinedStr) for each in self.ancestors(node))

    def stand_ins(self) -> list[ast.Name]:
        found = [node for node in ast.walk(self.tree) if isinstance(node, ast.Name) and node.id == KEPT]
        return sorted(found, key=lambda node: (node.lineno, node.col_offset))

    def span(self, node: ast.expr | ast.stmt) -> tuple[int, int]:
        end_line = node.end_lineno or node.lineno
        start = self._line_starts[node.lineno - 1] + node.col_offset
        return start, self._line_starts[end_line - 1] + (node.end_col_offset or 0)

    def part(self, start: int, end: int) -> str:
        return self.bytes[start:end].decode()

    def of(self, node: ast.expr) -> str:
        return self.part(*self.span(node))

    def line_start(self, number: int) -> int:
        """Where a line begins; that after the last one is the end of the text."""
        return self._line_starts[min(number - 1, len(self._line_starts) - 1)]

    def line(self, number: int) -> str:
        return self.part(self.line_start(number), self.line_start(number + 1))

    def is_alone_on_its_lines(self, node: ast.stmt) -> bool:
        """Whether nothing else stands on the lines of a statement, such as another one after a semicolon."""
        start, end = self.span(node)
        before = self.part(self.line_start(node.lineno), start)
        after = self.part(end, self.line_start((node.end_lineno or node.lineno) + 1)).strip()
        return not before.strip() and (not after or after.startswith("#"))

    def text_lines(self, nodes: Sequence[ast.stmt]) -> set[int]:
        """The lines that begin inside a text of several lines: their indentation is part of the text."""
        found: set[int] = set()
        for statement in nodes:
            for node in ast.walk(statement):
                is_text = isinstance(node, ast.JoinedStr) or (
                    isinstance(node, ast.Constant) and isinstance(node.value, (str, bytes))
                )
                if is_text and isinstance(node, ast.expr) and node.end_lineno:
                    found.update(range(node.lineno + 1, node.end_lineno + 1))
        return found


def _lines(text: bytes) -> list[bytes]:
    # Python's parser ends lines at these alone; a form feed is white space to it.
    return [line + b"\n" for line in text.split(b"\n")]


def _outermost(edits: Sequence[Edit]) -> list[Edit]:
    """From the last to the first; of two that overlap the longer one."""
    kept: list[Edit] = []
    for edit in sorted(edits, key=lambda each: each.start - each.end):
        if all(edit.end <= other.start or other.end <= edit.start for other in kept):
            kept.append(edit)
    return sorted(kept, key=lambda each: -each.start)
