"""A condition's value as text in a form field, and back: each way exact, whatever the value's type."""

import json
from typing import Any

# Which kinds of value an operator takes; the form offers no other.
SCALAR, LIST, NUMBER, TEXT, TEXTS, NOTHING, SEGMENTS = (
    "scalar",
    "list",
    "number",
    "text",
    "texts",
    "nothing",
    "segments",
)

OPERATORS: dict[str, tuple[str, str]] = {
    "equals": ("is", SCALAR),
    "not_equals": ("is not", SCALAR),
    "in": ("is one of", LIST),
    "not_in": ("is none of", LIST),
    "greater_than": ("is greater than", NUMBER),
    "greater_or_equal": ("is at least", NUMBER),
    "less_than": ("is less than", NUMBER),
    "less_or_equal": ("is at most", NUMBER),
    "contains": ("contains", SCALAR),
    "not_contains": ("does not contain", SCALAR),
    "starts_with": ("begins with", TEXTS),
    "ends_with": ("ends with", TEXTS),
    "matches": ("matches the pattern", TEXT),
    "semver_equal": ("is version", TEXT),
    "semver_greater": ("is a version after", TEXT),
    "semver_greater_or_equal": ("is version … or later", TEXT),
    "semver_less": ("is a version before", TEXT),
    "semver_less_or_equal": ("is version … or earlier", TEXT),
    "before": ("is before", TEXT),
    "after": ("is after", TEXT),
    "exists": ("is known", NOTHING),
    "not_exists": ("is not known", NOTHING),
    "in_segment": ("user is in segment", SEGMENTS),
    "not_in_segment": ("user is not in segment", SEGMENTS),
}
# Which kinds of attribute an operator says something about; those not named here fit any.
_FITS: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(("greater_than", "greater_or_equal", "less_than", "less_or_equal"), ("number",)),
    **dict.fromkeys(("contains", "not_contains", "starts_with", "ends_with", "matches"), ("text", "version", "moment")),
    **{name: ("version",) for name in OPERATORS if name.startswith("semver_")},
    **dict.fromkeys(("before", "after"), ("moment",)),
    **dict.fromkeys(("in", "not_in"), ("text", "number", "version", "moment")),
}
WITHOUT_ATTRIBUTE = frozenset({"in_segment", "not_in_segment"})
# How the text of a scalar is to be read.
KINDS = {"text": "text", "number": "number", "yesno": "yes or no", "json": "JSON"}


def offered() -> list[tuple[str, str, str, str]]:
    """Return `(name, words, takes, fits)` of each operator; `fits` is empty where it fits every attribute."""
    return [(name, words, takes, " ".join(_FITS.get(name, ()))) for name, (words, takes) in OPERATORS.items()]


class UnreadableValueError(ValueError):
    """The text cannot be read as the kind of value that was chosen; the message says what to type instead."""


def to_text(value: Any, operator: str) -> tuple[str, str]:
    """Return `(text, kind)` for a stored value, such that `to_value` gives the same value back, type and all."""
    text, kind = _plain_text(value)
    try:
        is_exact = text == text.strip() and _same(to_value(text, operator, kind), value)
    except UnreadableValueError:
        is_exact = False
    return (text, kind) if is_exact else (json.dumps(value, ensure_ascii=False), "json")


def _plain_text(value: Any) -> tuple[str, str]:
    if isinstance(value, bool):
        return ("yes" if value else "no"), "yesno"
    if isinstance(value, (int, float)):
        return json.dumps(value), "number"
    if isinstance(value, list) and value:
        texts, kinds = zip(*(_plain_text(item) for item in value), strict=True)
        return ", ".join(texts), kinds[0]
    return value if isinstance(value, str) else "", "text"


def _same(left: Any, right: Any) -> bool:
    """Equality that tells 1 from true and from 1.0, inside lists as well."""
    return json.dumps(left) == json.dumps(right)


def to_value(text: str, operator: str, kind: str) -> Any:
    """Return the value that was meant. Raises UnreadableValueError."""
    takes = OPERATORS[operator][1] if operator in OPERATORS else SCALAR
    if takes == NOTHING:
        return None
    if kind == "json":
        try:
            return json.loads(text)
        except ValueError as error:
            raise UnreadableValueError('Give JSON, for example ["a", "b"].') from error
    if takes in {LIST, SEGMENTS}:
        return [_scalar(item, kind if takes == LIST else "text") for item in _split(text)]
    if takes == TEXTS:
        parts = _split(text)
        return parts if len(parts) > 1 else text
    return _scalar(text, "number" if takes == NUMBER else "text" if takes == TEXT else kind)


def _split(text: str) -> list[str]:
    return [part for part in (piece.strip() for piece in text.replace("\n", ",").split(",")) if part]


def _scalar(text: str, kind: str) -> Any:
    if kind == "number":
        try:
            number = json.loads(text)
        except ValueError:
            number = None
        if isinstance(number, bool) or not isinstance(number, (int, float)):
            raise UnreadableValueError(f"{text!r} is no number; write it like 18 or 2.5.")
        return number
    if kind == "yesno":
        match text.strip().lower():
            case "yes" | "true":
                return True
            case "no" | "false":
                return False
        raise UnreadableValueError("Write yes or no.")
    return text
