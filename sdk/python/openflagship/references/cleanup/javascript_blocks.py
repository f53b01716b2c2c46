"""Folding an `if` whose condition is known in JavaScript: one branch stays, with the indentation of the `if`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from openflagship.references.cleanup.javascript_tokens import CLOSE, OPEN, Tokens

_HEADS: Final = frozenset({"if", "for", "while", "with"})
_BODIES: Final = frozenset({"function", "class", "switch", "do", "try", "interface", "enum", "async", "abstract"})
_OPERATORS: Final = frozenset({
    ".", "?.", "+", "-", "*", "/", "%", "**", "&&", "||", "??", "?", ":", "=", "===", "!==", "==", "!=", "<", ">", "<=",
    ">=", ",", "=>", "in", "instanceof", "as", "+=", "-=", "*=", "/=", "%=", "&=", "|=", "^=", "&&=", "||=", "??=", "(",
    "[", "!", "return", "await", "typeof", "void", "delete", "new", "&", "|", "^", "~", "...",
})  # fmt: skip
_CONTINUES: Final = _OPERATORS - {"!", "return", "await", "typeof", "void", "delete", "new", "~", "..."}
_VARIABLES: Final = frozenset({"const", "let", "var"})
_DECLARES: Final = _VARIABLES | {"class", "function", "enum", "type", "interface"}
_AFTER_VALUE: Final = frozenset({")", "]", "++", "--", "!"})
_BEFORE_ELEMENT: Final = frozenset({"return", "default", "yield", "case", "else", "await", "of", "in"})


def right_end(tokens: Tokens, index: int, stops: frozenset[str]) -> int:
    """The last token of an expression that begins at `index`: before a stop, a closing bracket or a statement's end."""
    begin, choices = index, 0
    while index < len(tokens):
        text = tokens.at(index)
        if text in CLOSE:
            break
        if text == ":" and not choices:
            break
        if text in stops and not (text == ":" and choices):
            break
        if index > begin and ends_statement(tokens, index):
            break
        choices += {"?": 1, ":": -1}.get(text, 0)
        index = tokens.partner[index] + 1 if text in OPEN else index + 1
    return index - 1


def ends_statement(tokens: Tokens, index: int) -> bool:
    """Whether a new line before a token ends the statement: no operator goes on over it."""
    return ends_line(tokens, index) and tokens.at(index - 1) not in _OPERATORS


def ends_line(tokens: Tokens, index: int) -> bool:
    return tokens.is_on_new_line(index) and tokens.at(index) not in _CONTINUES


def is_unclear(tokens: Tokens, first: int, end: int) -> bool:
    """Whether something from a token on and before a place in the text may be another thing than it seems.

    The text of a JSX element is no code. A line that ends with `!` or `>` may end a statement, or go on.
    """
    return any(
        tokens.all[index].start < end and (_begins_element(tokens, index) or _may_end(tokens, index))
        for index in range(first, len(tokens))
    )


def _begins_element(tokens: Tokens, index: int) -> bool:
    after = tokens.at(index + 1)
    return tokens.at(index) == "<" and (after == ">" or after[:1].isalpha()) and not _ends_value(tokens, index - 1)


def _may_end(tokens: Tokens, index: int) -> bool:
    is_sign = tokens.at(index) == ">" or (tokens.at(index) == "!" and _ends_value(tokens, index - 1))
    return is_sign and index + 1 < len(tokens) and ends_line(tokens, index + 1)


def _ends_value(tokens: Tokens, index: int) -> bool:
    if index < 0:
        return False
    token = tokens.all[index]
    return token.text in _AFTER_VALUE if token.kind == "sign" else token.text not in _BEFORE_ELEMENT


def statement_end(tokens: Tokens, index: int) -> int:
    """The last token of the statement that begins at `index`."""
    text = tokens.at(index)
    if text == "{":
        return tokens.partner[index]
    if text in _HEADS and tokens.at(index + 1) == "(":
        end = statement_end(tokens, tokens.partner[index + 1] + 1)
        return statement_end(tokens, end + 2) if text == "if" and tokens.at(end + 1) == "else" else end
    if text in _BODIES:
        return _body_end(tokens, index)
    end = right_end(tokens, index, frozenset({";"}))
    return end + 1 if tokens.at(end + 1) == ";" else end


