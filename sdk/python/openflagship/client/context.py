"""The context that services build: a user id and attributes of Python's own types, none of them dropped silently."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from typing import Any, Final, TypeAlias
from uuid import UUID

from openflagship import engine
from openflagship.engine.bucketing import unit_text
from openflagship.engine.natives import unit_of_native

log = logging.getLogger("openflagship")

_MOST_SAID: Final = 1_000
_said: set[tuple[str, str]] = set()


def say_anew() -> None:
    """Forget which warnings were given. A new client gives its own."""
    _said.clear()


def warn_once(subject: str, name: str, text: str, *values: object) -> None:
    """Log a warning about one thing of one flag, once."""
    if (subject, name) in _said or len(_said) >= _MOST_SAID:
        return
    _said.add((subject, name))
    log.warning(text, *values)


class Context(engine.Context):
    """A user id and the attributes for conditions.

    Taken exactly: text, numbers, booleans and lists of them, and UUID, Decimal, datetime (UTC without a zone), date
    (its midnight in UTC) and enumerations (their values). As user id also a whole number of any size. Anything else is
    warned about once for each flag that asks for it. A dict of attributes is kept, not copied.
    """

    __slots__ = ("_refused",)

    _refused: str

    def __init__(self, user_id: object = None, attributes: Mapping[str, Any] | None = None) -> None:
        if user_id.__class__ is str and user_id.isascii():
            self.user_id = user_id
        else:
            self._take_user(user_id)
        if attributes.__class__ is dict:
            self.attributes = attributes
        else:
            self._take_attributes(attributes)

    def _take_user(self, user_id: object) -> None:
        self.user_id = None
        if user_id is None:
            return
        if isinstance(user_id, engine.Context):
            self.user_id = user_id.user_id
            return
        self.user_id = unit_text(user_id) if isinstance(user_id, str) else unit_of_native(user_id)
        if self.user_id is None and user_id != "":
            self._refused = type(user_id).__name__

    def _take_attributes(self, attributes: object) -> None:
        self.attributes = {}
        if isinstance(attributes, Mapping):
            self.attributes = dict(attributes)
        elif attributes is not None:
            warn_once("", "attributes", "attributes are ignored: give a mapping, not %s", type(attributes).__name__)

    def with_attributes(self, attributes: dict[Any, Any]) -> Context:
        """The same user with other attributes."""
        other = Context(None, attributes)
        other.user_id = self.user_id
        if hasattr(self, "_refused"):
            other._refused = self._refused
        return other

    def unit_at(self, attribute: str) -> str | None:
        return unit_of_native(self.attributes.get(attribute))

    def taken(self, subject: str, reads: Iterable[str]) -> engine.Context:
        refused = getattr(self, "_refused", None)
        if refused is not None:
            self.refuse(subject, "userId", refused)
        return super().taken(subject, reads)

    def refuse(self, subject: str, attribute: str, kind: str) -> None:
        if attribute == "userId":
            text = "%s: the user id is no id (%s): give text, a whole number or a UUID"
            warn_once(subject, attribute, text, subject, kind)
            return
        text = "%s: the attribute %r cannot be compared (%s): give text, a number, a boolean, an instant or a list"
        warn_once(subject, attribute, text, subject, attribute, kind)


# A user: a Context, an id, or attributes with the id under `userId`.
AnyContext: TypeAlias = engine.Context | str | int | UUID | Mapping[str, Any] | None


def context_of(context: AnyContext) -> Context:
    """The context of whatever names a user."""
    if isinstance(context, Context):
        return context
    if isinstance(context, engine.Context):
        return Context(context.user_id, context.attributes)
    if isinstance(context, Mapping):
        return Context(context.get("userId"), context)
    return Context(context)
