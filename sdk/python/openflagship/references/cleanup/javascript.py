"""Taking a flag out of JavaScript and TypeScript: a call becomes a stand-in, then what is around it is folded."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

from openflagship.references.cleanup.flags import JAVASCRIPT_CALLS, KEPT, ByHand, Cleaned, Target
from openflagship.references.cleanup.javascript_folding import fold_once
from openflagship.references.cleanup.javascript_tokens import Tokens, UnreadableError

# Each fold makes the text shorter, so this many are never needed; a fault must not run for ever.
_MOST_FOLDS = 10_000
_CLOSE = (")", "]")


def clean(text: str, target: Target) -> Cleaned:
    """Take the flag out of a file. What cannot be read as tokens is left as it is."""
    try:
        folded = _folded(text, target)
    except (UnreadableError, RecursionError) as error:
        return Cleaned(text, [ByHand(1, f"it cannot be read: {error}")])
    return Cleaned(folded, list(_left(folded, target)))


def constants_in(text: str, key: str) -> set[str]:
    """The names that a file gives to the key, such as `const NEW_CHECKOUT = "new-checkout"`."""
    return set(
        re.findall(rf"\b(?:const|let|var)\s+([\w$]+)\s*(?::\s*string\s*)?=\s*[\"'`]{re.escape(key)}[\"'`]", text)
    )


def _folded(text: str, target: Target) -> str:
    tokens = Tokens(text)
    for first, last in reversed(list(_asked(tokens, target))):
        text = text[: tokens.all[first].start] + KEPT + text[tokens.all[last].end :]
    for _ in range(_MOST_FOLDS):
        folded = fold_once(Tokens(text), target.value)
        if folded is None:
            break
        text = folded
    text = text.replace(KEPT, json.dumps(target.value, ensure_ascii=False))
    Tokens(text)
    return text


def _asked(tokens: Tokens, target: Target) -> Iterator[tuple[int, int]]:
    """The first and last token of each expression that asks for the flag, with the `await` before it."""
    end = -1
    for index, token in enumerate(tokens.all):
        if token.kind == "word" and tokens.at(index + 1) == "(" and index > end and _asks(tokens, index, target):
            end = tokens.partner[index + 1]
            yield _begin(tokens, index), end


def _asks(tokens: Tokens, index: int, target: Target) -> bool:
    name = tokens.all[index].text
    if name == target.accessor("ts") and tokens.at(index - 1) in {".", "?."}:
        receiver = tokens.at(index - 2).lower()
        if not target.is_plain_word or receiver.endswith("flags"):
            return True
    if name not in JAVASCRIPT_CALLS | target.calls:
        return False
    first = index + 2
    if first < len(tokens) and tokens.all[first].kind in {"text", "template"}:
        return tokens.all[first].text[1:-1] == target.key and tokens.at(first + 1) in {",", ")"}
    while tokens.at(first + 1) == ".":
        first += 2
    return tokens.at(first) in target.constants and tokens.at(first + 1) in {",", ")"}


def _begin(tokens: Tokens, index: int) -> int:
    """The first token of the call: what the method is of, such as `this.flags.client()`, and `await`."""
    while tokens.at(index - 1) in {".", "?."}:
        before = index - 2
        if tokens.at(before) == "!":
            before -= 1
        while tokens.at(before) in _CLOSE:
            before = tokens.partner[before] - 1
        if before < 0 or tokens.all[before].kind != "word":
            index = before + 1
            break
        index = before
    while tokens.at(index - 1) in {"await", "new"}:
        index -= 1
    return index


def _left(text: str, target: Target) -> Iterator[ByHand]:
    key = re.compile(rf"[\"'`]{re.escape(target.key)}[\"'`]")
    constants = re.compile("|".join(rf"\b{re.escape(name)}\b" for name in sorted(target.constants)) or r"(?!)")
    for number, line in enumerate(text.split("\n"), start=1):
        if key.search(line):
            is_constant = constants.search(line) is not None
            why = (
                "a constant holds the key" if is_constant else "the key is used in another way than to ask for a value"
            )
            yield ByHand(number, why)
        elif constants.search(line):
            yield ByHand(number, "a constant for the key is used in another way, or imported")
