"""Where a person's data may stand. Each app registers its places; a job asks each of them, in order."""

import hashlib
import hmac
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Protocol

from django.conf import settings

USER_ID = "userId"


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody that services know by an id. `kind` is the attribute that has it: `userId`, or a unit's name."""

    kind: str
    id: str

    @property
    def trace(self) -> str:
        """A keyed hash. Whoever knows the id can find it again; nobody can read the id from it."""
        return trace_of(self.id)


@dataclass(frozen=True, slots=True)
class Found:
    """So many rows or entries of a place were erased; with `remains` they stay, and it says why."""

    place: str
    count: int
    remains: str = ""


class Place(Protocol):
    """One kind of store. `scope` is an environment, or the organization where the place is one for all of it."""

    is_per_environment: bool

    def read(self, person: Person, scope: Any) -> Iterator[dict[str, Any]]:
        """Yield what stands there about the person."""
        ...

    def erase(self, person: Person, scope: Any, actor: Any) -> list[Found]:
        """Erase it, in transactions of its own. Doing it again erases nothing more."""
        ...


def trace_of(user_id: str) -> str:
    return hmac.new(settings.SECRET_KEY.encode(), b"forgotten:" + user_id.encode(), hashlib.sha256).hexdigest()


_places: list[Place] = []


def register_place(place: Place) -> None:
    """Add a place; an app does so in `ready()`. Adding it again changes nothing."""
    if not any(type(known) is type(place) for known in _places):
        _places.append(place)


def places() -> list[Place]:
    return list(_places)
