"""The operators: which values a condition may have, how they are prepared, and which attributes satisfy them."""

from __future__ import annotations

import math
import operator as comparison
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import re2

from openflagship.engine.bucketing import is_well_formed, number_of
from openflagship.engine.instants import instant_ms
from openflagship.engine.versions import VersionKey, version_key

Predicate = Callable[[Any], bool]
Test = Callable[[Any], "bool | None"]
"""True or False for a single value of the right type, None for any other."""

LISTS: Final = (list, tuple, set, frozenset)
TEXT: Final = "text"
NUMBER: Final = "number"
BOOLEAN: Final = "boolean"


class MalformedValueError(ValueError):
    """The operator cannot use the condition's value; the message says what to give instead."""


@dataclass(frozen=True, slots=True)
class Members:
    """A list of scalars, by type, because in Python 1 == True."""

    texts: frozenset[str]
    numbers: frozenset[int | float]
    booleans: frozenset[bool]


@dataclass(frozen=True, slots=True)
class Operator:
    """How one operator works.

    `prepare` makes a value ready or refuses it with MalformedValueError. `test` gives the test of one attribute value
    against what was prepared; `element_test`, where lists are taken, that of a list's element. `wants` names the
    attribute type for people.
    """

    name: str
    prepare: Callable[[Any], Any]
    test: Callable[[Any], Test]
    wants: str
    element_test: Callable[[Any], Test] | None = None
    is_negated: bool = False
    takes_attribute: bool = True
    # Unix milliseconds are accepted as an instant, but configurations have readable instants.
    is_written_as_text: bool = False

    def predicate(self, prepared: Any) -> Predicate:
        """Whether an attribute of any type satisfies the condition; None stands for an absent one."""
        test = self.test(prepared)
        if self.element_test is None:
            return lambda value: test(value) is True
        element_test, is_negated, wanted = self.element_test(prepared), self.is_negated, not self.is_negated

        def predicate(value: Any) -> bool:
            if isinstance(value, LISTS):
                return any(element_test(element) is True for element in value) is not is_negated
            return test(value) is wanted

        return predicate

    def is_wrong_type(self, prepared: Any, value: Any) -> bool:
        """Whether a present attribute cannot be compared at all."""
        if self.element_test is not None and isinstance(value, LISTS):
            return False
        return self.test(prepared)(value) is None


def kind_of(value: object) -> str | None:
    """TEXT, NUMBER or BOOLEAN for a scalar, None for anything else."""
    if isinstance(value, str):
        return TEXT
    if isinstance(value, bool):
        return BOOLEAN
    return None if number_of(value) is None else NUMBER


# The values an operator accepts, and their prepared forms.


def _scalar(value: Any) -> str | int | float | bool:
    kind = kind_of(value)
    if kind is None:
        raise MalformedValueError("Give one string, number or boolean.")
    if kind == BOOLEAN:
        return bool(value)
    return _text(value) if kind == TEXT else _number(value)


def _members(value: Any) -> Members:
    if not isinstance(value, list):
        raise MalformedValueError("Give a list of strings, numbers or booleans.")
    scalars = [_scalar(item) for item in value]
    return Members(
        _frozen(item for item in scalars if isinstance(item, str)),
        _frozen(item for item in scalars if not isinstance(item, (str, bool))),
        _frozen(item for item in scalars if isinstance(item, bool)),
    )


_NONE: Final[frozenset[Any]] = frozenset()


def _frozen(items: Iterable[Any]) -> frozenset[Any]:
    # Most lists have one type; their two empty sets are one shared object.
    return frozenset(items) or _NONE


def _number(value: Any) -> int | float:
    number = number_of(value)
    if number is None or math.isinf(number):
        raise MalformedValueError("Give a finite number.")
    return number


def _text(value: Any) -> str:
    if not isinstance(value, str) or not is_well_formed(value):
        raise MalformedValueError("Give a string of well-formed Unicode.")
    return value


def _texts(value: Any) -> tuple[str, ...]:
    return tuple(_text(item) for item in value) if isinstance(value, list) else (_text(value),)


# What is quoted, and each escape outside of it.
_ESCAPES = re.compile(r"\\Q.*?(?:\\E|\Z)|\\.", re.DOTALL)


def _pattern(value: Any) -> Any:
    if r"\C" in _ESCAPES.findall(_text(value)):
        # One byte, which may be half a character: engines of other languages refuse it.
        raise MalformedValueError(r"Give a regular expression without \C (one byte); . is one character.")
    options = re2.Options()
    options.log_errors = False
    options.never_capture = True
    try:
        return re2.compile(_text(value), options)
    except re2.error as error:
        reason = error.args[0].decode("utf-8", "replace") if isinstance(error.args[0], bytes) else str(error)
        raise MalformedValueError(f"Give a regular expression in RE2 syntax: {reason}.") from None


def _version(value: Any) -> VersionKey:
    key = version_key(value) if isinstance(value, str) else None
    if key is None:
        raise MalformedValueError('Give a semantic version such as "2.1.0" or "2.1.0-beta.1", as a string.')
    return key


def _instant(value: Any) -> int | float:
    milliseconds = _read_instant(value)
    if milliseconds is None:
        raise MalformedValueError('Give an ISO 8601 instant with a zone, such as "2026-03-01T09:00:00Z".')
    return milliseconds


