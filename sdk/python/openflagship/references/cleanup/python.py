"""Taking a flag out of Python: each call becomes a stand-in, then one thing around a stand-in is folded at a time."""

from __future__ import annotations

import ast
import sys
from collections import Counter
from collections.abc import Iterator

from openflagship.references.cleanup.flags import KEPT, PYTHON_CALLS, ByHand, Cleaned, Target, is_of_flags
from openflagship.references.cleanup.python_folding import fold_once
from openflagship.references.cleanup.python_names import is_text
from openflagship.references.cleanup.python_source import Edit, Source

# Before 3.12 the parser does not know where in an f-string an expression stands.
_KNOWS_FSTRINGS = sys.version_info >= (3, 12)
_IN_FSTRING = "the call stands in an f-string, where Python before 3.12 tells no positions"


def clean(text: str, target: Target) -> Cleaned:
    """Take the flag out of a module. What does not parse is left as it is."""
    try:
        source = Source(text)
    except (SyntaxError, ValueError, RecursionError) as error:
        return Cleaned(text, [ByHand(1, f"it does not parse: {error}")])
    try:
        return _cleaned(source, target)
    except (SyntaxError, ValueError, RecursionError) as error:
        # A form that no fold knows. One such file must not keep the others from being cleaned.
        return Cleaned(text, [ByHand(1, f"what the diff would leave does not parse: {error}")])


def _cleaned(source: Source, target: Target) -> Cleaned:
    before = _uses(source.tree)
    is_skipped = False
    edits = []
    for node in _asked(source, target):
        if source.is_in_fstring(node) and not _KNOWS_FSTRINGS:
            is_skipped = True
        else:
            edits.append(Edit(*source.span(node), KEPT))
    source = source.edited(edits)
    while (folded := fold_once(source, target.value)) is not None:
        source = source.edited(folded)
    literal = [Edit(*source.span(node), repr(target.value)) for node in source.stand_ins()]
    source = source.edited(literal)
    left = [ByHand(1, _IN_FSTRING)] if is_skipped else []
    return Cleaned(source.text, [*left, *_left(source, target), *_unused_imports(source, before)])


def _asked(source: Source, target: Target) -> Iterator[ast.expr]:
    """The expressions that ask for the flag, with the `await` before them."""
    for node in ast.walk(source.tree):
        if isinstance(node, ast.Call) and _asks(node, target):
            parent = source.parent(node)
            yield parent if isinstance(parent, ast.Await) else node


def _asks(call: ast.Call, target: Target) -> bool:
    name = _last_name(call.func)
    accessor = _accessor(call, target)
    if accessor is not None and is_of_flags(_last_name(accessor.value)):
        return True
    if name not in PYTHON_CALLS | target.calls:
        return False
    named = [each.value for each in call.keywords if each.arg in {"key", "flag_key", "flag"}]
    first = call.args[0] if call.args else named[0] if named else None
    return is_text(first, target.key) or (isinstance(first, ast.Name) and first.id in target.constants)


def _accessor(node: ast.AST, target: Target) -> ast.Attribute | None:
    """The method that a call is of, if it has the name of the flag's accessor."""
    method = node.func if isinstance(node, ast.Call) else None
    return method if isinstance(method, ast.Attribute) and method.attr in target.accessors("py") else None


def _last_name(node: ast.expr) -> str:
    """The last part of a dotted name; that of the function, where it is called; else ""."""
    if isinstance(node, ast.Call):
        return _last_name(node.func)
    return node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""


def _left(source: Source, target: Target) -> Iterator[ByHand]:
    for node in ast.walk(source.tree):
        if is_text(node if isinstance(node, ast.expr) else None, target.key):
            parent = source.parent(node)
            is_constant = isinstance(parent, (ast.Assign, ast.AnnAssign))
            why = (
                "a constant holds the key" if is_constant else "the key is used in another way than to ask for a value"
            )
            yield ByHand(node.lineno, why)  # type: ignore[attr-defined]  # an expression has a line
        elif isinstance(node, (ast.Name, ast.Attribute)) and isinstance(node.ctx, ast.Load):
            name = _last_name(node)
            if isinstance(node, ast.Name) and name in target.constants:
                yield ByHand(node.lineno, f"{name} is used in another way than to ask for a value")
            elif name in target.constants | target.doubtful:
                yield ByHand(node.lineno, f"{name} may be another thing than the constant that holds the key")
        elif (accessor := _accessor(node, target)) is not None and not target.is_plain_word:
            yield ByHand(accessor.lineno, f"{accessor.attr} is called on what may be another thing than the flags")


def _uses(tree: ast.AST) -> Counter[str]:
    return Counter(node.id for node in ast.walk(tree) if isinstance(node, ast.Name))


def _unused_imports(source: Source, before: Counter[str]) -> Iterator[ByHand]:
    now = _uses(source.tree)
    for node in source.tree.body:
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            for each in node.names:
                name = (each.asname or each.name).partition(".")[0]
                if before[name] and not now[name]:
                    yield ByHand(node.lineno, f"nothing uses the import {name} any more")
