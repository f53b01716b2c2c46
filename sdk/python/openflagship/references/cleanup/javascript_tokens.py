"""JavaScript and TypeScript as tokens: enough to find calls and match brackets, without a parser's dependency."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

# White space and comments are no tokens.
_SPACE = re.compile(r"(?:\s+|//[^\n]*|/\*.*?\*/)+", re.DOTALL)
_WORD = re.compile(r"[A-Za-z_$\u0080-\uffff][\w$]*")
_NUMBER = re.compile(r"\.?\d[\w.]*")
# A text ends on its own line; what does not is an apostrophe in the text of a page.
_TEXT = re.compile(r"\"(?:\\.|[^\"\\\n])*\"|'(?:\\.|[^'\\\n])*'", re.DOTALL)
_PATTERN = re.compile(r"/(?![*/])(?:\\.|\[(?:\\.|[^\]\\\n])*\]|[^/\\\[\n])+/[a-z]*")
_SIGN = re.compile(
    r"===|!==|=>|&&=|\|\|=|\?\?=|&&|\|\||\?\?|\?\.(?!\d)|==|!=|<=|>=|\+\+|--|\*\*|[-+*/%&|^]=|\.\.\.|</|/>|.", re.DOTALL
)
OPEN: Final = {"(": ")", "[": "]", "{": "}"}
CLOSE: Final = {close: begin for begin, close in OPEN.items()}
# After these words, and after signs, a slash begins a pattern; after anything else it divides.
_BEFORE_PATTERN: Final = frozenset(
    {"return", "typeof", "case", "in", "of", "delete", "void", "throw", "await", "yield"}
)


class UnreadableError(ValueError):
    """The text has brackets that do not match, as far as tokens tell."""


@dataclass(frozen=True, slots=True)
class Token:
    kind: str
    text: str
    start: int
    end: int


class Tokens:
    """The tokens of a file, with the partner of each bracket. Raises UnreadableError."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.all = list(_tokens(text))
        self.partner: dict[int, int] = {}
        opened: list[int] = []
        for index, token in enumerate(self.all):
            if token.kind != "sign":
                continue
            if token.text in OPEN:
                opened.append(index)
            elif token.text in CLOSE:
                if not opened or OPEN[self.all[opened[-1]].text] != token.text:
                    raise UnreadableError(f"a {token.text} closes nothing")
                self.partner[index] = opened[-1]
                self.partner[opened.pop()] = index
        if opened:
            raise UnreadableError(f"a {self.all[opened[-1]].text} is never closed")

    def __len__(self) -> int:
        return len(self.all)

    def at(self, index: int) -> str:
        """The text of a token; "" beyond the ends, and for texts and patterns, which are no signs or words."""
        token = self.all[index] if 0 <= index < len(self.all) else None
        return token.text if token is not None and token.kind in {"sign", "word", "number"} else ""

    def part(self, first: int, last: int) -> str:
        """The text from one token to another, both included."""
        return self.text[self.all[first].start : self.all[last].end]

    def is_on_new_line(self, index: int) -> bool:
        return "\n" in self.text[self.all[index - 1].end : self.all[index].start] if index > 0 else True

    def enclosing(self, index: int) -> int | None:
        """The bracket that a token stands in."""
        while index > 0:
            index -= 1
            if self.all[index].kind == "sign" and self.all[index].text in CLOSE:
                index = self.partner[index]
            elif self.all[index].kind == "sign" and self.all[index].text in OPEN:
                return index
        return None


def _tokens(text: str) -> Iterator[Token]:
    at, last = 0, Token("sign", "", 0, 0)
    while at < len(text):
        space = _SPACE.match(text, at)
        if space:
            at = space.end()
            continue
        last = _token(text, at, last)
        at = last.end
        yield last


def _token(text: str, at: int, last: Token) -> Token:
    for kind, pattern in (("word", _WORD), ("number", _NUMBER), ("text", _TEXT)):
        found = pattern.match(text, at)
        if found:
            return Token(kind, found[0], at, found.end())
    if text[at] == "`":
        end = _template_end(text, at + 1)
        return Token("template", text[at:end], at, end)
    is_value = last.kind in {"number", "text", "template"} or last.text in {")", "]", "}", "<"}
    is_value = is_value or (last.kind == "word" and last.text not in _BEFORE_PATTERN)
    if text[at] == "/" and not is_value:
        found = _PATTERN.match(text, at)
        if found:
            return Token("pattern", found[0], at, found.end())
    found = _SIGN.match(text, at)
    end = found.end() if found else at + 1
    return Token("sign", text[at:end], at, end)


def _template_end(text: str, at: int) -> int:
    """The end of a template, whose `${…}` may hold texts, braces and further templates."""
    while at < len(text):
        if text[at] == "\\":
            at += 2
        elif text[at] == "`":
            return at + 1
        elif text.startswith("${", at):
            at = _braces_end(text, at + 2)
        else:
            at += 1
    raise UnreadableError("a template is never closed")


def _braces_end(text: str, at: int) -> int:
    depth = 1
    while at < len(text) and depth:
        found = _SPACE.match(text, at) or _TEXT.match(text, at)
        if found:
            at = found.end()
        elif text[at] == "`":
            at = _template_end(text, at + 1)
        else:
            depth += {"{": 1, "}": -1}.get(text[at], 0)
            at += 1
    return at