def _body_end(tokens: Tokens, index: int) -> int:
    """The end of what has a body in braces: the first ones at its own level, and those of `catch` and `finally`."""
    while index < len(tokens) and tokens.at(index) != "{":
        if tokens.at(index) == ";":
            return index
        index = tokens.partner[index] + 1 if tokens.at(index) in OPEN else index + 1
    end = tokens.partner.get(index, len(tokens) - 1)
    return _body_end(tokens, end + 1) if tokens.at(end + 1) in {"catch", "finally", "while"} else end


def fold_if(tokens: Tokens, index: int, *, is_true: bool) -> str | None:
    """The text with one branch of the `if` at `index`; None where it stands, or has in it, what this cannot fold."""
    begin = tokens.partner[index + 1] + 1
    end = statement_end(tokens, begin)
    branch: tuple[int, int] | None = (begin, end)
    if tokens.at(end + 1) == "else":
        other = (end + 2, statement_end(tokens, end + 2))
        branch, end = (branch if is_true else other), other[1]
    elif not is_true:
        branch = None
    if is_unclear(tokens, index, tokens.all[end].end):
        return None
    if tokens.at(index - 1) == "else":
        return _after_else(tokens, index, end, branch)
    if tokens.at(index - 1) == ")" and tokens.at(tokens.partner[index - 1] - 1) in _HEADS:
        return None
    start, stop = _lines_of(tokens, index, end)
    if branch is None:
        return tokens.text[:start] + tokens.text[stop:]
    text = _branch_text(tokens, index, branch)
    unreachable = _unreachable_end(tokens, index, end, branch)
    if unreachable is not None:
        if is_unclear(tokens, end, unreachable):
            return None
        stop = unreachable
    is_line = start < tokens.all[index].start or start == 0 or tokens.text[start - 1] == "\n"
    return tokens.text[:start] + (text if is_line else text.strip()) + tokens.text[stop:]


def _after_else(tokens: Tokens, index: int, end: int, branch: tuple[int, int] | None) -> str:
    before, after = tokens.text[: tokens.all[index].start], tokens.text[tokens.all[end].end :]
    if branch is None:
        return tokens.text[: tokens.all[index - 2].end] + after
    return before + tokens.part(*branch) + after


def _lines_of(tokens: Tokens, first: int, last: int) -> tuple[int, int]:
    """The part of some tokens: whole lines, where nothing else stands on them."""
    start, end = tokens.all[first].start, tokens.all[last].end
    line_start = tokens.text.rfind("\n", 0, start) + 1
    line_end = tokens.text.find("\n", end)
    line_end = len(tokens.text) if line_end < 0 else line_end + 1
    if not tokens.text[line_start:start].strip() and not tokens.text[end:line_end].strip():
        return line_start, line_end
    return start, end


def _branch_text(tokens: Tokens, index: int, branch: tuple[int, int]) -> str:
    indent = _indent_at(tokens.text, tokens.all[index].start)
    if tokens.at(branch[0]) != "{":
        return f"{indent}{tokens.part(*branch)}\n"
    if branch[1] == branch[0] + 1:
        return ""
    if _collides(tokens, branch):
        # The names stay in a block of their own.
        return f"{indent}{tokens.part(*branch)}\n"
    start, end = tokens.all[branch[0]].end, tokens.all[branch[1]].start
    inner = tokens.text[start:end]
    if "\n" not in inner:
        return f"{indent}{inner.strip()}\n"
    return _dedented(tokens, start, end, indent)


