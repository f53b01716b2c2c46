"""Where an act takes place: in an organization, or narrower. The app above says which of its objects are places."""

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Place:
    """An organization, or one of its projects or environments by their keys; `organization_id` None is the platform."""

    organization_id: int | None
    project: str = ""
    environment: str = ""


class HasPlace(Protocol):
    """An organization, a project or an environment."""

    @property
    def audit_place(self) -> Place: ...


PLATFORM = Place(None)
