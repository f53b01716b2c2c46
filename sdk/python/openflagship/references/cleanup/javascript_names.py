"""Names that a JavaScript or TypeScript module gives to a flag's key, and those that it imports."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator
from typing import Final

from openflagship.references.cleanup.flags import Import, Names
from openflagship.references.cleanup.javascript_blocks import ends_statement
from openflagship.references.cleanup.javascript_tokens import Tokens, UnreadableError

_VARIABLES: Final = frozenset({"const", "let", "var"})
_DECLARES: Final = _VARIABLES | {"function", "class", "enum", "import", "namespace"}
_ASSIGNS: Final = frozenset({
    "=", "=>", "++", "--", "+=", "-=", "*=", "/=", "%=", "&=", "|=", "^=", "&&=", "||=", "??=",
})  # fmt: skip
_HEADS: Final = frozenset({"if", "while", "for", "switch", "with"})
_SUFFIXES: Final = (".ts", ".tsx", ".mts", ".cts", ".js", ".jsx", ".mjs", ".cjs")

# A name as another module has it, and where it stands here.
_Specifier = tuple[str, int]


def names_in(path: str, text: str, key: str) -> Names:
    """`path` is from the root. A constant stands outside every block, and its name is bound nowhere else there."""
    try:
        tokens = Tokens(text)
    except (UnreadableError, RecursionError):
        return Names()
    anywhere = set(
        re.findall(rf"\b(?:const|let|var)\s+([\w$]+)\s*(?::\s*string\s*)?=\s*[\"'`]{re.escape(key)}[\"'`]", text)
    )
    constants = {name for name in anywhere if _is_constant(tokens, name, key)}
    return Names(frozenset(constants), frozenset(anywhere - constants), tuple(_imports(tokens, path)))


def _is_constant(tokens: Tokens, name: str, key: str) -> bool:
    bound = [index for index in range(len(tokens)) if tokens.at(index) == name and _is_bound(tokens, index)]
    if len(bound) != 1 or tokens.at(bound[0] - 1) not in _VARIABLES or tokens.enclosing(bound[0]) is not None:
        return False
    value = bound[0] + (4 if tokens.at(bound[0] + 1) == ":" else 2)
    after = value + (3 if tokens.at(value + 1) == "as" else 1)
    is_whole = after >= len(tokens) or tokens.at(after) == ";" or ends_statement(tokens, after)
    return is_whole and value < len(tokens) and tokens.all[value].text[1:-1] == key


def _is_bound(tokens: Tokens, index: int) -> bool:
    """Whether a name is declared or assigned here, as a variable, a parameter or a part of either. In doubt it is."""
    before, after = tokens.at(index - 1), tokens.at(index + 1)
    if before in {".", "?."}:
        return False
    if before in _DECLARES | {"++", "--"} or after in _ASSIGNS:
        return True
    outer = tokens.enclosing(index)
    while outer is not None and tokens.at(outer) != "(":
        if tokens.at(outer - 1) in _VARIABLES or tokens.at(tokens.partner[outer] + 1) == "=":
            return True
        outer = tokens.enclosing(outer)
    if outer is None or tokens.at(outer - 1) in _HEADS:
        return False
    behind = tokens.at(tokens.partner[outer] + 1)
    is_method = tokens.at(outer - 2) in {".", "?."}
    return tokens.at(outer - 1) == "catch" or behind in {"=>", "{"} or (behind == ":" and not is_method)


def _imports(tokens: Tokens, path: str) -> Iterator[Import]:
    for index in range(len(tokens)):
        begin = index + 1
        if tokens.at(index) == "import" and tokens.at(begin + 1) == ",":
            begin += 2
        if (
            tokens.at(index) not in {"import", "const"}
            or tokens.at(begin) != "{"
            or tokens.enclosing(index) is not None
        ):
            continue
        end = tokens.partner[begin]
        is_required = [tokens.at(end + each) for each in (1, 2, 3)] == ["=", "require", "("]
        if tokens.at(end + 1) == "from" or is_required:
            module = end + (4 if is_required else 2)
            places = _places(path, tokens.all[module].text[1:-1]) if module < len(tokens) else ()
            for name, at in _specifiers(tokens, begin, end):
                local = tokens.at(at)
                others = (each for each in range(len(tokens)) if tokens.at(each) == local and each != at)
                if not any(_is_bound(tokens, each) for each in others if not begin < each < end):
                    yield Import(name, local, places)


def _specifiers(tokens: Tokens, begin: int, end: int) -> Iterator[_Specifier]:
    index = begin + 1
    while index < end:
        is_renamed = tokens.at(index + 1) in {"as", ":"}
        yield tokens.at(index), index + (2 if is_renamed else 0)
        while index < end and tokens.at(index) != ",":
            index += 1
        index += 1


def _places(path: str, module: str) -> tuple[str, ...]:
    """Where the module may be. What is no path is a package, or a name that a build tool knows."""
    if not module.startswith("."):
        return ()
    base = posixpath.normpath(posixpath.join(posixpath.dirname(path), module))
    stem, suffix = posixpath.splitext(base)
    # TypeScript is imported by the name of what is made of it.
    bases = [base, stem] if suffix in _SUFFIXES else [base]
    found = [
        base,
        *(f"{each}{end}" for each in bases for end in _SUFFIXES),
        *(f"{base}/index{end}" for end in _SUFFIXES),
    ]
    return tuple(dict.fromkeys(found))
