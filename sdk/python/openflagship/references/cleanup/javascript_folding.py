"""What a known value makes of the JavaScript around it: conditions, choices and constants."""

from __future__ import annotations

import json
import operator
import re
from collections.abc import Callable
from typing import Any, Final

from openflagship.references.cleanup.flags import KEPT
from openflagship.references.cleanup.javascript_blocks import ends_statement, fold_if, is_unclear, right_end
from openflagship.references.cleanup.javascript_tokens import Tokens

_EQUALITY: Final[dict[str, Callable[[Any, Any], bool]]] = {
    "===": operator.eq, "!==": operator.ne, "==": operator.eq, "!=": operator.ne,
}  # fmt: skip
_WORDS: Final = {"true": True, "false": False, "null": None}
# They bind closer than a comparison, before and after a value.
_CLOSER_AFTER: Final = frozenset({
    ".", "?.", "(", "[", "+", "-", "*", "/", "%", "**", "<", ">", "<=", ">=", "in", "instanceof", "as",
})  # fmt: skip
_CLOSER_BEFORE: Final = frozenset({
    "+", "-", "*", "/", "%", "**", "<", ">", "<=", ">=", "!", "typeof", "await", "void", "in", "instanceof", "delete",
    "new", ".", "?.", "===", "!==", "==", "!=", "&", "|", "^", "~", "...",
})  # fmt: skip
_BEFORE_GROUP: Final = frozenset({"return", "throw", "case", "in", "of", "else", "default", "yield", "await"})
_BEFORE_CHOICE: Final = frozenset({
    "(", "[", "{", "}", ",", ";", "=", ":", "?", "=>", "return", "throw", "yield", "case", "",
})  # fmt: skip
_HEADS: Final = frozenset({"if", "while", "for", "switch", "catch", "with"})
_END_OF_OPERAND: Final = frozenset({"||", "??", "?", ":", ",", ";", "=>"})
_DECLARES: Final = frozenset({"const", "let", "var", "function", "class", "import"})

Range = tuple[int, int]


def fold_once(tokens: Tokens, value: Any) -> str | None:
    """The text after one fold around a stand-in; None where nothing can be folded any more."""
    for index, token in enumerate(tokens.all):
        if token.kind == "word" and token.text == KEPT:
            text = _fold(tokens, index, value)
            if text is not None:
                return text
    return None


def _fold(tokens: Tokens, index: int, value: Any) -> str | None:
    known = (index, index)
    while (wider := _widened(tokens, known, value)) is not None:
        known, value = wider
    first, last = known
    shorter = _without_operand(tokens, known, is_true=bool(value))
    if shorter is not None:
        return shorter
    if tokens.at(first - 1) == "(" and tokens.at(first - 2) == "if" and tokens.at(last + 1) == ")":
        folded = fold_if(tokens, first - 2, is_true=bool(value))
        if folded is not None:
            return folded
    elif tokens.at(last + 1) == "?" and (tokens.at(first - 1) in _BEFORE_CHOICE or ends_statement(tokens, first)):
        return _chosen(tokens, known, is_true=bool(value))
    elif (propagated := _propagated(tokens, known)) is not None:
        return propagated
    return None if first == last else _replaced(tokens, known, json.dumps(value, ensure_ascii=False))


def _replaced(tokens: Tokens, part: Range, text: str) -> str:
    return tokens.text[: tokens.all[part[0]].start] + text + tokens.text[tokens.all[part[1]].end :]


def _widened(tokens: Tokens, known: Range, value: Any) -> tuple[Range, Any] | None:
    """The expression around a known one, if it is known too."""
    first, last = known
    before, after = tokens.at(first - 1), tokens.at(last + 1)
    if before == "!" and after not in _CLOSER_AFTER:
        return (first - 1, last), not value
    if before == "(" and after == ")" and _is_group(tokens, first - 1):
        return (first - 1, last + 1), value
    if before in _CLOSER_BEFORE - _EQUALITY.keys():
        return None
    if after in _EQUALITY and before not in _EQUALITY and tokens.at(last + 3) not in _CLOSER_AFTER:
        is_known, other = _literal(tokens, last + 2)
        return ((first, last + 2), _is_equal(after, value, other)) if is_known else None
    if before in _EQUALITY and after not in _CLOSER_AFTER and tokens.at(first - 3) not in _CLOSER_BEFORE:
        is_known, other = _literal(tokens, first - 2)
        return ((first - 2, last), _is_equal(before, value, other)) if is_known else None
    # What comes after it is never looked at.
    if after == "&&" and not value and before != "&&":
        end = right_end(tokens, last + 2, _END_OF_OPERAND)
    elif after == "||" and value and before not in {"&&", "||"}:
        end = right_end(tokens, last + 2, _END_OF_OPERAND - {"||"})
    else:
        return None
    return None if is_unclear(tokens, first, tokens.all[end].end) else ((first, end), value)


def _is_equal(sign: str, value: Any, other: Any) -> bool:
    # In Python True is 1; in JavaScript they differ to `===`, and no such comparison is folded otherwise.
    is_same = type(value) is type(other) or (isinstance(value, (int, float)) and isinstance(other, (int, float)))
    return _EQUALITY[sign](value, other) if is_same else sign in {"!==", "!="}


