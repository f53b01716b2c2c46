"""The input of an evaluation: a user id and attributes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from openflagship.engine.bucketing import unit_text
from openflagship.engine.natives import PLAIN, UntakenError, plain


class Context:
    """A user id and the attributes for conditions. It is cheap to build, and nothing stores it.

    A dict of attributes is kept, not copied: leave it alone while it is evaluated. Ids are text: an integral number
    becomes its decimal text, and what cannot be an id (see `unit_text`) is no user. An `userId` among the attributes
    is ignored.
    """

    __slots__ = ("attributes", "user_id")

    user_id: str | None
    attributes: dict[Any, Any]

    def __init__(self, user_id: object = None, attributes: Mapping[str, Any] | None = None) -> None:
        # The common case first: plain ASCII text is well-formed.
        if user_id.__class__ is str and user_id.isascii():
            self.user_id = user_id
        else:
            self.user_id = unit_text(user_id)
        if attributes.__class__ is dict:
            self.attributes = attributes
        else:
            self.attributes = dict(attributes) if isinstance(attributes, Mapping) else {}

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.user_id!r}, {self.attributes!r})"

    def unit_at(self, attribute: str) -> str | None:
        """The unit that an attribute names; None where it names none."""
        return unit_text(self.attributes.get(attribute))

    def taken(self, subject: str, reads: Iterable[str]) -> Context:
        """This context with values of Python's own types as JSON's, among the attributes that are read.

        `subject` is the flag or segment that reads them. What cannot be taken stays, and matches nothing.
        """
        taken = {}
        for name in reads:
            value = self.attributes.get(name)
            if value.__class__ in PLAIN:
                continue
            try:
                found = plain(value)
            except UntakenError as error:
                self.refuse(subject, name, str(error))
            else:
                if found is not value:
                    taken[name] = found
        if not taken:
            return self
        other = type(self).__new__(type(self))
        other.user_id, other.attributes = self.user_id, {**self.attributes, **taken}
        return other

    def refuse(self, subject: str, attribute: str, kind: str) -> None:
        """Called for an attribute that cannot be taken. A server's callers send JSON, and know what it holds."""