def _dedented(tokens: Tokens, start: int, end: int, indent: str) -> str:
    """The lines between two braces. Those inside a template are part of its text."""
    deeper = _indent_at(tokens.text, tokens.all[_first_from(tokens, start)].start)
    templates = [token for token in tokens.all if token.kind == "template" and start <= token.start < end]
    found = []
    at = start
    for line in tokens.text[start:end].splitlines(keepends=True):
        is_inside = any(token.start < at < token.end for token in templates)
        is_deeper = line.startswith(deeper) and not is_inside
        found.append(indent + line[len(deeper) :] if is_deeper else line)
        at += len(line)
    if not found[0].strip():
        found = found[1:]
    if not found[-1].strip():
        found = found[:-1]
    return "".join(found)


def _first_from(tokens: Tokens, at: int) -> int:
    return next(index for index, token in enumerate(tokens.all) if token.start >= at)


def _indent_at(text: str, at: int) -> str:
    line = text[text.rfind("\n", 0, at) + 1 : at]
    return line[: len(line) - len(line.lstrip())]


def _collides(tokens: Tokens, branch: tuple[int, int]) -> bool:
    """Whether a name that the branch declares means something else around it: a parameter, an import, a variable."""
    names = set(_declared(tokens, branch))
    outer = tokens.enclosing(branch[0])
    first, last = (0, len(tokens) - 1) if outer is None else (_head(tokens, outer), tokens.partner[outer])
    around = (index for index in range(first, last + 1) if not branch[0] < index < branch[1])
    return any(tokens.at(index) in names and tokens.at(index - 1) not in {".", "?."} for index in around)


def _declared(tokens: Tokens, block: tuple[int, int]) -> Iterator[str]:
    """The names that a block itself declares. Of a pattern it is every word in it."""
    index = block[0] + 1
    while index < block[1]:
        kind, at = tokens.at(index), index + 1
        if kind in _DECLARES:
            at += tokens.at(at) == "*"
            yield from _bound_at(tokens, at)
            is_list = kind in _VARIABLES
            for comma in _commas(tokens, at, block[1]) if is_list else ():
                yield from _bound_at(tokens, comma + 1)
        index = tokens.partner[index] + 1 if kind in OPEN else index + 1


def _bound_at(tokens: Tokens, at: int) -> Iterator[str]:
    yield from (tokens.at(each) for each in range(at, tokens.partner.get(at, at) + 1))


def _commas(tokens: Tokens, index: int, stop: int) -> Iterator[int]:
    """The commas between the variables of one declaration."""
    while index < stop and tokens.at(index) != ";" and tokens.at(index) not in _DECLARES:
        if tokens.at(index) == ",":
            yield index
        index = tokens.partner[index] + 1 if tokens.at(index) in OPEN else index + 1


def _head(tokens: Tokens, block: int) -> int:
    """Where what belongs to a block begins: before its parameters, whatever type stands behind them."""
    index = block
    while index > 0 and tokens.at(index - 1) not in {";", "{", "}"}:
        index = tokens.partner[index - 1] if tokens.at(index - 1) in CLOSE else index - 1
    return index


def _unreachable_end(tokens: Tokens, index: int, end: int, branch: tuple[int, int]) -> int | None:
    """Where the code ends that follows a branch which returns; None where it goes on, or must stay."""
    block = tokens.enclosing(index)
    if block is None or tokens.at(block) != "{" or not _returns(tokens, branch):
        return None
    is_switch = tokens.at(block - 1) == ")" and tokens.at(tokens.partner[block - 1] - 1) == "switch"
    close = tokens.partner[block]
    rest = range(end + 1, close)
    # A function may be called above the place where it stands.
    if is_switch or not rest or any(tokens.at(each) in {"function", "case", "default"} for each in rest):
        return None
    line_start = tokens.text.rfind("\n", 0, tokens.all[close].start) + 1
    return line_start if not tokens.text[line_start : tokens.all[close].start].strip() else tokens.all[close].start


def _returns(tokens: Tokens, branch: tuple[int, int]) -> bool:
    index, last = (branch[0] + 1, branch[1] - 1) if tokens.at(branch[0]) == "{" else branch
    begin = index
    while index <= last:
        begin = index
        index = statement_end(tokens, index) + 1
    return tokens.at(begin) in {"return", "throw"}