def _nothing(value: Any) -> None:
    if value is not None:
        raise MalformedValueError("This operator takes no value; leave it out.")


def _segment_keys(value: Any) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(item, str) and item for item in value):
        raise MalformedValueError("Give a list of segment keys.")
    return tuple(value)


# Tests of one value against a prepared one.


def _same(wanted: str | int | float | bool) -> Test:
    kind = kind_of(wanted)

    def test(value: Any) -> bool | None:
        if kind_of(value) != kind:
            return None
        return bool((number_of(value) if kind == NUMBER else value) == wanted)

    return test


def _member(members: Members) -> Test:
    by_kind: Mapping[str, frozenset[Any]] = {
        TEXT: members.texts,
        NUMBER: members.numbers,
        BOOLEAN: members.booleans,
    }

    def test(value: Any) -> bool | None:
        kind = kind_of(value)
        if kind is None:
            return None
        return (number_of(value) if kind == NUMBER else value) in by_kind[kind]

    return test


def _part(wanted: str | int | float | bool) -> Test:
    def test(value: Any) -> bool | None:
        return wanted in value if isinstance(value, str) and isinstance(wanted, str) else None

    return test


def _prefixed(prefixes: tuple[str, ...]) -> Test:
    return lambda value: value.startswith(prefixes) if isinstance(value, str) else None


def _suffixed(suffixes: tuple[str, ...]) -> Test:
    return lambda value: value.endswith(suffixes) if isinstance(value, str) else None


def _found(pattern: Any) -> Test:
    def test(value: Any) -> bool | None:
        if not isinstance(value, str):
            return None
        try:
            return pattern.search(value.encode()) is not None
        except UnicodeEncodeError:
            return None

    return test


def _ordered(reading: Callable[[Any], Any], compare: Callable[[Any, Any], Any]) -> Callable[[Any], Test]:
    def test_for(wanted: Any) -> Test:
        def test(value: Any) -> bool | None:
            read = reading(value)
            return None if read is None else bool(compare(read, wanted))

        return test

    return test_for


def _read_version(value: Any) -> VersionKey | None:
    return version_key(value) if isinstance(value, str) else None


def _read_instant(value: Any) -> int | float | None:
    return instant_ms(value) if isinstance(value, str) else number_of(value)


def _exists(_: None) -> Test:
    return lambda value: value is not None


def _not_exists(_: None) -> Test:
    return lambda value: value is None


def _needs_segments(_: Any) -> Test:
    raise TypeError("Segments are looked up by their environment, not tested on an attribute.")


IN_SEGMENT: Final = "in_segment"
NOT_IN_SEGMENT: Final = "not_in_segment"
_SCALAR: Final = "text, a number or a boolean"
_VERSION: Final = "a semantic version, as text"
_INSTANT: Final = "an ISO 8601 instant with a zone, or Unix milliseconds"

OPERATORS: Final[Mapping[str, Operator]] = {
    operator.name: operator
    for operator in (
        Operator("equals", _scalar, _same, "the value's own type", _same),
        Operator("not_equals", _scalar, _same, "the value's own type", _same, is_negated=True),
        Operator("in", _members, _member, _SCALAR, _member),
        Operator("not_in", _members, _member, _SCALAR, _member, is_negated=True),
        Operator("greater_than", _number, _ordered(number_of, comparison.gt), "a number"),
        Operator("greater_or_equal", _number, _ordered(number_of, comparison.ge), "a number"),
        Operator("less_than", _number, _ordered(number_of, comparison.lt), "a number"),
        Operator("less_or_equal", _number, _ordered(number_of, comparison.le), "a number"),
        Operator("contains", _scalar, _part, "text (for a text value) or a list", _same),
        Operator("not_contains", _scalar, _part, "text (for a text value) or a list", _same, is_negated=True),
        Operator("starts_with", _texts, _prefixed, "text", _prefixed),
        Operator("ends_with", _texts, _suffixed, "text", _suffixed),
        Operator("matches", _pattern, _found, "text", _found),
        Operator("semver_equal", _version, _ordered(_read_version, comparison.eq), _VERSION),
        Operator("semver_greater", _version, _ordered(_read_version, comparison.gt), _VERSION),
        Operator("semver_greater_or_equal", _version, _ordered(_read_version, comparison.ge), _VERSION),
        Operator("semver_less", _version, _ordered(_read_version, comparison.lt), _VERSION),
        Operator("semver_less_or_equal", _version, _ordered(_read_version, comparison.le), _VERSION),
        Operator("before", _instant, _ordered(_read_instant, comparison.lt), _INSTANT, is_written_as_text=True),
        Operator("after", _instant, _ordered(_read_instant, comparison.gt), _INSTANT, is_written_as_text=True),
        Operator("exists", _nothing, _exists, "anything"),
        Operator("not_exists", _nothing, _not_exists, "nothing"),
        Operator(IN_SEGMENT, _segment_keys, _needs_segments, "nothing", takes_attribute=False),
        Operator(NOT_IN_SEGMENT, _segment_keys, _needs_segments, "nothing", takes_attribute=False),
    )
}
