"""Which role a group of the identity provider gives, and where: `OIDC_GROUP_ROLES`, read and checked."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

_RANKS = {"viewer": 0, "editor": 1, "admin": 2, "owner": 3}


@dataclass(frozen=True, slots=True)
class Scope:
    """An organization by its slug, or narrower: a project, or one of its environments."""

    organization: str
    project: str = ""
    environment: str = ""


@dataclass(frozen=True, slots=True)
class Grant:
    """A role somewhere."""

    scope: Scope
    role: str


GroupRoles = Mapping[str, tuple[Grant, ...]]


def read_group_roles(value: Any) -> GroupRoles:
    """Read `{"group": "acme/web:editor", "others": ["acme:viewer"]}`. Raises ValueError saying what is wrong."""
    if not isinstance(value, dict):
        raise ValueError('must be a JSON object such as {"developers": "acme:editor"}')  # noqa: TRY004 - settings refuse with one kind of error
    return {
        group: tuple(_read(text) for text in ([given] if isinstance(given, str) else given))
        for group, given in value.items()
    }


def _read(text: str) -> Grant:
    place, colon, role = text.rpartition(":")
    parts = place.split("/")
    if not colon or not all(parts) or len(parts) > 3 or role not in _RANKS:
        raise ValueError(
            f"has {text!r}; write organization:role, organization/project:role or "
            "organization/project/environment:role, with owner, admin, editor or viewer"
        )
    if role == "owner" and len(parts) > 1:
        raise ValueError(f"has {text!r}; only a whole organization has owners")
    return Grant(Scope(*parts), role)


def roles_of(groups: Iterable[str], mapping: GroupRoles) -> dict[Scope, str | None]:
    """For each place the mapping knows, the strongest role those groups give there; None where they give none."""
    member_of = set(groups)
    found: dict[Scope, str | None] = {}
    for group, grants in mapping.items():
        for grant in grants:
            best = found.setdefault(grant.scope, None)
            if group in member_of and (best is None or _RANKS[grant.role] > _RANKS[best]):
                found[grant.scope] = grant.role
    return found
