"""The operators that the console offers, in words. `condition-rows.js` reads and writes their values as text."""

# The kinds of value that each operator takes. The form offers no other kind.
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
# The kinds of attribute that an operator fits. Operators not named here fit any attribute.
_FITS: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(("greater_than", "greater_or_equal", "less_than", "less_or_equal"), ("number",)),
    **dict.fromkeys(("contains", "not_contains", "starts_with", "ends_with", "matches"), ("text", "version", "moment")),
    **{name: ("version",) for name in OPERATORS if name.startswith("semver_")},
    **dict.fromkeys(("before", "after"), ("moment",)),
    **dict.fromkeys(("in", "not_in"), ("text", "number", "version", "moment")),
}
WITHOUT_ATTRIBUTE = frozenset({"in_segment", "not_in_segment"})
# How the text of a scalar is read.
KINDS = {"text": "text", "number": "number", "yesno": "yes or no", "json": "JSON"}


def offered() -> list[tuple[str, str, str, str]]:
    """Return `(name, words, takes, fits)` of each operator. `fits` is empty if it fits every attribute."""
    return [(name, words, takes, " ".join(_FITS.get(name, ()))) for name, (words, takes) in OPERATORS.items()]