def _is_group(tokens: Tokens, begin: int) -> bool:
    """Whether a bracket only groups, and belongs to no call, condition or list of parameters."""
    before = tokens.all[begin - 1] if begin > 0 else None
    if before is None or before.text in _BEFORE_GROUP:
        return tokens.at(tokens.partner[begin] + 1) != "=>"
    return before.kind == "sign" and before.text not in {")", "]"} and tokens.at(tokens.partner[begin] + 1) != "=>"


def _literal(tokens: Tokens, index: int) -> tuple[bool, Any]:
    if not 0 <= index < len(tokens):
        return False, None
    token = tokens.all[index]
    if token.kind == "word" and token.text in _WORDS:
        return True, _WORDS[token.text]
    if token.kind == "text" and "\\" not in token.text:
        return True, token.text[1:-1]
    if token.kind == "number" and re.fullmatch(r"\d+(\.\d+)?", token.text):
        return True, float(token.text)
    return False, None


def _without_operand(tokens: Tokens, known: Range, *, is_true: bool) -> str | None:
    """Drop an operand that changes nothing."""
    first, last = known
    before, after = tokens.at(first - 1), tokens.at(last + 1)
    sign = "&&" if is_true else "||"
    if before in _CLOSER_BEFORE:
        return None
    if after == sign and (before == sign or before != "&&"):
        return tokens.text[: tokens.all[first].start] + tokens.text[tokens.all[last + 2].start :]
    if before == sign and _counts_as_condition(tokens, last + 1, after):
        return tokens.text[: tokens.all[first - 2].end] + tokens.text[tokens.all[last].end :]
    return None


def _counts_as_condition(tokens: Tokens, index: int, after: str) -> bool:
    """Whether only the truth of the operands before a token counts."""
    if after == "?":
        return True
    return after == ")" and tokens.at(tokens.partner[index] - 1) in {"if", "while"}


def _chosen(tokens: Tokens, known: Range, *, is_true: bool) -> str | None:
    """Fold `known ? one : other`."""
    begin = known[1] + 2
    colon = right_end(tokens, begin, frozenset({",", ";"})) + 1
    if tokens.at(colon) != ":":
        return None
    end = right_end(tokens, colon + 1, frozenset({",", ";"}))
    if is_unclear(tokens, begin, tokens.all[end].end):
        return None
    text = tokens.part(begin, colon - 1) if is_true else tokens.part(colon + 1, end)
    return _replaced(tokens, (known[0], end), text)


def _propagated(tokens: Tokens, known: Range) -> str | None:
    """Put what is known where a constant is read, to be folded there, and drop the constant."""
    first, last = known
    name = first - 2
    if tokens.at(first - 1) != "=":
        return None
    if tokens.at(name - 1) == ":":
        name -= 2
    end = last + 1 if tokens.at(last + 1) == ";" else last
    is_statement = tokens.at(name - 1) == "const" and tokens.at(name - 2) != "export"
    is_ended = end > last or last + 1 == len(tokens) or ends_statement(tokens, last + 1)
    if not is_statement or not is_ended or tokens.all[name].kind != "word":
        return None
    reads = _reads(tokens, name, end)
    if reads is None:
        return None
    inserted = KEPT if first == last else f"({tokens.part(first, last)})"
    text = tokens.text
    for read in reversed(reads):
        text = text[: tokens.all[read].start] + inserted + text[tokens.all[read].end :]
    return _cut_lines(text, tokens.all[name - 1].start, tokens.all[end].end)


def _reads(tokens: Tokens, name: int, after: int) -> list[int] | None:
    """Where a constant is read in its block; None where that cannot be told from another thing of the name."""
    word = tokens.all[name].text
    block = tokens.enclosing(name)
    stop = len(tokens) if block is None else tokens.partner[block]
    if is_unclear(tokens, after, tokens.all[stop - 1].end):
        return None
    found = []
    for index, token in enumerate(tokens.all):
        if (
            token.kind == "template"
            and after < index < stop
            and re.search(rf"(?<![\w$]){re.escape(word)}(?![\w$])", token.text)
        ):
            return None
        if token.kind != "word" or token.text != word or index == name or tokens.at(index - 1) in {".", "?."}:
            continue
        if tokens.at(index - 1) in _DECLARES:
            return None
        if after < index < stop:
            if not _can_be_replaced(tokens, index):
                return None
            if not (tokens.at(index + 1) == ":" and tokens.at(index - 1) in {"{", ","}):
                found.append(index)
    return found


def _can_be_replaced(tokens: Tokens, index: int) -> bool:
    before, after = tokens.at(index - 1), tokens.at(index + 1)
    if after in {"=>", "=", "++", "--"} or before in {"++", "--"}:
        return False
    outer = tokens.enclosing(index)
    if outer is None:
        return True
    if tokens.at(outer) == "{" and before in {"{", ","} and after in {",", "}"}:
        return False
    is_parameter = tokens.at(outer) == "(" and tokens.at(tokens.partner[outer] + 1) in {"=>", "{", ":"}
    return not is_parameter or tokens.at(outer - 1) in _HEADS


def _cut_lines(text: str, start: int, end: int) -> str:
    """The text without a part; its line goes too, if nothing else stands on it."""
    line_start = text.rfind("\n", 0, start) + 1
    # The part itself is shifted by nothing: reads are all behind it.
    line_end = text.find("\n", end)
    line_end = len(text) if line_end < 0 else line_end + 1
    if not text[line_start:start].strip() and not text[end:line_end].strip():
        return text[:line_start] + text[line_end:]
    return text[:start] + text[end:]
