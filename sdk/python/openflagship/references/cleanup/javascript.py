"""Taking a flag out of JavaScript and TypeScript: a call becomes a stand-in, then what is around it is folded."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

from openflagship.references.cleanup.flags import JAVASCRIPT_CALLS, KEPT, ByHand, Cleaned, Target, is_of_flags
from openflagship.references.cleanup.javascript_blocks import is_unclear
from openflagship.references.cleanup.javascript_folding import fold_once
from openflagship.references.cleanup.javascript_tokens import Tokens, UnreadableError

# Each fold makes the text shorter, so this many are never needed; a fault must not run for ever.
_MOST_FOLDS = 10_000
_CLOSE = (")", "]")


def clean(text: str, target: Target) -> Cleaned:
    """Take the flag out of a file. What cannot be read as tokens is left as it is."""
    try:
        folded = _folded(text, target)
        unfolded = list(_unfolded(Tokens(folded)))
        cleaned = folded.replace(KEPT, json.dumps(target.value, ensure_ascii=False))
        Tokens(cleaned)
    except (UnreadableError, RecursionError) as error:
        return Cleaned(text, [ByHand(1, f"it cannot be read: {error}")])
    return Cleaned(cleaned, [*unfolded, *_left(cleaned, target)])


def _folded(text: str, target: Target) -> str:
    """The text with a stand-in wherever the value is to stand."""
    tokens = Tokens(text)
    for first, last in reversed(list(_asked(tokens, target))):
        text = text[: tokens.all[first].start] + KEPT + text[tokens.all[last].end :]
    for _ in range(_MOST_FOLDS):
        folded = fold_once(Tokens(text), target.value)
        if folded is None:
            break
        text = folded
    return text


def _unfolded(tokens: Tokens) -> Iterator[ByHand]:
    """Each value that stays in a file where something is unclear, around which nothing was folded for that."""
    if is_unclear(tokens, 0, len(tokens.text)):
        for token in tokens.all:
            if token.text == KEPT:
                line = tokens.text.count("\n", 0, token.start) + 1
                yield ByHand(
                    line,
                    "the value stands here as it is: what holds JSX, or a line that ends with ! or >, is left to you",
                )


def _asked(tokens: Tokens, target: Target) -> Iterator[tuple[int, int]]:
    """The first and last token of each expression that asks for the flag, with the `await` before it."""
    end = -1
    for index, token in enumerate(tokens.all):
        if token.kind == "word" and tokens.at(index + 1) == "(" and index > end and _asks(tokens, index, target):
            end = tokens.partner[index + 1]
            yield _begin(tokens, index), end


def _asks(tokens: Tokens, index: int, target: Target) -> bool:
    name = tokens.all[index].text
    is_called_on_one = tokens.at(index - 1) in {".", "?."}
    if is_called_on_one and name in target.accessors("ts") and is_of_flags(_receiver(tokens, index)):
        return True
    if name not in JAVASCRIPT_CALLS | target.calls:
        return False
    first = index + 2
    if first < len(tokens) and tokens.all[first].kind in {"text", "template"}:
        return tokens.all[first].text[1:-1] == target.key and tokens.at(first + 1) in {",", ")"}
    return tokens.at(first) in target.constants and tokens.at(first + 1) in {",", ")"}


def _receiver(tokens: Tokens, index: int) -> str:
    """The last name of what the method at `index` is of; that of the function, where it is called."""
    before = index - 2
    while tokens.at(before) in {"!", *_CLOSE}:
        before = before - 1 if tokens.at(before) == "!" else tokens.partner[before] - 1
    return tokens.at(before)


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
    names = sorted(target.constants | target.doubtful)
    constants = re.compile("|".join(rf"\b{re.escape(name)}\b" for name in names) or r"(?!)")
    accessors = () if target.is_plain_word else target.accessors("ts")
    accessor = re.compile(rf"\.\s*({'|'.join(map(re.escape, accessors))})\s*\(" if accessors else r"(?!)")
    for number, line in enumerate(text.split("\n"), start=1):
        if key.search(line):
            is_constant = constants.search(line) is not None
            why = (
                "a constant holds the key" if is_constant else "the key is used in another way than to ask for a value"
            )
            yield ByHand(number, why)
        elif constants.search(line):
            yield ByHand(number, "a constant for the key is used in another way, or imported")
        elif (called := accessor.search(line)) is not None:
            yield ByHand(number, f"{called[1]} is called on what may be another thing than the flags")
