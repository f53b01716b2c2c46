"""Names that a Python module gives to a flag's key, and those that it imports."""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Iterator
from pathlib import PurePosixPath

from openflagship.references.cleanup.flags import Import, Names
from openflagship.references.cleanup.python_folding import bound_by


def names_in(path: str, text: str, key: str) -> Names:
    """`path` is from the root. A constant stands at the top of the module, and its name is bound nowhere else there."""
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError, RecursionError):
        return Names()
    bound = _bound(tree)
    anywhere = {name for node in ast.walk(tree) for name in _given_to(node, key)}
    # An import of everything may bind any of them again.
    constants = {name for node in tree.body for name in _given_to(node, key) if bound[name] == 1 and not bound["*"]}
    imports = tuple(each for each in _imports(path, tree) if bound[each.local] == 1 and not bound["*"])
    return Names(frozenset(constants), frozenset(anywhere - constants), imports)


def is_text(node: ast.expr | None, key: str) -> bool:
    return isinstance(node, ast.Constant) and node.value == key


def _given_to(node: ast.AST, key: str) -> Iterator[str]:
    """The names that an assignment gives to the key, such as `NEW_CHECKOUT = "new-checkout"`."""
    if isinstance(node, (ast.Assign, ast.AnnAssign)) and is_text(node.value, key):
        targets = node.targets if isinstance(node, ast.Assign) else [node.target]
        yield from (target.id for target in targets if isinstance(target, ast.Name))


def _bound(tree: ast.Module) -> Counter[str]:
    found: Counter[str] = Counter()
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load):
            found[node.id] += 1
        elif isinstance(node, ast.alias):
            found[node.asname or node.name.partition(".")[0]] += 1
        else:
            found.update(bound_by(node))
    return found


def _imports(path: str, tree: ast.Module) -> Iterator[Import]:
    for node in tree.body:
        if isinstance(node, ast.ImportFrom):
            places = tuple(_places(PurePosixPath(path).parent, node))
            yield from (Import(each.name, each.asname or each.name, places) for each in node.names)


def _places(folder: PurePosixPath, node: ast.ImportFrom) -> Iterator[str]:
    """Where the module may be: without dots below any folder that the file is in."""
    above = [folder, *folder.parents]
    if node.level:
        above = above[node.level - 1 :][:1]
    for start in above:
        module = start.joinpath(*(node.module or "").split("."))
        if node.module:
            yield f"{module}.py"
        yield str(module / "__init__.py")
