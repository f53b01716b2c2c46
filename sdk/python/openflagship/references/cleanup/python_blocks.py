"""Folding an `if` whose condition is known: the lines of one branch stay, with the indentation of the `if`."""

from __future__ import annotations

import ast
import re
from collections.abc import Sequence

from openflagship.references.cleanup.python_source import Edit, Source

_HEADER_END = re.compile(r":\s*(#.*)?$")
_ELSE = re.compile(r"\s*else\s*:")
_ENDS = (ast.Return, ast.Raise, ast.Continue, ast.Break)
_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)


def fold_if(source: Source, node: ast.If, *, is_true: bool) -> list[Edit] | None:
    """The edits that leave one branch of an `if`."""
    if _is_elif(source, node):
        return _fold_elif(source, node, is_true=is_true)
    start, end = source.line_start(node.lineno), source.line_start(_end_line(node) + 1)
    if not is_true and node.orelse and _is_elif(source, node.orelse[0]):
        # The next condition is the first one now.
        begin = source.span(node.orelse[0])[0]
        return [Edit(source.span(node)[0], begin + len("el"), "")]
    chosen = node.body if is_true else node.orelse
    if not chosen or all(isinstance(each, ast.Pass) for each in chosen):
        return removed_statement(source, node)
    text = _dedented(source, node, chosen, _branch_lines(source, node, is_true=is_true))
    return [Edit(start, end, text), *_unreachable(source, node, chosen)]


def removed_statement(source: Source, node: ast.stmt) -> list[Edit]:
    """Take a statement out. A block that would be empty gets a `pass`."""
    start, end = source.line_start(node.lineno), source.line_start(_end_line(node) + 1)
    is_only_one = len(_block_of(source, node)) == 1 and not isinstance(source.parent(node), ast.Module)
    return [Edit(start, end, f"{_indent(source, node)}pass\n" if is_only_one else "")]


def _fold_elif(source: Source, node: ast.If, *, is_true: bool) -> list[Edit]:
    start, end = source.line_start(node.lineno), source.line_start(_end_line(node) + 1)
    if is_true:
        first, last = _branch_lines(source, node, is_true=True)
        body = source.part(source.line_start(first), source.line_start(last + 1))
        if first <= node.body[0].lineno and node.body[0].lineno != node.lineno:
            return [Edit(start, end, f"{_indent(source, node)}else:\n{body}")]
        one_line = source.part(source.span(node.body[0])[0], source.span(node.body[-1])[1])
        return [Edit(start, end, f"{_indent(source, node)}else: {one_line}\n")]
    if not node.orelse:
        return [Edit(start, end, "")]
    if _is_elif(source, node.orelse[0]):
        return [Edit(start, source.line_start(node.orelse[0].lineno), "")]
    return [Edit(start, source.line_start(_else_line(source, node)), "")]


def _branch_lines(source: Source, node: ast.If, *, is_true: bool) -> tuple[int, int]:
    """The first and last line of a branch, without the line that begins it; comments in it are part of it."""
    if not is_true:
        return _else_line(source, node) + 1, _end_line(node)
    # A comment below the last branch may be of what follows, so it stays where it is.
    last = _end_line(node.body[-1])
    if node.orelse:
        other = node.orelse[0]
        last = max(last, (other.lineno if _is_elif(source, other) else _else_line(source, node)) - 1)
    return _line_after_header(source, node.test.end_lineno or node.lineno, node.body[0]), last


def _line_after_header(source: Source, line: int, first: ast.stmt) -> int:
    while line < first.lineno and not _HEADER_END.search(source.line(line).rstrip("\r\n")):
        line += 1
    return line + 1


def _else_line(source: Source, node: ast.If) -> int:
    line = _first_line(node.orelse[0])
    while not _ELSE.match(source.line(line)):
        line -= 1
    return line


def _dedented(source: Source, node: ast.If, chosen: Sequence[ast.stmt], lines: tuple[int, int]) -> str:
    indent = _indent(source, node)
    first = chosen[0]
    header = source.part(source.line_start(first.lineno), source.span(first)[0]).strip()
    if header:
        # The branch stands on the line of its `if` or `else`.
        return f"{indent}{source.part(source.span(first)[0], source.span(chosen[-1])[1])}\n"
    inner = _indent(source, first)
    fixed = source.text_lines(chosen)
    found = []
    for number in range(lines[0], lines[1] + 1):
        line = source.line(number)
        is_inside = line.startswith(inner) and number not in fixed
        found.append(indent + line[len(inner) :] if is_inside else line)
    return "".join(found)


def _unreachable(source: Source, node: ast.If, chosen: Sequence[ast.stmt]) -> list[Edit]:
    """Take out what follows a branch that ends the function or the turn of a loop."""
    block = _block_of(source, node)
    rest = block[block.index(node) + 1 :]
    is_in_function = any(isinstance(each, _FUNCTIONS) for each in source.ancestors(node))
    if not rest or not isinstance(chosen[-1], _ENDS) or not is_in_function:
        return []
    if any(isinstance(each, (ast.Yield, ast.YieldFrom)) for statement in rest for each in ast.walk(statement)):
        # Without its `yield` the function would be another kind of function.
        return []
    return [Edit(source.line_start(_end_line(node) + 1), source.line_start(_end_line(rest[-1]) + 1), "")]


def _block_of(source: Source, node: ast.stmt) -> list[ast.stmt]:
    parent = source.parent(node)
    for name in ("body", "orelse", "finalbody"):
        block = getattr(parent, name, None)
        if isinstance(block, list) and node in block:
            return block
    return [node]


def _is_elif(source: Source, node: ast.stmt) -> bool:
    start = source.span(node)[0]
    return isinstance(node, ast.If) and source.part(start, start + 4) == "elif"


def _first_line(node: ast.stmt) -> int:
    decorators: list[ast.expr] = getattr(node, "decorator_list", [])
    return min([node.lineno, *(each.lineno for each in decorators)])


def _end_line(node: ast.stmt) -> int:
    return node.end_lineno or node.lineno


def _indent(source: Source, node: ast.stmt) -> str:
    line = source.line(node.lineno)
    return line[: len(line) - len(line.lstrip())]
