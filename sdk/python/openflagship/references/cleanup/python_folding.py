"""What a known value makes of the Python around it: conditions, choices and assignments."""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable
from typing import Any, Final

from openflagship.references.cleanup.flags import KEPT
from openflagship.references.cleanup.python_blocks import fold_if, removed_statement
from openflagship.references.cleanup.python_source import Edit, Source

_COMPARISONS: Final[dict[type[ast.cmpop], Callable[[Any, Any], bool]]] = {
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Is: operator.is_,
    ast.IsNot: operator.is_not,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.In: lambda one, other: one in other,
    ast.NotIn: lambda one, other: one not in other,
}
# They stand in any place of an expression without brackets around them.
_ATOMS = (ast.Name, ast.Constant, ast.Call, ast.Attribute, ast.Subscript, ast.List, ast.Dict, ast.Set, ast.JoinedStr)
_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
_Function = ast.FunctionDef | ast.AsyncFunctionDef


def fold_once(source: Source, value: Any) -> list[Edit] | None:
    """The edits that fold what stands around one stand-in; None where nothing can be folded any more."""
    for node in source.stand_ins():
        edits = _fold(source, node, value)
        if edits is not None:
            return edits
    return None


def _fold(source: Source, node: ast.expr, value: Any) -> list[Edit] | None:
    known: ast.expr = node
    while (wider := _widened(source, known, value)) is not None:
        known, value = wider
    parent = source.parent(known)
    if isinstance(parent, ast.If) and parent.test is known:
        return fold_if(source, parent, is_true=bool(value))
    if isinstance(parent, ast.IfExp) and parent.test is known:
        chosen = parent.body if value else parent.orelse
        return [Edit(*source.span(parent), _bracketed(source, parent, chosen))]
    if isinstance(parent, ast.BoolOp):
        edits = _without_operand(source, parent, known, is_true=bool(value))
        if edits is not None:
            return edits
    if isinstance(parent, (ast.Assign, ast.AnnAssign)) and parent.value is known:
        edits = _propagated(source, parent, known)
        if edits is not None:
            return edits
    return None if known is node else [Edit(*source.span(known), repr(value))]


def _widened(source: Source, known: ast.expr, value: Any) -> tuple[ast.expr, Any] | None:
    """The expression around a known one, if it is known too."""
    parent = source.parent(known)
    if isinstance(parent, ast.UnaryOp) and isinstance(parent.op, ast.Not):
        return parent, not value
    if isinstance(parent, ast.Compare) and len(parent.ops) == 1:
        return _compared(parent, known, value)
    if isinstance(parent, ast.BoolOp) and bool(value) is not isinstance(parent.op, ast.And):
        # What comes after it is never looked at. What comes before it does not matter, if it only looks at names.
        before = parent.values[: parent.values.index(known)]
        if not before or (_is_condition(source, parent) and all(_only_looks(each) for each in before)):
            return parent, bool(value) if before else value
    return None


def _only_looks(node: ast.expr) -> bool:
    return all(isinstance(each, (ast.Name, ast.Attribute, ast.Constant, ast.expr_context)) for each in ast.walk(node))


def _compared(comparison: ast.Compare, known: ast.expr, value: Any) -> tuple[ast.expr, Any] | None:
    is_left = comparison.left is known
    other = comparison.comparators[0] if is_left else comparison.left
    compare = _COMPARISONS.get(type(comparison.ops[0]))
    try:
        constant = ast.literal_eval(other)
        result = compare(value, constant) if compare and is_left else compare(constant, value) if compare else None
    except (ValueError, TypeError, SyntaxError):
        # It is no constant, or none that can be compared with the value.
        return None
    return (comparison, result) if result is not None else None


def _without_operand(source: Source, whole: ast.BoolOp, known: ast.expr, *, is_true: bool) -> list[Edit] | None:
    """Drop an operand that changes nothing, or those after one that decides."""
    index = whole.values.index(known)
    word = " and " if isinstance(whole.op, ast.And) else " or "
    is_last = index == len(whole.values) - 1
    if is_true is isinstance(whole.op, ast.And):
        # The last one is the result, unless only its truth counts.
        if is_last and not _is_condition(source, whole):
            return None
        rest = [each for each in whole.values if each is not known]
        text = word.join(_operand(source, each) for each in rest)
        return [Edit(*source.span(whole), text)]
    if is_last:
        return None
    text = word.join(_operand(source, each) for each in whole.values[: index + 1])
    return [Edit(*source.span(whole), text)]


def _operand(source: Source, node: ast.expr) -> str:
    """An operand with the brackets that it needs; those in the text are no part of its position."""
    text = source.of(node)
    return text if isinstance(node, (*_ATOMS, ast.Compare, ast.UnaryOp)) else f"({text})"


def _is_condition(source: Source, node: ast.expr) -> bool:
    """Whether only the truth of an expression counts."""
    parent = source.parent(node)
    if isinstance(parent, (ast.If, ast.IfExp, ast.While)):
        return parent.test is node
    if isinstance(parent, ast.UnaryOp):
        return isinstance(parent.op, ast.Not)
    return isinstance(parent, ast.BoolOp) and _is_condition(source, parent)


def _bracketed(source: Source, whole: ast.expr, chosen: ast.expr) -> str:
    text = source.of(chosen)
    parent = source.parent(whole)
    stands_alone = isinstance(parent, (ast.Assign, ast.AnnAssign, ast.Return, ast.Expr, ast.keyword))
    start, end = source.span(whole)
    is_bracketed = source.part(start - 1, start) == "(" and source.part(end, end + 1) == ")"
    is_on_one_line = "\n" not in text
    fits = isinstance(chosen, _ATOMS) or (stands_alone and is_on_one_line) or is_bracketed
    return text if fits else f"({text})"


def _propagated(source: Source, assignment: ast.Assign | ast.AnnAssign, known: ast.expr) -> list[Edit] | None:
    """Put what is known where a local variable is read, to be folded there, and drop the variable.

    None if anything else is ever assigned to it.
    """
    targets = assignment.targets if isinstance(assignment, ast.Assign) else [assignment.target]
    function = source.parent(assignment)
    # At the top of a function it is assigned before anything reads it.
    if not isinstance(function, _FUNCTIONS) or len(targets) != 1 or not isinstance(targets[0], ast.Name):
        return None
    name = targets[0].id
    reads = _reads_alone(source, function, name)
    if reads is None or not source.is_alone_on_its_lines(assignment):
        return None
    text = KEPT if isinstance(known, ast.Name) else f"({source.of(known)})"
    return [*removed_statement(source, assignment), *(Edit(*source.span(read), text) for read in reads)]


def _reads_alone(source: Source, function: _Function, name: str) -> list[ast.Name] | None:
    """Where a function reads a variable; None if it is bound more than once, or where an edit cannot reach it."""
    reads = []
    bound = 0
    for node in ast.walk(function):
        if isinstance(node, ast.Name) and node.id == name:
            if isinstance(node.ctx, ast.Load):
                reads.append(node)
            else:
                bound += 1
        elif name in bound_by(node):
            bound += 1
    is_reachable = not any(source.is_in_fstring(read) for read in reads)
    return reads if bound == 1 and is_reachable else None


def bound_by(node: ast.AST) -> list[str]:
    """The names that a node binds, or reaches outside for, without being a name itself."""
    if isinstance(node, (ast.Global, ast.Nonlocal)):
        return node.names
    found = [getattr(node, field, None) for field in ("arg", "name", "asname", "rest")]
    return [each for each in found if isinstance(each, str)] if not isinstance(node, ast.keyword) else []
