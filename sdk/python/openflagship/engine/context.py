"""The input of an evaluation: a user id and attributes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from openflagship.engine.bucketing import unit_text


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
        return f"Context({self.user_id!r}, {self.attributes!r})"
